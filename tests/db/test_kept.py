"""Rows read through wrapped connections: kept where it is asked for, and never old."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import class_row, dict_row, namedtuple_row
from sqlalchemy import text

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan, current
from apsperf_mw.db.database import Database
from apsperf_mw.errors import SettingError
from tests.db.postgres import Postgres
from tests.db.wrapped import CHANGE, Place, Plainest, lite_place

READ = "SELECT id, name FROM artist ORDER BY id"
OLD = [(1, "old"), (2, "two")]
NEW = [(1, "new"), (2, "two")]


@pytest.fixture(params=["lite", "server"])
def place(request: pytest.FixtureRequest) -> Place:
    made: Place = request.getfixturevalue(request.param)
    return made


def read(place: Place, connection: Any, statement: Any = READ, *given: Any, **named: Any) -> Any:
    return place.suite.database().read(connection, statement, *given, **{"cache": "long", **named})


def hits_of(place: Place, connection: Any, statement: Any = READ, *given: Any) -> int:
    """How often two reads were answered from what was kept."""
    before = place.hits
    for _ in range(2):
        read(place, connection, statement, *given)
    connection.rollback()
    return place.hits - before


def test_what_was_read_is_there_for_others(place: Place) -> None:
    first, other = place.wrapped(), place.wrapped()
    assert read(place, first) == OLD
    assert read(place, other) == OLD
    stats = place.suite.database().stats()
    assert (stats.hits, stats.misses, stats.stores) == (1, 1, 1)


def test_an_answer_from_what_is_kept_opens_no_transaction(server: Place) -> None:
    read(server, server.wrapped())
    other = server.wrapped()
    assert read(server, other) == OLD
    assert other.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


@pytest.mark.parametrize("by", ["wrapped", "engine"])
def test_a_commit_is_read(place: Place, by: str) -> None:
    connection = place.wrapped()
    read(place, connection)
    connection.commit()
    if by == "engine":
        with place.engine.begin() as begun:
            begun.execute(text(CHANGE))
    else:
        writer = place.wrapped()
        writer.execute(CHANGE)
        assert read(place, connection) == OLD
        connection.commit()
        writer.commit()
    assert read(place, connection) == NEW
    assert read(place, place.wrapped()) == NEW


def test_what_is_of_another_table_stays(place: Place) -> None:
    connection = place.wrapped()
    read(place, connection)
    connection.execute("UPDATE other SET name = 'x'")
    connection.commit()
    assert hits_of(place, connection) == 2


def test_its_own_writes_are_seen_by_it_alone(place: Place) -> None:
    writer, other = place.wrapped(), place.wrapped()
    read(place, writer)
    writer.commit()
    writer.execute(CHANGE)
    assert read(place, writer) == NEW
    assert read(place, other) == OLD
    writer.rollback()
    assert read(place, writer) == OLD
    assert read(place, other) == OLD


@pytest.mark.parametrize("write", [CHANGE, f"{CHANGE} RETURNING id, name"])
def test_what_writes_is_sent_each_time(place: Place, write: str) -> None:
    connection = place.wrapped()
    read(place, connection)
    connection.commit()
    for _ in range(2):
        assert read(place, connection, write) == ([(1, "new")] if "RETURNING" in write else [])
    connection.commit()
    assert place.suite.database().stats().stores == 1
    assert read(place, connection) == NEW


def test_a_snapshot_sees_what_it_saw(lite: Place) -> None:
    with closing(sqlite3.connect(lite.engine.url.database or "")) as plain:
        plain.execute("PRAGMA journal_mode = WAL")
    old, writer = lite.wrapped(), lite.wrapped()
    old.execute("BEGIN")
    assert read(lite, old) == OLD
    writer.execute(CHANGE)
    writer.commit()
    assert read(lite, writer) == NEW
    assert read(lite, old) == OLD
    assert lite.suite.database().stats().bypasses == 2
    old.rollback()
    assert read(lite, old) == NEW


def test_rows_that_are_left_hold_a_snapshot(lite: Place) -> None:
    with closing(sqlite3.connect(lite.engine.url.database or "")) as plain:
        plain.execute("PRAGMA journal_mode = WAL")
    old, writer = lite.wrapped(), lite.wrapped()
    half = old.execute("SELECT id FROM artist")
    half.fetchone()
    writer.execute(CHANGE)
    writer.commit()
    assert read(lite, old) == OLD
    assert read(lite, writer) == NEW
    half.fetchall()
    assert read(lite, old) == NEW


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE", "READ COMMITTED"])
@pytest.mark.parametrize("by", ["connection", "server"])
def test_the_levels_of_postgresql(server: Place, postgres: Postgres, level: str, by: str) -> None:
    read(server, server.wrapped())
    if by == "server":
        option = "-c default_transaction_isolation=" + level.lower().replace(" ", "\\ ")
        connection = server.suite.database().wrap(
            psycopg.connect(postgres.conninfo, options=option)
        )
        read(server, connection)
        connection.commit()
    else:
        connection = server.wrapped()
        connection.set_isolation_level(psycopg.IsolationLevel[level.replace(" ", "_")])
    connection.execute("SELECT 1")  # the transaction is open
    before = server.hits
    assert read(server, connection) == OLD
    assert server.hits - before == (level == "READ COMMITTED")
    connection.close()


def test_dictionaries_are_each_readers_own(server: Place) -> None:
    connection = server.wrapped(row_factory=dict_row)
    for _ in range(3):
        found = read(server, connection)
        assert found == [{"id": 1, "name": "old"}, {"id": 2, "name": "two"}]
        found[0]["name"] = "spoilt"
        found.pop()
    assert server.hits == 2
    assert read(server, server.wrapped()) == OLD


def test_what_a_reader_could_change_is_copied(server: Place) -> None:
    connection = server.wrapped()
    for _ in range(3):
        ((found,),) = read(server, connection, "SELECT json_build_object('a', id) FROM other")
        assert found == {"a": 1}
        found["a"] = 2
    assert server.hits == 2


def test_row_factories_do_not_mix(place: Place) -> None:
    factory = sqlite3.Row if isinstance(place.wrapped()._real, sqlite3.Connection) else None
    named = place.wrapped()
    named.row_factory = factory or namedtuple_row
    plain = place.wrapped()
    for _ in range(2):
        assert read(place, plain)[0] == (1, "old")
        row = read(place, named)[0]
        assert (row["name"] if factory else row.name) == "old"
    assert place.hits == 2


class Artist:
    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def test_objects_are_not_kept(server: Place) -> None:
    connection = server.wrapped(row_factory=class_row(Artist))
    assert read(server, connection)[0] is not read(server, connection)[0]
    assert server.suite.database().stats().stores == 0


class Unhashable:
    """A factory that no key can be made of."""

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, cursor: Any, row: Any) -> Any:
        return row


def test_any_factory_may_be_set(lite: Place) -> None:
    connection = lite.wrapped()
    connection.row_factory = Unhashable()
    assert hits_of(lite, connection) == 0
    assert read(lite, connection) == OLD


@pytest.mark.parametrize(
    ("statement", "given"),
    [
        ("SELECT name FROM artist WHERE id = {}", (1,)),
        ("SELECT name FROM artist WHERE id = {}", [1]),
        ("SELECT name FROM artist WHERE id = {id}", {"id": 1}),
    ],
)
def test_parameters_tell_rows_apart(place: Place, statement: str, given: Any) -> None:
    lite = isinstance(place.wrapped()._real, sqlite3.Connection)
    marks = ("?", ":id") if lite else ("%s", "%(id)s")
    asked = statement.replace("{}", marks[0]).replace("{id}", marks[1])
    other = {"id": 2} if isinstance(given, dict) else type(given)([2])
    connection = place.wrapped()
    for _ in range(2):
        assert read(place, connection, asked, given) == [("old",)]
        assert read(place, connection, asked, other) == [("two",)]
    assert place.hits == 2


def test_no_parameters_are_not_the_same_as_none_in_number(server: Place) -> None:
    connection = server.wrapped()
    asked = "SELECT '%%' FROM other"
    for given, shown in ((None, "%%"), ((), "%")) * 2:
        assert read(server, connection, asked, given) == [(shown,)]


class Sneaky(dict[str, Any]):
    """What a key cannot be made of."""


def test_what_cannot_be_told_apart_is_sent(place: Place) -> None:
    lite = isinstance(place.wrapped()._real, sqlite3.Connection)
    connection = place.wrapped()
    asked = f"SELECT name FROM artist WHERE id = {':id' if lite else '%(id)s'}"
    assert hits_of(place, connection, asked, Sneaky(id=1)) == 0
    assert read(place, connection, asked, Sneaky(id=2)) == [("two",)]


def test_a_composed_statement_is_kept_by_its_text(server: Place) -> None:
    connection = server.wrapped()
    composed = sql.SQL("SELECT name FROM {} ORDER BY id").format(sql.Identifier("artist"))
    assert hits_of(server, connection, composed) == 1
    assert read(server, connection, b"SELECT name FROM artist") == [("old",), ("two",)]


@pytest.mark.parametrize(
    ("kind", "before", "asked"),
    [
        ("server", "SET search_path = shelf, public", READ),
        ("server", "SET LOCAL statement_timeout = 10000", READ),
        ("server", "SET ROLE NONE", READ),
        ("server", "CREATE TEMPORARY TABLE mine (id INTEGER)", READ),
        ("server", "SELECT 1", "SELECT now()"),
        ("server", "SELECT 1", "SELECT name FROM artist FOR UPDATE"),
        ("server", "SELECT 1", "SELECT current_user, name FROM artist"),
        ("lite", "CREATE TEMP TABLE mine (id INTEGER)", READ),
        ("lite", "ATTACH ':memory:' AS aside", READ),
        ("lite", "PRAGMA case_sensitive_like = ON", READ),
        ("lite", "SELECT 1", "SELECT random()"),
        ("lite", "SELECT 1", "SELECT datetime('now')"),
    ],
)
def test_what_is_this_sessions_alone_is_not_kept(
    request: pytest.FixtureRequest, kind: str, before: str, asked: str
) -> None:
    place: Place = request.getfixturevalue(kind)
    connection = place.wrapped()
    connection.execute(before).fetchone() if before == "SELECT 1" else connection.execute(before)
    connection.commit()
    assert hits_of(place, connection, asked) == 0


def test_a_session_stays_altered_when_it_is_wrapped_again(server: Place) -> None:
    read(server, server.wrapped())
    real = server.connect()
    server.suite.database().wrap(real).execute("SET search_path = shelf, public")
    again = server.suite.database().wrap(real)
    assert hits_of(server, again) == 0
    real.close()


def test_connections_of_other_options_do_not_share(server: Place, postgres: Postgres) -> None:
    with server.engine.begin() as begun:
        begun.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS shelf")
        begun.exec_driver_sql("CREATE TABLE shelf.artist AS SELECT 7 AS id, 'shelved' AS name")
    try:
        read(server, server.wrapped())
        with psycopg.connect(postgres.conninfo, options="-c search_path=shelf,public") as other:
            wrapped = server.suite.database().wrap(other)
            assert read(server, wrapped) == [(7, "shelved")]
    finally:
        with server.engine.begin() as begun:
            begun.exec_driver_sql("DROP SCHEMA shelf CASCADE")


def test_a_database_in_memory_keeps_nothing(lite: Place) -> None:
    with closing(lite.suite.database().wrap(sqlite3.connect(":memory:"))) as connection:
        connection.execute("CREATE TABLE artist (id INTEGER, name TEXT)")
        assert hits_of(lite, connection) == 0


def test_other_drivers_are_sent_to(tmp_path: Path) -> None:
    place = lite_place(tmp_path, lambda **more: Plainest(tmp_path / "shop.sqlite", **more))
    assert hits_of(place, place.wrapped()) == 0
    place.close()


def test_what_a_page_got_from_the_cache_it_depends_on(place: Place) -> None:
    connection = place.wrapped()
    read(place, connection)
    connection.commit()
    plan = Plan()
    token = current.set(plan)
    read(place, connection)
    current.reset(token)
    assert place.is_good(plan)
    connection.execute(CHANGE)
    connection.commit()
    assert not place.is_good(plan)


def test_a_statement_that_fails_fails_as_ever(place: Place) -> None:
    connection = place.wrapped()
    for _ in range(2):
        with pytest.raises((sqlite3.Error, psycopg.Error), match="nowhere"):
            read(place, connection, "SELECT * FROM nowhere")
        connection.rollback()
    assert read(place, connection) == OLD


def test_many_at_once_send_it_once(place: Place) -> None:
    barrier = threading.Barrier(8)
    lite = isinstance(place.wrapped()._real, sqlite3.Connection)
    options = {"check_same_thread": False} if lite else {}
    connections = [place.wrapped(**options) for _ in range(8)]

    def once(connection: Any) -> Any:
        barrier.wait()
        return read(place, connection)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(once, connections)) == [OLD] * 8
    stats = place.suite.database().stats()
    assert stats.stores == 1
    assert stats.hits == 7


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "large.sqlite"
    suite = Suite(database={"query_cache_limit": 1})
    with closing(suite), closing(sqlite3.connect(path)) as real:
        connection = suite.database().wrap(real)
        connection.execute("CREATE TABLE large (name TEXT)")
        connection.execute("INSERT INTO large VALUES (?)", ("x" * 2000,))
        connection.commit()
        for _ in range(2):
            assert len(suite.database().read(connection, "SELECT name FROM large")) == 1
        assert suite.database().stats().stores == 0


def test_what_is_accepted(lite: Place) -> None:
    database = lite.suite.database()
    with pytest.raises(SettingError, match="apsperf_cache: 'forever' given; accepted: short"):
        database.read(lite.wrapped(), READ, cache="forever")
    with pytest.raises(SettingError, match=r"one that wrap\(\) gave"):
        database.read(lite.connect(), READ)
    assert database.read(lite.wrapped(), READ, cache=False) == OLD
    assert lite.hits == 0


def test_without_tables_it_is_sent(lite: Place) -> None:
    alone = Database(lite.suite.children.statements)
    connection = alone.wrap(lite.connect())
    assert alone.read(connection, READ) == OLD
    connection.close()
