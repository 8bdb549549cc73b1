"""What a wrapped connection commits makes void what was made of its tables, whichever way."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from weakref import ref

import psycopg
import pytest
from flask import Flask
from psycopg_pool import ConnectionPool

from apsperf_flask import APSPerf
from apsperf_mw import Suite, cached
from apsperf_mw.cache.policy import Plan, current
from apsperf_mw.db import sights
from apsperf_mw.errors import SettingError
from tests.db.postgres import Postgres
from tests.db.wrapped import (
    CHANGE,
    LITE,
    OTHER,
    PLAINEST,
    POSTGRES,
    TABLES,
    Place,
    Plainest,
    lite_place,
    page,
)


@pytest.fixture
def plainest(tmp_path: Path) -> Iterator[Place]:
    made = lite_place(tmp_path, lambda **more: Plainest(tmp_path / "shop.sqlite", **more))
    yield made
    made.close()


def check(place: Place, write: Callable[[Place], None], *, exact: bool) -> None:
    """After it, what depends on the table is void; what is of another stays where that is known."""
    place.warm()
    artist, other = page(place.wrapped()), page(place.wrapped(), "SELECT name FROM other")
    assert place.is_good(artist)
    assert place.is_good(other)
    write(place)
    assert place.read() == "new"
    assert not place.is_good(artist)
    assert place.is_good(other) is exact
    before = place.hits
    assert [place.read(), place.read(OTHER)] == ["new", "other"]
    assert place.hits == before + 1 + exact


@pytest.mark.parametrize(("write", "exact"), LITE)
def test_what_sqlite_commits_is_read(
    lite: Place, write: Callable[[Place], None], *, exact: bool
) -> None:
    check(lite, write, exact=exact)


@pytest.mark.parametrize(("write", "exact"), POSTGRES)
def test_what_postgresql_commits_is_read(
    server: Place, write: Callable[[Place], None], *, exact: bool
) -> None:
    check(server, write, exact=exact)


@pytest.mark.parametrize("write", PLAINEST)
def test_what_another_driver_commits_is_read(
    plainest: Place, write: Callable[[Place], None]
) -> None:
    check(plainest, write, exact=False)


@pytest.fixture(params=["lite", "server", "plainest"])
def place(request: pytest.FixtureRequest) -> Place:
    made: Place = request.getfixturevalue(request.param)
    return made


def changed(connection: Any) -> None:
    connection.cursor().execute(CHANGE)


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_what_is_not_committed_is_not_there(place: Place, end: str) -> None:
    place.warm()
    connection = place.wrapped()
    changed(connection)
    getattr(connection, end)()
    assert place.read() == "old"
    assert place.read(OTHER) == "other"


def test_a_page_of_what_is_not_committed_is_never_good(place: Place) -> None:
    connection = place.wrapped()
    plan = Plan()
    token = current.set(plan)
    made = connection.cursor()
    made.execute(CHANGE)
    made.execute("SELECT name FROM artist WHERE id = 1")
    assert made.fetchall() == [("new",)]
    assert not place.is_good(plan)
    connection.rollback()
    current.reset(token)
    assert not place.is_good(plan)


def test_a_commit_that_fails_leaves_nothing_old(server: Place) -> None:
    connection = server.wrapped()
    connection.execute(
        "ALTER TABLE other ADD CONSTRAINT late UNIQUE (name) DEFERRABLE INITIALLY DEFERRED"
    )
    connection.commit()
    server.warm()
    connection.execute("INSERT INTO other VALUES (2, 'other')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.commit()
    assert not connection.info.transaction_status
    changed(connection)
    connection.commit()
    assert server.read() == "new"
    assert server.read(OTHER) == "other"


def test_rows_that_are_fetched_later_are_of_when_they_were_read(lite: Place) -> None:
    """A cursor with rows left holds SQLite's snapshot, also for what is read beside it."""
    with closing(lite.connect(isolation_level=None)) as real:
        real.execute("PRAGMA journal_mode = WAL")
    connection = lite.wrapped(isolation_level=None)
    rows = connection.execute("SELECT name FROM artist ORDER BY id")
    assert rows.fetchone() == ("old",)
    changed(lite.wrapped(isolation_level=None))
    beside = Plan()
    token = current.set(beside)
    assert connection.execute("SELECT name FROM artist WHERE id = 1").fetchone() == ("old",)
    assert not lite.is_good(beside)
    later = Plan()
    current.set(later)
    assert next(rows) == ("two",)
    assert not lite.is_good(later)
    assert list(rows) == []
    current.reset(token)
    assert lite.is_good(page(connection))


def test_a_cursor_that_is_dropped_holds_nothing(lite: Place) -> None:
    connection = lite.wrapped(isolation_level=None)
    connection.execute("SELECT name FROM artist ORDER BY id").fetchone()
    for _ in connection.execute("SELECT name FROM artist ORDER BY id"):
        break
    changed(lite.wrapped(isolation_level=None))
    assert lite.is_good(page(connection))


def test_a_named_cursor_is_read_later(server: Place) -> None:
    connection = server.wrapped()
    rows = connection.cursor("later", withhold=True)
    rows.execute("SELECT name FROM artist ORDER BY id")
    connection.commit()
    changed(server.wrapped(autocommit=True))
    plan = Plan()
    token = current.set(plan)
    assert rows.fetchone() == ("old",)
    current.reset(token)
    assert "table:artist" in (plan.tables or ())
    assert not server.is_good(plan)
    rows.close()


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ"])
def test_an_old_snapshot_makes_no_page(server: Place, level: str) -> None:
    connection = server.wrapped()
    connection.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
    connection.execute("SELECT 1")
    changed(server.wrapped(autocommit=True))
    plan = Plan()
    token = current.set(plan)
    connection.execute("SELECT name FROM artist").fetchall()
    current.reset(token)
    assert not server.is_good(plan)
    connection.commit()
    assert server.is_good(page(connection))


def test_a_snapshot_from_before_it_was_wrapped_makes_no_page(server: Place) -> None:
    real = server.connect()
    real.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    real.execute("SELECT 1")
    changed(server.wrapped(autocommit=True))
    connection = server.suite.database().wrap(real)
    plan = Plan()
    token = current.set(plan)
    assert connection.execute("SELECT name FROM artist WHERE id = 1").fetchone() == ("old",)
    current.reset(token)
    assert not server.is_good(plan)
    connection.close()


def test_nothing_of_ours_is_sent_on_the_apps_connection(server: Place) -> None:
    connection = server.wrapped()
    connection.execute("SELECT name FROM artist").fetchall()
    connection.rollback()
    assert not connection.info.transaction_status
    connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    connection.execute("SELECT name FROM other").fetchall()
    asked = "SELECT query FROM pg_stat_activity WHERE pid = %s"
    with server.connect() as other:
        found = other.execute(asked, (connection.info.backend_pid,)).fetchone()
    assert found == ("SELECT name FROM other",)


def test_a_table_that_the_app_has_locked_holds_nobody_up(server: Place) -> None:
    """The catalogue is asked on another connection, which would wait for the app itself."""
    connection = server.wrapped()
    connection.execute("CREATE VIEW shown AS SELECT name FROM artist")
    connection.commit()
    real = server.connect()
    real.execute("ALTER TABLE artist ADD COLUMN more TEXT")
    wrapped = server.suite.database().wrap(real)
    wrapped.execute("SELECT name FROM other").fetchall()
    wrapped.execute(CHANGE)
    wrapped.commit()
    wrapped.close()
    assert server.read() == "new"


def test_a_connection_that_is_shared_by_threads(server: Place) -> None:
    connection = server.wrapped(autocommit=True)
    server.warm()

    def write(number: int) -> None:
        for turn in range(30):
            connection.execute("UPDATE artist SET name = %s WHERE id = %s", (f"{turn}", number))
            connection.execute("SELECT name FROM other").fetchall()

    threads = [threading.Thread(target=write, args=(number,)) for number in (1, 2)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        server.read()
    for each in threads:
        each.join()
    assert server.read() == "29"


def use(connection: Any) -> None:
    with connection.cursor() as made:
        assert made.execute("SELECT 1").fetchall() == [(1,)]
        made.execute("SELECT 1; SELECT 2")
        assert [each.fetchone() for each in made.results()] == [(1,), (2,)]


def test_a_wrapped_connection_is_still_the_drivers(server: Place) -> None:
    real = server.connect()
    database = server.suite.database()
    for _ in range(3):
        use(database.wrap(real))
    connection = database.wrap(real)
    assert connection.Error is psycopg.Error
    ear = vars(real)["wait"]
    assert not vars(ear)["_inner"]  # one is enough
    gone = ref(real)
    connection.close()
    del real, connection, ear
    gc.collect()
    assert gone() is None


def test_a_pool_commits(server: Place, postgres: Postgres) -> None:
    server.warm()
    with ConnectionPool(postgres.conninfo, min_size=1, max_size=1) as pool:
        for number in range(3):
            with pool.connection() as real:
                wrapped = server.suite.database().wrap(real)
                wrapped.execute("UPDATE artist SET name = %s WHERE id = 1", (f"{number}",))
            assert server.read() == f"{number}"
    before = server.hits
    assert server.read(OTHER) == "other"
    assert server.hits == before + 1


def test_a_connection_that_dies_leaves_nothing_old(server: Place) -> None:
    server.warm()
    connection = server.wrapped()
    changed(connection)
    with server.connect(autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    clock = server.suite.responses.tags.clock
    with pytest.raises(psycopg.OperationalError):
        connection.commit()  # whose outcome is not known
    assert server.suite.responses.tags.clock > clock
    assert server.read() == "old"


def test_what_has_no_parser_voids_all(server: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sights, "can_parse", lambda: False)
    check(server, POSTGRES[0][0], exact=False)


def test_a_pragma_is_no_reason_to_doubt(lite: Place) -> None:
    lite.warm()
    connection = lite.wrapped()
    connection.execute("PRAGMA foreign_keys = ON")
    changed(connection)
    connection.commit()
    before = lite.hits
    assert [lite.read(), lite.read(OTHER)] == ["new", "other"]
    assert lite.hits == before + 1


def test_a_page_is_served_until_it_is_written(lite: Place) -> None:
    """Through HTTP, with a connection for each request."""
    app = Flask(__name__)
    suite = APSPerf(app).init_app(app)

    def connect() -> Any:
        return suite.database().wrap(lite.connect())

    @app.get("/artists")
    @cached("long", depends="auto")
    def artists() -> Any:
        with closing(connect()) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM artist ORDER BY id")]

    @app.post("/<table>")
    def write(table: str) -> str:
        with closing(connect()) as connection, connection:
            connection.execute(f"UPDATE {table} SET name = 'new' WHERE id = 1")
        return ""

    client = app.test_client()

    def ask() -> tuple[bool, Any]:
        response = client.get("/artists")
        return "hit" in response.headers["cache-status"], response.json

    assert [ask(), ask()] == [(False, ["old", "two"]), (True, ["old", "two"])]
    client.post("/other")
    assert ask() == (True, ["old", "two"])
    client.post("/artist")
    assert [ask(), ask()] == [(False, ["new", "two"]), (True, ["new", "two"])]
    suite.close()


async def refused(server: Place, conninfo: str) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        with pytest.raises(SettingError, match="accepted: a DB-API connection"):
            server.suite.database().wrap(connection)


def test_what_is_awaited_is_refused(server: Place, postgres: Postgres) -> None:
    asyncio.run(refused(server, postgres.conninfo))


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    suite = Suite(database={"depends": False})
    with suite.database().wrap(sqlite3.connect(tmp_path / "x")) as connection:
        made = connection.cursor()
        assert made.connection is connection
        made.execute("CREATE TABLE artist (id INTEGER)")
    assert suite.tables is None
    connection.close()
    suite.close()


if sys.version_info >= (3, 12):  # whose sqlite3 has the attribute

    def test_the_autocommit_of_sqlite(lite: Place) -> None:
        connection = lite.wrapped(autocommit=False)
        connection.rollback()
        lite.warm()
        assert lite.is_good(page(connection))
        changed(connection)
        assert lite.read() == "old"
        connection.commit()
        assert lite.read() == "new"
        assert lite.is_good(page(connection))
        connection.execute("UPDATE artist SET name = 'newer' WHERE id = 1")
        assert lite.read() == "new"
        connection.autocommit = True  # which commits
        assert lite.read() == "newer"
        connection.execute("BEGIN")
        connection.execute("UPDATE artist SET name = 'newest' WHERE id = 1")
        connection.commit()  # which does nothing then
        assert lite.read() == "newer"
        connection.execute("COMMIT")
        assert lite.read() == "newest"


def test_other_processes_hear_by_postgresql(postgres: Postgres) -> None:
    suite = Suite(database={"notify": True})
    with psycopg.connect(postgres.conninfo, autocommit=True) as ear:
        for statement in TABLES:
            ear.execute(statement)
        ear.execute("LISTEN apsperf_tables")
        connection = suite.database().wrap(psycopg.connect(postgres.conninfo))
        changed(connection)
        connection.commit()
        told = [note.payload for note in ear.notifies(timeout=5, stop_after=1)]
        assert "table:artist" in told[0].split()
        connection.close()
    suite.close()
