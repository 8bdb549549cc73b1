"""Threads that write by keys and in other ways, with `database.rows`: no read is stale.

`N` is how many reads each reader makes, `SEED` what they draw from.
"""

from __future__ import annotations

import os
import threading
from random import Random
from time import sleep
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select, text, update
from sqlalchemy.engine import Connection, Engine

from apsperf_mw import Suite
from apsperf_mw.db.rows import Keyed
from tests.db.postgres import Postgres
from tests.db.test_rows_fuzz import KEYS, READERS, SCHEMA, WAYS, WRITERS, Board

READS = int(os.environ.get("N") or 1500)
SEED = int(os.environ.get("SEED") or 1)
KV = Table("kv", MetaData(), Column("k", Integer, primary_key=True), Column("v", Integer))
MORE = update(KV).values(v=KV.c.v + 1)
ASKED = {"apsperf_cache": "short"}


def typed(connection: Connection, k: int) -> int:
    connection.execute(MORE.where(KV.c.k == k))
    connection.commit()
    return 1


def many_times(connection: Connection, k: int) -> int:
    connection.execute(text("UPDATE kv SET v = v + 1 WHERE k = :k"), [{"k": k}, {"k": k + 100}])
    connection.commit()
    return 1


def as_another_type(connection: Connection, k: int) -> int:
    connection.execute(text("UPDATE kv SET v = v + 1 WHERE k = CAST(:k AS int)"), {"k": str(k)})
    connection.commit()
    return 1


def by_a_list(connection: Connection, k: int) -> int:
    connection.execute(MORE.where(KV.c.k.in_([k, k + 100])))
    connection.commit()
    return 1


def with_a_literal(connection: Connection, k: int) -> int:
    connection.exec_driver_sql(f"UPDATE kv SET v = v + 1 WHERE k = {k}")
    connection.commit()
    return 1


def through_a_view(connection: Connection, k: int) -> int:
    connection.execute(text("UPDATE seen SET v = v + 1 WHERE k = :k"), {"k": k})
    connection.commit()
    return 1


def in_its_place(connection: Connection, k: int) -> int:
    before = connection.execute(select(KV.c.v).where(KV.c.k == k)).scalar_one()
    connection.execute(text("DELETE FROM kv WHERE k = :k"), {"k": k})
    connection.execute(insert(KV).values(k=k, v=before + 1))
    connection.commit()
    return 1


def over_another(connection: Connection, k: int) -> int:
    upsert = "INSERT INTO kv VALUES (:k, 0) ON CONFLICT (k) DO UPDATE SET v = kv.v + 1"
    connection.execute(text(upsert), {"k": k})
    connection.commit()
    return 1


def under_another_key(connection: Connection, k: int) -> int:
    move = text("UPDATE kv SET k = :new, v = v + 1 WHERE k = :k")
    connection.execute(move, {"k": k, "new": -1 - k})
    connection.execute(text("UPDATE kv SET k = :new WHERE k = :k"), {"k": -1 - k, "new": k})
    connection.commit()
    return 1


BY_KEY = (typed, many_times, by_a_list, in_its_place)
OTHERS = (*WAYS, as_another_type, with_a_literal, through_a_view, over_another, under_another_key)


class Rows(Board):
    """The board, with reads and writes of more kinds; most writes are by keys."""

    reads = READS

    def write(self, random: Random) -> None:
        while self.readers:
            k = random.randrange(KEYS)
            way = random.choice(BY_KEY if random.random() < 0.7 else OTHERS)
            with self.locks[k], self.engine.connect() as connection:
                self.certain[k] += way(connection, k)
            sleep(random.random() * 0.05)

    def read(self, random: Random) -> None:
        for _ in range(self.reads):
            level = "REPEATABLE READ" if random.random() < 0.1 else "READ COMMITTED"
            keys = sorted(random.sample(range(KEYS), random.choice((1, 1, 1, 2))))
            before = [self.certain[k] for k in keys]
            with self.engine.connect() as opened:
                connection = opened.execution_options(isolation_level=level, **ASKED)
                found = self.found(connection, keys, random.random())
                connection.rollback()
            for k, least, value in zip(keys, before, found, strict=True):
                if not least <= value <= self.certain[k] + 1:
                    self.faults.append((k, value, least, self.certain[k], level))

    def found(self, connection: Connection, keys: list[int], which: float) -> list[int]:
        """The values of these keys, read in one of the ways."""
        if which < 0.1:
            every = {row.k: row.v for row in connection.execute(text("SELECT k, v FROM kv"))}
            return [every[k] for k in keys]
        if which < 0.2:
            seen = text("SELECT v FROM seen WHERE k = :k")
            return [connection.execute(seen, {"k": k}).scalar_one() for k in keys]
        if which < 0.4:
            query = select(KV.c.v).where(KV.c.k.in_(keys)).order_by(KV.c.k)
            return list(connection.execute(query).scalars())
        if which < 0.6:
            plain = text("SELECT v FROM kv WHERE k = :k")
            return [connection.execute(plain, {"k": k}).scalar_one() for k in keys]
        return [connection.execute(select(KV.c.v).where(KV.c.k == k)).scalar_one() for k in keys]


def fuzzed(postgres: Postgres, reads: int) -> tuple[Rows, Engine, Suite]:
    suite = Suite(database={"rows": True})
    engine = suite.database().attach(create_engine(postgres.url(), pool_size=READERS + WRITERS))
    with engine.begin() as connection:
        for statement in SCHEMA:
            connection.exec_driver_sql(statement)
    board = Rows(engine)
    board.reads = reads
    tasks = [board.read] * READERS + [board.write] * WRITERS
    threads = [
        threading.Thread(target=board.run, args=(task, SEED * 100 + number), daemon=True)
        for number, task in enumerate(tasks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return board, engine, suite


@pytest.mark.fuzz
def test_no_read_is_stale_and_other_rows_stay(postgres: Postgres) -> None:
    board, engine, suite = fuzzed(postgres, READS)
    assert board.faults == []
    assert sum(board.certain) > 0
    counted = suite.database().stats()
    assert counted.hits > READS * READERS / 4  # how many depends on whose turn it is
    check_the_others_stay(board, engine, suite)
    engine.dispose()
    suite.close()


def check_the_others_stay(board: Rows, engine: Engine, suite: Suite) -> None:
    """After a write by a key all others are still kept, and only its own row is read anew."""
    random = Random(SEED)
    with engine.connect() as opened:
        connection = opened.execution_options(**ASKED)

        def values() -> list[int]:
            found = [
                connection.execute(select(KV.c.v).where(KV.c.k == k)).scalar_one()
                for k in range(KEYS)
            ]
            connection.rollback()
            return found

        assert values() == board.certain
        for _ in range(40):
            k = random.randrange(KEYS)
            with engine.connect() as writer:
                board.certain[k] += random.choice(BY_KEY)(writer, k)
            before = suite.database().stats().hits
            assert values() == board.certain
            assert suite.database().stats().hits == before + KEYS - 1


@pytest.mark.fuzz
def test_it_finds_what_is_stale(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: where a write does not make its rows void, it is seen."""
    tags = Keyed.tags

    def forgets(keyed: Keyed, given: Any) -> set[str] | None:
        return tags(keyed, given) if keyed.reads else set()

    monkeypatch.setattr(Keyed, "tags", forgets)
    board, engine, suite = fuzzed(postgres, 300)
    engine.dispose()
    suite.close()
    assert board.faults != []
