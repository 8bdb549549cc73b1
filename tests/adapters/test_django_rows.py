"""Django's rows are kept where it is asked for, and never older than the last commit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.adapters.support import told_by
from tests.db.conftest import cluster
from tests.db.postgres import Postgres

__all__ = ["cluster"]

WRITES = ("save", "update", "bulk", "raw", "elsewhere", "rolled back", "savepoint")
READS = ("names", "get", "first", "view", "joined", "counted", "exists", "longest", "subquery")


@pytest.fixture(scope="module")
def music(cluster: Postgres) -> Iterator[str]:
    def send(statement: bytes) -> None:
        with psycopg.connect(cluster.conninfo, autocommit=True) as connection:
            connection.execute(statement)

    send(b"CREATE DATABASE music")
    yield str(cluster.port)
    send(b"DROP DATABASE music WITH (FORCE)")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest) -> Any:
    port = request.getfixturevalue("music") if request.param == "postgresql" else ""
    return told_by("tests.adapters.django_rows", MUSIC=port)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("write", [*WRITES, "function"])
def test_no_row_is_older_than_the_last_commit(told: Any, write: str, read: str) -> None:
    if write not in told:
        assert write == "function"  # SQLite has none
        return
    seen = told[write][read]
    assert seen["given"] == seen["true"]
    assert seen["hits"] >= 1
    assert seen["after"] >= 1


def test_each_reader_has_an_object_of_its_own(told: Any) -> None:
    assert told["more"]["own_objects"] == ["artist 2", [2], False, False, "default"]


def test_what_a_project_does_otherwise_is_heeded(told: Any) -> None:
    more = told["more"]
    assert more["tenants"] == [1, 1, 2, 2]
    assert more["priced"] == [100] * 3
    assert more["together"] == ["artist 1", "artist 2", "artist 3"]
    assert more["switched"] == ["artist 1", "artist 1", "committed"]
    assert more["settled"][:2] == ["artist 1"] * 2
    assert more["settled"][2:] in ([], ["artist 1", "artist 1", "tenant 2", "artist 1"])


def test_an_app_that_is_not_installed_for_a_while_hears_all_the_same(told: Any) -> None:
    assert told["more"]["without_the_app"] == ["artist 1"] * 2 + ["written meanwhile"] * 2
    assert told["more"]["without_a_database"] == [1]
    assert told["more"]["as_named"]


def test_what_is_not_one_row_is_said_as_ever(told: Any) -> None:
    assert told["more"]["missing"] == ["DoesNotExist", "MultipleObjectsReturned"]


def test_an_object_that_is_kept_is_as_django_makes_it(told: Any) -> None:
    alone = told["more"]["alone"]
    for one, *others in alone["same"]:
        assert others == [one] * 2
    assert alone["own"]


def test_that_there_is_no_row_is_kept_until_there_is_one(told: Any) -> None:
    none = "True Album matching query does not exist."
    assert told["more"]["alone"]["nobody"] == [none, 1, none, "there", 1, none, "not committed"]


def test_one_row_is_fetched_once_for_all_who_want_it_at_once(told: Any) -> None:
    assert told["more"]["together_for_one"] == [1, 8]


def test_no_rows_are_kept_no_longer_than_rows(told: Any) -> None:
    assert told["more"]["once_there"] == [0, 1, 0]
    assert told["more"]["cascade"] == [1, 0]


def test_who_began_before_a_commit_keeps_nothing_for_others(told: Any) -> None:
    given, true = told["more"]["slow_reader"]
    assert given == true


def test_threads_read_nothing_that_is_stale(told: Any) -> None:
    storm = told["more"]["storm"]
    assert storm["stale"] == 0
    assert storm["reads"] > 100
    assert storm["hits"] > storm["reads"] / 2


def test_what_is_no_time_is_refused(told: Any) -> None:
    said = told["more"]["refused"]
    assert said.startswith("SettingError: apsperf_cache: 'forever' given; accepted: short")


def test_what_was_not_asked_for_is_not_kept(told: Any) -> None:
    assert set(told["more"]["left_alone"]) == {0}
    assert told["by itself"] == [0] * 4


def test_everything_that_is_worth_it_is_kept_where_the_settings_say_so(music: str) -> None:
    with psycopg.connect(f"host=127.0.0.1 port={music} user=apsperf dbname=music") as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    told = told_by("tests.adapters.django_rows", MUSIC=music, ALL="1")
    assert told["by itself"][-1] == 1
    for write in WRITES:
        for read in READS:
            assert told[write][read]["given"] == told[write][read]["true"]


def test_what_a_write_returns_is_fetched_before_it_is_told(told: Any) -> None:
    """SQLite commits a write outside of a transaction once its rows are fetched."""
    rows = [True, 1, 1]
    assert told["more"]["returned"] == ["returned", *rows, "again", *rows, 3, "artist 1"]


def test_a_connection_that_is_cut_off_is_told_as_ever(told: Any) -> None:
    assert told["more"]["cut_off"] == "OperationalError"
