"""What Django's querysets load in vain is told; of good code nothing is said."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.support import told_by
from tests.db.conftest import cluster, postgres

__all__ = ["cluster", "postgres"]

UNTOUCHED = {"fetch": "django.db.models.query", "aiter": "django.db.models.query", "hooks": []}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest) -> Any:
    if request.param == "sqlite":
        return told_by("tests.adapters.django_loads")
    port = request.getfixturevalue("cluster").port
    return told_by("tests.adapters.django_loads", MUSIC=str(port))


def test_what_is_loaded_in_vain_is_told_with_what_to_type(told: Any) -> None:
    assert len(told["bad"]) == 16
    for name, (said, wanted) in told["bad"].items():
        assert said == wanted, name


def test_of_good_code_nothing_is_said(told: Any) -> None:
    assert len(told["good"]) == 26
    assert {name: said for name, said in told["good"].items() if said} == {}


def test_wide_columns_that_nobody_reads_are_told(told: Any) -> None:
    assert len(told["wide"]) == 7
    for name, (said, wanted) in told["wide"].items():
        assert said == wanted, name


def test_columns_that_are_read_somehow_are_not_told(told: Any) -> None:
    assert len(told["read"]) == 19
    assert {name: said for name, said in told["read"].items() if said} == {}


def test_the_report_has_the_bytes_and_the_line(told: Any) -> None:
    (first,) = [each for each in told["report"] if each["site"].endswith(" in wide_child")]
    assert first["what"] == "Single.body"
    assert (first["loads"], first["rows"], first["bytes_per_load"]) == (3, 1, 4000)
    assert "in wide_child and never looked at, 4000 bytes a load; defer('body')" in told["words"]


def test_a_few_loads_are_not_enough(told: Any) -> None:
    assert told["twice"] == []


def test_objects_behave_as_others(told: Any) -> None:
    assert told["behaves"] == {
        "plain": ["Hook", "body", True, []],
        "pickled": ["dict", "dict", "dict", True, True, "artist 1", 1],
        "deleted": [["body"], True],
        "twice": "'Album' object has no attribute 'body'",
        "set": ["own", "own"],
        "refreshed": True,
        "related": [2, "artist 2"],
        "followed": "artist 3",
        "added": 2,
        "queried": 6,
        "later": [["artist_id", "body", "cover_id", "facts"], True],
    }
    assert told["storm"] == []


def test_a_fault_is_ours_alone(told: Any) -> None:
    assert told["faults"] == [[], [["Frozen.text", "defer('text')"]], 3]


def test_a_forked_child_goes_on(told: Any) -> None:
    assert told["forked"] == 0


def test_nothing_is_left_on_classes(told: Any) -> None:
    assert told["hooks"] == []
    assert told["closed"] == UNTOUCHED


def test_a_connection_is_opened_at_the_first_statement_or_transaction(told: Any) -> None:
    assert told["open"] == [False, False, True]


def test_off_it_leaves_query_sets_alone() -> None:
    told = told_by("tests.adapters.django_loads", SHARE="0")
    assert told["off"] == UNTOUCHED
