"""Django's pages are kept until a table that was read for them is written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.support import told_by


@pytest.fixture(scope="module")
def told() -> Any:
    return told_by("tests.adapters.django_depends")


def test_pages_are_kept(told: Any) -> None:
    assert [said for said, _ in told["nothing"].values()] == ["hit"] * 3


@pytest.mark.parametrize(
    ("write", "shown"),
    [
        ("save", "saved"),
        ("update", "updated"),
        ("raw", "raw"),
        ("in_a_block", "in a block"),
        ("rolled_back", "in a block"),
    ],
)
def test_a_write_makes_its_table_s_pages_void(write: str, shown: str, told: Any) -> None:
    assert told[write]["artists"][1] == shown
    if write != "rolled_back":
        assert told[write]["artists"][0] == "fwd=stale"
    assert [told[write][name][0] for name in ("reviews", "areviews")] == ["hit"] * 2


def test_rows_made_in_bulk_are_seen(told: Any) -> None:
    before, after = told["nothing"], told["many"]
    for name in ("reviews", "areviews"):
        assert int(after[name][1]) == int(before[name][1]) + 3
    assert after["artists"][0] == "hit"


def test_it_can_be_switched_off() -> None:
    told = told_by("tests.adapters.django_depends", APSPERF_DATABASE__DEPENDS="false")
    assert [said for said, _ in told["save"].values()] == ["hit"] * 3
