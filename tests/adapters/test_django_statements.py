"""Django's statements: counted, and what is asked again and again has a line and a cure."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.adapters.support import told_by

CURES = {
    "follow": "select_related('artist')",
    "followed_back": "prefetch_related('albums')",
    "counted": "annotate(Count('albums'))",
    "existing": "annotate(Exists(...)) over 'albums'",
    "got": "in_bulk(keys) in place of many get(...)",
    "left_out": "load 'title' with the others: no defer() of it, or only() with it",
    "raw": "",
    "saved": "bulk_create or bulk_update",
}


@pytest.fixture(scope="module")
def told() -> Any:
    return told_by("tests.adapters.django_asked")


@pytest.mark.parametrize("name", CURES)
def test_what_is_asked_again_and_again_has_a_line_and_a_cure(name: str, told: Any) -> None:
    at = re.compile(rf"tests/adapters/django_asked\.py:\d+ in {name}")
    (facts,) = [each for each in told["facts"] if at.fullmatch(each["site"])]
    assert (facts["count"], facts["fix"]) == (10, CURES[name])


def test_good_code_is_not_complained_of(told: Any) -> None:
    assert len(told["facts"]) == len(CURES)


def test_statements_are_counted_with_their_request(told: Any) -> None:
    assert told["replies"]["follow"].endswith(";desc=11")
    assert told["replies"]["one_query"].endswith(";desc=1")
    assert told["replies"]["async"].endswith(";desc=1")
    rows = {row["statement"]: row for row in told["stats"]["rows"]}
    assert rows["SELECT Name FROM Track WHERE TrackId = ?"]["calls"] == 10
    assert {row["system"] for row in rows.values()} == {"sqlite"}
    assert told["n"] == 1


def test_lazy_loads_are_refused_where_they_are_to_be(told: Any) -> None:
    assert set(told["no"]) == {"follow", "left_out"}
    for name, said in told["no"].items():
        assert f" in {name}; try {CURES[name]}" in said


def test_it_can_be_switched_off() -> None:
    told = told_by("tests.adapters.django_asked", APSPERF_DATABASE__RECORD="false")
    assert told["facts"] == []
    assert told["stats"]["calls"] == 0
    assert "db;" not in told["replies"]["follow"]
