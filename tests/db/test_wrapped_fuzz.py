"""Wrapped connections that write in every way, and readers of kept rows and pages: none is stale.

`N` is how many reads each reader makes, `SEED` what they draw from.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from time import sleep
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from apsperf_mw.cache.policy import Plan, current
from tests.db.postgres import Postgres
from tests.db.wrapped import Place

READS = int(os.environ.get("N") or 4000)
SEED = int(os.environ.get("SEED") or 1)
READERS, WRITERS = 3, 2
ASKED = text("SELECT id FROM kv").execution_options(apsperf_cache="long")


def by_commit(connection: Any, change: str) -> bool:
    connection.execute(change)
    connection.commit()
    return True


def by_a_block(connection: Any, change: str) -> bool:
    with connection.transaction():
        connection.cursor().execute(change)
    return True


def by_texts(connection: Any, change: str) -> bool:
    for statement in ("SELECT id FROM kv", change, "COMMIT"):
        connection.execute(statement)
    return True


def in_vain(connection: Any, change: str) -> bool:
    connection.execute(change)
    connection.rollback()
    return False


def by_a_pipeline(connection: Any, change: str) -> bool:
    with connection.pipeline():
        connection.execute(change)
        connection.execute("SELECT 1")
        connection.commit()
    return True


def by_a_script(connection: Any, change: str) -> bool:
    connection.executescript(f"{change}; SELECT 1")
    return True


def by_what_returns(connection: Any, change: str) -> bool:
    connection.execute(f"{change} RETURNING id").fetchall()
    connection.commit()
    return True


def by_a_stream(connection: Any, change: str) -> bool:
    list(connection.cursor().stream(f"{change} RETURNING id"))
    connection.commit()
    return True


Way = Callable[[Any, str], bool]
BOTH: tuple[Way, ...] = (by_commit, by_texts, in_vain, by_what_returns)


class Board:
    """A number that grows; what of it was committed, for certain; and one page that shows it."""

    def __init__(self, place: Place, ways: tuple[Way, ...], opens: Callable[[bool], Any]) -> None:
        self.place, self.ways, self.opens = place, ways, opens
        self.certain = 0
        self.page: tuple[int, Plan] | None = None
        self.served = 0
        self.lock = threading.Lock()
        self.readers = READERS
        self.faults: list[Any] = []

    def connection(self, random: Random) -> Any:
        return self.place.suite.database().wrap(self.opens(random.random() < 0.3))

    def write(self, random: Random) -> None:
        while self.readers:
            with closing(self.connection(random)) as connection:
                for _ in range(random.randrange(1, 8)):
                    with self.lock:
                        way = random.choice(self.ways)
                        change = f"UPDATE kv SET id = {self.certain + 1}"
                        self.certain += self.settled(connection, way, change)
                    sleep(random.random() * 0.01)

    def settled(self, connection: Any, way: Way, change: str) -> bool:
        """Whether it is there; without a transaction nothing goes back."""
        if way is in_vain or way is by_texts:
            begun = getattr(connection, "isolation_level", "") is None
            auto = getattr(connection, "autocommit", False) is True
            if auto or (begun and isinstance(connection._real, sqlite3.Connection)):
                way = by_commit
        return way(connection, change)

    def read(self, random: Random) -> None:
        with closing(self.connection(random)) as connection:
            held: Any = None
            for _ in range(READS):
                before = self.certain
                if (drawn := random.random()) < 0.3:
                    self.check("rows", self.rows(), before)
                elif drawn < 0.6:
                    found = self.kept(connection, random)
                    if held is None:
                        self.check("read", found, before)
                elif (kept := self.page) is not None and self.place.is_good(kept[1]):
                    self.served += 1
                    self.check("page", kept[0], before)
                else:
                    self.show(connection, random)
                    # With a row left it holds SQLite's snapshot.
                    held = (
                        connection.execute("SELECT id FROM kv") if random.random() < 0.1 else None
                    )
            del held

    def rows(self) -> int:
        with self.place.engine.connect() as connection:
            return int(connection.execute(ASKED).scalar_one())

    def kept(self, connection: Any, random: Random) -> int:
        database = self.place.suite.database()
        ((found,),) = database.read(connection, "SELECT id FROM kv", cache="long")
        if random.random() < 0.3:
            connection.rollback()
        return int(found)

    def show(self, connection: Any, random: Random) -> None:
        plan = Plan()
        token = current.set(plan)
        (shown,) = connection.execute("SELECT id FROM kv").fetchone()
        current.reset(token)
        sleep(random.random() * 0.002)
        self.page = (shown, plan)
        if random.random() < 0.7:
            connection.rollback()

    def check(self, what: str, found: int, before: int) -> None:
        if found < before:
            self.faults.append((what, found, before))

    def run(self, task: Callable[[Random], None], seed: int) -> None:
        try:
            task(Random(seed))
        except BaseException as fault:
            self.faults.append(fault)
            raise
        finally:
            if task == self.read:
                with self.lock:
                    self.readers -= 1

    def play(self) -> None:
        tasks = [self.read] * READERS + [self.write] * WRITERS
        threads = [
            threading.Thread(target=self.run, args=(task, SEED * 100 + number), daemon=True)
            for number, task in enumerate(tasks)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        hits = self.place.hits
        self.place.close()
        assert self.faults == []
        assert self.certain > 0
        assert hits > READS
        assert self.served > READS


def prepared(url: str) -> Place:
    place = Place(url, lambda **_: None)
    with place.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kv (id INTEGER)")
        connection.exec_driver_sql("INSERT INTO kv VALUES (0)")
    return place


@pytest.mark.fuzz
def test_nothing_is_stale_on_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "kv.sqlite"
    place = prepared(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")

    def opens(at_once: bool) -> Any:
        level = None if at_once else "DEFERRED"
        return sqlite3.connect(path, timeout=30, isolation_level=level)  # type: ignore[arg-type]

    Board(place, (*BOTH, by_a_script), opens).play()


@pytest.mark.fuzz
def test_nothing_is_stale_on_postgresql(postgres: Postgres) -> None:
    def opens(at_once: bool) -> Any:
        return psycopg.connect(postgres.conninfo, autocommit=at_once)

    ways = (*BOTH, by_a_block, by_a_pipeline, by_a_stream)
    Board(prepared(postgres.url()), ways, opens).play()
