"""With `database.rows` Django's commits by keys leave the other rows as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.adapters.support import told_by
from tests.db.conftest import cluster
from tests.db.postgres import Postgres

__all__ = ["cluster"]

ROWS = {"APSPERF_DATABASE__ROWS": "true"}
BY_KEY = ("save", "save in part", "update", "bulk", "raw", "block", "replaced", "many")
OTHERS = ("by name", "literal", "iterator", "moved")
OF_THE_OTHER_ROW = ["get 2", "values 2", "exists 2", "others"]
WHOLE = ["rows:music_artist", "table:*", "table:music_artist"]


@pytest.fixture
def empty(cluster: Postgres) -> Iterator[str]:
    """The port of a PostgreSQL that has an empty database for the site."""
    with psycopg.connect(cluster.conninfo, autocommit=True) as connection:
        connection.execute("CREATE DATABASE music")
    yield str(cluster.port)
    with psycopg.connect(cluster.conninfo, autocommit=True) as connection:
        connection.execute("DROP DATABASE music WITH (FORCE)")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest, cluster: Postgres) -> Any:
    if request.param == "sqlite":
        return told_by("tests.adapters.django_by_key", **ROWS) | {"system": request.param}
    with psycopg.connect(cluster.conninfo, autocommit=True) as connection:
        connection.execute("CREATE DATABASE music")
        try:
            told = told_by("tests.adapters.django_by_key", MUSIC=str(cluster.port), **ROWS)
        finally:
            connection.execute("DROP DATABASE music WITH (FORCE)")
    return told | {"system": request.param}


@pytest.mark.parametrize("write", BY_KEY)
def test_a_write_by_key_leaves_the_other_rows(told: Any, write: str) -> None:
    assert told[write] == {"kept": OF_THE_OTHER_ROW, "stale": []}


@pytest.mark.parametrize("write", OTHERS)
def test_any_other_write_concerns_all_rows(told: Any, write: str) -> None:
    assert told[write] == {"kept": [], "stale": []}


def test_a_new_row_concerns_those_who_have_seen_none(told: Any) -> None:
    seen = told["inserted"]
    assert seen["stale"] == []
    assert set(seen["kept"]) == {*OF_THE_OTHER_ROW, "get 1", "first 1", "both"}


def test_pages_carry_their_rows(told: Any) -> None:
    pages = told["pages"]
    one = ["row 1", "table:*", "table:music_artist"]
    for name in ("get", "kept", "kept again", "raw"):
        assert pages[name] == one
    for name in ("list", "in bulk"):
        assert pages[name] == ["row 1", "row 2", "table:*", "table:music_artist"]
    for name in ("none", "kept none", "kept none again", "all", "one missing"):
        assert pages[name] == WHOLE
    # A cursor of the server's does not know how many there are.
    assert pages["stream"] == (one if told["system"] == "sqlite" else WHOLE)


def test_a_cursor_whose_rows_were_counted_gives_them_all_the_same(told: Any) -> None:
    assert told["fetched"] == [["artist 2"]]


def test_threads_read_nothing_that_is_stale(told: Any) -> None:
    storm = told["storm"]
    assert (storm["stale"], storm["faults"]) == (0, 0)
    assert storm["reads"] > 100


def test_they_would_without_the_rows_tags(empty: str) -> None:
    """The control."""
    told = told_by("tests.adapters.django_by_key", MUSIC=empty, FORGETS="1", **ROWS)
    assert told["storm"]["stale"] > 0


def test_all_that_is_true_of_tables_is_true_of_rows(empty: str) -> None:
    """The scenarios of rows that depend on tables, with the setting."""
    for port in ("", empty):
        told = told_by("tests.adapters.django_rows", MUSIC=port, **ROWS)
        more, by_itself = told.pop("more"), told.pop("by itself")
        for write, reads in told.items():
            for name, seen in reads.items():
                assert seen["given"] == seen["true"], (write, name)
                assert seen["hits"] >= 1
                assert seen["after"] >= 1
        assert more["storm"]["stale"] == 0
        assert more["own_objects"] == ["artist 2", [2], False, False, "default"]
        assert more["once_there"] == [0, 1, 0]
        assert more["cascade"] == [1, 0]
        assert more["slow_reader"][0] == more["slow_reader"][1]
        assert by_itself == [0] * 4
