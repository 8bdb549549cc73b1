"""What a wrapped connection commits makes void what was made of its tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan, current
from tests.db.postgres import Postgres

ASKED = text("SELECT name FROM artist WHERE id = 1").execution_options(apsperf_cache="long")
OTHER = text("SELECT name FROM other WHERE id = 1").execution_options(apsperf_cache="long")
CHANGE = "UPDATE artist SET name = 'new' WHERE id = 1"
TABLES = (
    "CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE other (id INTEGER PRIMARY KEY, name TEXT)",
    "INSERT INTO artist VALUES (1, 'old')",
    "INSERT INTO other VALUES (1, 'other')",
)


class Place:
    """One database, a reader that keeps rows, and wrapped connections to write by."""

    def __init__(self, url: str, connect: Callable[..., Any]) -> None:
        self.suite = Suite()
        self.engine = self.suite.database().attach(create_engine(url))
        self._connect = connect
        self._opened: list[Any] = []
        with self.engine.begin() as connection:
            for statement in TABLES:
                connection.exec_driver_sql(statement)

    def wrapped(self, **options: Any) -> Any:
        made = self.suite.database().wrap(self._connect(**options))
        self._opened.append(made)
        return made

    def read(self, asked: Any = ASKED) -> str:
        with self.engine.connect() as connection:
            return str(connection.execute(asked).scalar_one())

    @property
    def hits(self) -> int:
        return self.suite.database().stats().hits

    def close(self) -> None:
        for each in self._opened:
            each.close()
        self.engine.dispose()
        self.suite.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        path = tmp_path / "shop.sqlite"
        made = Place(f"sqlite:///{path}", lambda **more: sqlite3.connect(path, **more))
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = Place(server.url(), lambda **more: psycopg.connect(server.conninfo, **more))
    yield made
    made.close()


def by_commit(place: Place) -> None:
    connection = place.wrapped()
    connection.execute(CHANGE)
    assert place.read() == "old"  # which nobody else sees before
    connection.commit()


def by_a_cursor(place: Place) -> None:
    connection = place.wrapped()
    cursor = connection.cursor()
    cursor.execute(CHANGE)
    connection.commit()


def by_a_block(place: Place) -> None:
    with place.wrapped() as connection:
        connection.execute(CHANGE)


def by_itself(place: Place) -> None:
    is_sqlite = place.engine.dialect.name == "sqlite"
    connection = place.wrapped(**({"isolation_level": None} if is_sqlite else {"autocommit": True}))
    connection.execute(CHANGE)


def by_many(place: Place) -> None:
    mark = "?" if place.engine.dialect.name == "sqlite" else "%s"
    connection = place.wrapped()
    connection.cursor().executemany(
        f"UPDATE artist SET name = 'new' WHERE id = {mark}", [(1,), (2,)]
    )
    connection.commit()


def by_a_transaction(place: Place) -> None:
    connection = place.wrapped()
    if place.engine.dialect.name == "sqlite":
        connection.execute("BEGIN")
        connection.execute(CHANGE)
        connection.execute("COMMIT")
    else:
        with connection.transaction():
            connection.execute(CHANGE)


def by_another_way(place: Place) -> None:
    """The commit is not seen; the next statement of the connection tells."""
    connection = place.wrapped()
    connection.execute(CHANGE)
    connection._real.commit()
    connection.execute("SELECT 1")


WRITES = [by_commit, by_a_cursor, by_a_block, by_itself, by_many, by_a_transaction, by_another_way]


@pytest.mark.parametrize("write", WRITES)
def test_what_is_committed_is_read(place: Place, write: Callable[[Place], None]) -> None:
    assert [place.read(), place.read(), place.read(OTHER), place.read(OTHER)] == ["old"] * 2 + [
        "other"
    ] * 2
    write(place)
    assert place.read() == "new"
    before = place.hits
    assert [place.read(), place.read(OTHER)] == ["new", "other"]
    assert place.hits == before + 2


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_what_is_not_committed_is_not_there(place: Place, end: str) -> None:
    assert place.read() == "old"
    connection = place.wrapped()
    connection.execute(CHANGE)
    getattr(connection, end)()
    assert place.read() == "old"


def test_a_statement_that_fails_is_the_callers(place: Place) -> None:
    connection = place.wrapped()
    with pytest.raises((sqlite3.Error, psycopg.Error)):
        connection.execute("SELECT nonsense FROM nowhere")
    connection.rollback()
    connection.execute(CHANGE)
    connection.commit()
    assert place.read() == "new"


def test_a_page_knows_what_was_read_for_it(place: Place) -> None:
    plan = Plan()
    token = current.set(plan)
    place.wrapped().execute("SELECT name FROM artist").fetchall()
    current.reset(token)
    assert "table:artist" in (plan.tables or ())


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    suite = Suite(database={"depends": False})
    with suite.database().wrap(sqlite3.connect(tmp_path / "x")) as connection:
        connection.execute("CREATE TABLE artist (id INTEGER)")
    connection.close()
    suite.close()
