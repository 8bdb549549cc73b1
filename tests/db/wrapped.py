"""A database, a reader that keeps rows, and all ways to write by a wrapped connection."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine, text

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan, current

ASKED = text("SELECT name FROM artist WHERE id = 1").execution_options(apsperf_cache="long")
OTHER = text("SELECT name FROM other WHERE id = 1").execution_options(apsperf_cache="long")
CHANGE = "UPDATE artist SET name = 'new' WHERE id = 1"
RETURNING = f"{CHANGE} RETURNING name"
TABLES = (
    "CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE other (id INTEGER PRIMARY KEY, name TEXT)",
    "INSERT INTO artist VALUES (1, 'old'), (2, 'two')",
    "INSERT INTO other VALUES (1, 'other')",
)


class Plainest:
    """A driver of which nothing is known: no word of its transactions, and a way of its own."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._within = sqlite3.connect(path, **options)

    def cursor(self) -> Any:
        return self._within.cursor()

    def commit(self) -> None:
        self._within.commit()

    def rollback(self) -> None:
        self._within.rollback()

    def close(self) -> None:
        self._within.close()

    def run(self, statement: str) -> None:
        self._within.execute(statement)


class Place:
    """One database, a reader that keeps rows, and wrapped connections to write by."""

    def __init__(self, url: str, connect: Callable[..., Any]) -> None:
        self.suite = Suite()
        self.engine = self.suite.database().attach(create_engine(url))
        self.connect = connect
        self._opened: list[Any] = []
        with self.engine.begin() as connection:
            for statement in TABLES:
                connection.exec_driver_sql(statement)

    def wrapped(self, **options: Any) -> Any:
        made = self.suite.database().wrap(self.connect(**options))
        self._opened.append(made)
        return made

    def read(self, asked: Any = ASKED) -> str:
        with self.engine.connect() as connection:
            return str(connection.execute(asked).scalar_one())

    def warm(self) -> None:
        """Have both rows kept."""
        assert [self.read(each) for each in (ASKED, ASKED, OTHER, OTHER)] == [
            *("old", "old"),
            *("other", "other"),
        ]

    @property
    def hits(self) -> int:
        return self.suite.database().stats().hits

    def is_good(self, plan: Plan) -> bool:
        assert plan.tables
        return self.suite.responses.tags.good(tuple(plan.tables), plan.since)

    def close(self) -> None:
        for each in self._opened:
            each.close()
        self.engine.dispose()
        self.suite.close()


def lite_place(tmp_path: Path, connect: Callable[..., Any]) -> Place:
    return Place(f"sqlite:///{tmp_path / 'shop.sqlite'}", connect)


def page(connection: Any, statement: str = "SELECT name FROM artist WHERE id = 1") -> Plan:
    """What is known of a page that was made with that statement."""
    plan = Plan()
    token = current.set(plan)
    cursor = connection.cursor()
    cursor.execute(statement)
    cursor.fetchall()
    connection.rollback()
    current.reset(token)
    return plan


# Ways of SQLite and of PostgreSQL.


def commit(place: Place) -> None:
    connection = place.wrapped()
    connection.execute(CHANGE)
    assert place.read() == "old"  # which nobody else sees before
    connection.commit()


def cursor(place: Place) -> None:
    connection = place.wrapped()
    made = connection.cursor()
    assert made.connection is connection
    made.execute(CHANGE)
    made.connection.commit()


def block(place: Place) -> None:
    with place.wrapped() as connection:
        connection.execute(CHANGE)


def texts(place: Place) -> None:
    connection = place.wrapped()
    connection.execute("BEGIN")
    connection.execute(CHANGE)
    assert place.read() == "old"
    connection.execute("COMMIT")


def savepoint(place: Place) -> None:
    connection = place.wrapped()
    connection.execute("BEGIN")
    connection.execute("SAVEPOINT a")
    connection.execute(CHANGE)
    connection.execute("SAVEPOINT b")
    connection.execute("DELETE FROM artist")
    connection.execute("ROLLBACK TO SAVEPOINT b")
    connection.execute("RELEASE SAVEPOINT a")
    connection.commit()


def after_a_fault(place: Place) -> None:
    connection = place.wrapped()
    with pytest.raises((sqlite3.Error, psycopg.Error)):
        connection.execute("SELECT nonsense FROM nowhere")
    connection.rollback()
    connection.execute(CHANGE)
    connection.commit()


def by_a_second_wrapper(place: Place) -> None:
    real = place.connect()
    database = place.suite.database()
    database.wrap(real).execute(CHANGE)
    gc.collect()
    database.wrap(real).commit()
    real.close()


def begun_before(place: Place) -> None:
    real = place.connect()
    real.execute(CHANGE)
    wrapped = place.suite.database().wrap(real)
    wrapped.commit()
    wrapped.close()


def defined(place: Place) -> None:
    connection = place.wrapped()
    connection.execute("DROP TABLE artist")
    connection.execute("CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT, more TEXT)")
    connection.execute("INSERT INTO artist VALUES (1, 'new', '')")
    connection.commit()


# Those of SQLite alone.


def at_once(place: Place) -> None:
    place.wrapped(isolation_level=None).execute(CHANGE)


def returned(place: Place) -> None:
    rows = place.wrapped(isolation_level=None).execute(RETURNING)
    assert place.read() == "new"  # also with its rows not fetched
    assert rows.fetchone() == ("new",)
    assert rows.fetchone() is None


def returned_to_nobody(place: Place) -> None:
    place.wrapped(isolation_level=None).execute(f"WITH a AS (SELECT 1) {RETURNING}")


def many(place: Place) -> None:
    connection = place.wrapped()
    connection.executemany("UPDATE artist SET name = 'new' WHERE id = ?", [(1,), (2,)])
    connection.commit()


def switched(place: Place) -> None:
    connection = place.wrapped()
    connection.execute(CHANGE)
    assert place.read() == "old"
    connection.isolation_level = None  # which commits


def script(place: Place) -> None:
    place.wrapped().executescript(f"{CHANGE}; SELECT 1")


def script_that_begins(place: Place) -> None:
    """A script commits what is open first; what it begins itself stays open."""
    connection = place.wrapped()
    connection.execute(CHANGE)
    assert place.read() == "old"
    connection.executescript("BEGIN; SELECT 1")
    assert connection.in_transaction
    assert place.read() == "new"
    connection.rollback()


def released(place: Place) -> None:
    connection = place.wrapped(isolation_level=None)
    connection.execute("SAVEPOINT a")
    connection.execute(CHANGE)
    assert place.read() == "old"
    connection.execute("RELEASE a")


def busy(place: Place) -> None:
    """A commit that fails leaves the transaction open, and may succeed then."""
    connection = place.wrapped()
    connection.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(str(place.engine.url.database))) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT name FROM artist").fetchall()
        connection.execute(CHANGE)
        with pytest.raises(sqlite3.OperationalError):
            connection.commit()
        reader.rollback()
    before = place.suite.responses.tags.clock
    connection.commit()
    assert place.suite.responses.tags.clock > before


def with_a_trigger_of_its_own(place: Place) -> None:
    connection = place.wrapped()
    connection.execute(
        "CREATE TEMP TRIGGER t AFTER UPDATE ON other BEGIN UPDATE artist SET name = 'new'; END"
    )
    place.warm()  # to make it has made all void
    connection.execute("UPDATE other SET name = 'other'")
    connection.commit()


def with_a_trigger_that_it_had(place: Place) -> None:
    real = place.connect()
    real.execute(
        "CREATE TEMP TRIGGER t AFTER UPDATE ON other BEGIN UPDATE artist SET name = 'new'; END"
    )
    connection = place.suite.database().wrap(real)
    connection.execute("UPDATE other SET name = 'other'")
    connection.commit()
    connection.close()


def attached(place: Place) -> None:
    connection = place.suite.database().wrap(sqlite3.connect(":memory:"))
    connection.execute("ATTACH ? AS shop", (str(place.engine.url.database),))
    connection.execute("UPDATE shop.artist SET name = 'new' WHERE id = 1")
    connection.commit()
    connection.close()


def blob(place: Place) -> None:
    connection = place.wrapped(isolation_level=None)
    with connection.blobopen("artist", "name", 1) as opened:
        assert place.read() == "old"
        opened.write(b"new")


class Saving(sqlite3.Connection):
    """A connection with a way of its own."""

    def save(self) -> None:
        self.execute(CHANGE)
        self.commit()


def own_way(place: Place) -> None:
    place.wrapped(factory=Saving).save()


LITE = [
    *((way, True) for way in (commit, cursor, block, texts, savepoint, after_a_fault)),
    *(
        (way, True)
        for way in (
            by_a_second_wrapper,
            at_once,
            returned,
            many,
            switched,
            released,
            returned_to_nobody,
        )
    ),
    *((way, True) for way in (busy,)),
    *((way, False) for way in (begun_before, defined, script, script_that_begins, attached, blob)),
    *((way, False) for way in (own_way, with_a_trigger_of_its_own, with_a_trigger_that_it_had)),
]


# Those of psycopg alone.


def autocommit(place: Place) -> None:
    place.wrapped(autocommit=True).execute(CHANGE)


def many_by_a_cursor(place: Place) -> None:
    connection = place.wrapped()
    with connection.cursor() as made:
        made.executemany("UPDATE artist SET name = 'new' WHERE id = %s", [(1,), (2,)])
    connection.commit()


def transaction(place: Place) -> None:
    connection = place.wrapped()
    with connection.transaction() as outer:
        assert outer.connection is connection
        with connection.transaction():
            outer.connection.execute(CHANGE)
        assert place.read() == "old"


def transaction_that_goes_back(place: Place) -> None:
    connection = place.wrapped()
    with connection.transaction():
        connection.execute(CHANGE)
        with connection.transaction() as inner:
            connection.execute("DELETE FROM artist")
            raise psycopg.Rollback(inner)


def pipeline(place: Place) -> None:
    connection = place.wrapped()
    with connection.pipeline():
        connection.execute(CHANGE)
        connection.execute("SELECT 1")
        connection.commit()
        assert place.read() == "new"


def pipeline_at_its_end(place: Place) -> None:
    connection = place.wrapped(autocommit=True)
    with connection.pipeline():
        connection.execute(CHANGE)
        place.read()


def pipeline_in_step(place: Place) -> None:
    connection = place.wrapped(autocommit=True)
    with connection.pipeline() as piped:
        connection.execute(CHANGE)
        place.read()
        piped.sync()
        assert place.read() == "new"


def pipeline_of_texts(place: Place) -> None:
    connection = place.wrapped(autocommit=True)
    with connection.pipeline():
        connection.execute("BEGIN")
        connection.execute(CHANGE)
        connection.execute("COMMIT")
        place.read()
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert place.read() == "new"


def streamed(place: Place) -> None:
    connection = place.wrapped(autocommit=True)
    assert list(connection.cursor().stream(RETURNING)) == [("new",)]


def stream_that_is_dropped(place: Place) -> None:
    connection = place.wrapped(autocommit=True)
    rows = connection.cursor().stream("UPDATE artist SET name = 'new' RETURNING name", size=1)
    next(rows)
    place.read()
    rows.close()
    connection.execute(CHANGE)


def copied(place: Place) -> None:
    connection = place.wrapped()
    connection.execute("DELETE FROM artist WHERE id = 1")
    with connection.cursor().copy("COPY artist FROM STDIN") as copy:
        assert copy.connection is connection
        copy.write_row((1, "new"))
    assert place.read() == "old"
    connection.commit()


def copied_at_once(place: Place) -> None:
    connection = place.wrapped(autocommit=True)
    connection.execute("UPDATE artist SET id = 3 WHERE id = 1")
    with connection.cursor().copy(
        sql.SQL("COPY {} FROM STDIN").format(sql.Identifier("artist"))
    ) as to:
        to.write_row((1, "new"))


def two_phases(place: Place) -> None:
    connection = place.wrapped()
    connection.tpc_begin(connection.xid(1, "wrapped", "one"))
    connection.execute(CHANGE)
    connection.tpc_prepare()
    assert place.read() == "old"
    connection.tpc_commit()


def chained(place: Place) -> None:
    connection = place.wrapped()
    connection.execute(CHANGE)
    connection.execute("COMMIT AND CHAIN")
    assert place.read() == "new"
    connection.rollback()


def several_in_one(place: Place) -> None:
    connection = place.wrapped(autocommit=True)
    connection.execute(f"BEGIN; {CHANGE}; COMMIT; BEGIN")
    assert place.read() == "new"
    connection.rollback()


def hidden(place: Place) -> None:
    connection = place.wrapped(autocommit=True)
    connection.execute(
        "CREATE FUNCTION hidden() RETURNS text LANGUAGE sql AS"
        " $$ UPDATE artist SET name = 'new' WHERE id = 1 RETURNING name $$"
    )
    place.read()
    connection.execute("SELECT hidden()")


def composed(place: Place) -> None:
    connection = place.wrapped()
    what = sql.SQL("UPDATE {} SET name = {} WHERE id = 1")
    connection.execute(what.format(sql.Identifier("artist"), sql.Literal("new")))
    connection.commit()


def as_bytes(place: Place) -> None:
    connection = place.wrapped()
    connection.execute(CHANGE.encode())
    connection.commit()


def by_a_pool(place: Place) -> None:
    """Who commits is not the wrapped one."""
    with place.connect() as real:
        place.suite.database().wrap(real).execute(CHANGE)


def by_its_inside(place: Place) -> None:
    connection = place.wrapped(autocommit=True)
    connection.pgconn.exec_(CHANGE.encode())
    connection.execute("SELECT 1")


def by_another_cursor(place: Place) -> None:
    connection = place.wrapped()
    psycopg.ClientCursor(connection).execute(CHANGE)
    connection.commit()


def set_first(place: Place) -> None:
    connection = place.wrapped()
    connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    connection.execute(CHANGE)
    assert connection.execute("SHOW transaction_isolation").fetchone() == ("serializable",)
    connection.commit()


def named(place: Place) -> None:
    connection = place.wrapped()
    connection.execute(CHANGE)
    with connection.cursor("named") as made:
        made.execute("SELECT name FROM artist ORDER BY id")
        assert list(made) == [("new",), ("two",)]
    connection.commit()


POSTGRES = [
    *((way, True) for way in (commit, cursor, block, texts, savepoint, after_a_fault)),
    *((way, True) for way in (by_a_second_wrapper, autocommit, many_by_a_cursor, transaction)),
    *((way, True) for way in (transaction_that_goes_back, pipeline, pipeline_at_its_end)),
    *((way, True) for way in (pipeline_in_step, pipeline_of_texts, streamed, copied)),
    *((way, True) for way in (stream_that_is_dropped, copied_at_once, chained, composed)),
    *((way, True) for way in (as_bytes, by_a_pool, set_first, named)),
    *((way, False) for way in (begun_before, defined, two_phases, several_in_one, hidden)),
    *((way, False) for way in (by_its_inside, by_another_cursor)),
]


# Of a driver of which nothing is known.


def plain_commit(place: Place) -> None:
    connection = place.wrapped()
    made = connection.cursor()
    made.execute(CHANGE)
    assert made.connection is connection
    assert place.read() == "old"
    connection.commit()


def plain_at_once(place: Place) -> None:
    place.wrapped(isolation_level=None).cursor().execute(CHANGE)


def plain_texts(place: Place) -> None:
    made = place.wrapped(isolation_level=None).cursor()
    for statement in ("BEGIN", CHANGE):
        made.execute(statement)
    assert place.read() == "old"
    made.execute("COMMIT")


def plain_returned(place: Place) -> None:
    made = place.wrapped(isolation_level=None).cursor()
    made.execute(RETURNING)
    assert place.read() == "old"
    assert made.fetchall() == [("new",)]


def plain_own_way(place: Place) -> None:
    place.wrapped(isolation_level=None).run(CHANGE)


PLAINEST = [plain_commit, plain_at_once, plain_texts, plain_returned, plain_own_way]
