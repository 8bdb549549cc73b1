"""Threads that write in every way, and threads that read through the cache: no read is stale.

`N` is how many reads each reader makes, `SEED` what they draw from.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from random import Random
from time import sleep
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, Engine

from apsperf_mw import Suite
from tests.db.postgres import Postgres

READS = int(os.environ.get("N") or 1500)
SEED = int(os.environ.get("SEED") or 1)
KEYS, READERS, WRITERS = 8, 4, 3
SCHEMA = (
    "CREATE TABLE kv (k int PRIMARY KEY, v int)",
    f"INSERT INTO kv SELECT g, 0 FROM generate_series(0, {KEYS - 1}) g",
    "CREATE VIEW seen AS SELECT k, v FROM kv",
    """CREATE FUNCTION raise_it(i int) RETURNS void LANGUAGE sql AS
    $$ UPDATE kv SET v = v + 1 WHERE k = i $$""",
)
MORE = text("UPDATE kv SET v = v + 1 WHERE k = :k")
MUCH_MORE = text("UPDATE kv SET v = v + 1000 WHERE k = :k")


def plainly(connection: Connection, k: int) -> int:
    connection.execute(MORE, {"k": k})
    connection.commit()
    return 1


def by_a_function(connection: Connection, k: int) -> int:
    connection.execute(text("SELECT raise_it(:k)"), {"k": k})
    connection.commit()
    return 1


def in_vain(connection: Connection, k: int) -> int:
    connection.execute(MUCH_MORE, {"k": k})
    connection.rollback()
    return 0


def after_a_savepoint(connection: Connection, k: int) -> int:
    with connection.begin_nested() as nested:
        connection.execute(MUCH_MORE, {"k": k})
        nested.rollback()
    return plainly(connection, k)


def at_once(connection: Connection, k: int) -> int:
    connection.execution_options(isolation_level="AUTOCOMMIT").execute(MORE, {"k": k})
    return 1


WAYS = (plainly, by_a_function, in_vain, after_a_savepoint, at_once)


class Board:
    """What was committed of each key, for certain."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.certain = [0] * KEYS
        self.locks = [threading.Lock() for _ in range(KEYS)]
        self.readers = READERS
        self.faults: list[Any] = []

    def write(self, random: Random) -> None:
        while self.readers:
            k = random.randrange(KEYS)
            with self.locks[k], self.engine.connect() as connection:
                self.certain[k] += random.choice(WAYS)(connection, k)
            sleep(random.random() * 0.05)

    def read(self, random: Random) -> None:
        for _ in range(READS):
            k, table = random.randrange(KEYS), random.choice(("kv", "seen"))
            level = "REPEATABLE READ" if random.random() < 0.1 else "READ COMMITTED"
            query = text(f"SELECT v FROM {table} WHERE k = :k")
            before = self.certain[k]
            with self.engine.connect() as opened:
                connection = opened.execution_options(isolation_level=level)
                found = connection.execute(
                    query.execution_options(apsperf_cache="short"), {"k": k}
                ).scalar_one()
                connection.rollback()
            if not before <= found <= self.certain[k] + 1:
                self.faults.append((table, k, found, before, self.certain[k], level))

    def run(self, task: Callable[[Random], None], seed: int) -> None:
        try:
            task(Random(seed))
        except BaseException as fault:
            self.faults.append(fault)
            raise
        finally:
            if task == self.read:
                with self.locks[0]:
                    self.readers -= 1


@pytest.mark.fuzz
def test_no_read_is_stale(postgres: Postgres) -> None:
    suite = Suite()
    engine = suite.database().attach(create_engine(postgres.url(), pool_size=READERS + WRITERS))
    with engine.begin() as connection:
        for statement in SCHEMA:
            connection.exec_driver_sql(statement)
    board = Board(engine)
    tasks = [board.read] * READERS + [board.write] * WRITERS
    threads = [
        threading.Thread(target=board.run, args=(task, SEED * 100 + number), daemon=True)
        for number, task in enumerate(tasks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    assert board.faults == []
    assert sum(board.certain) > 0
    counted = suite.database().stats()
    assert counted.hits > READS * READERS / 4  # how many depends on whose turn it is
