"""Who sends a statement that many want, and how a driver tells that it holds a snapshot."""

from __future__ import annotations

import sqlite3
from functools import partial
from threading import Barrier, Thread
from typing import TYPE_CHECKING

import pytest

from apsperf_mw.db.drivers import sqlite_held
from apsperf_mw.db.turns import Turn, Turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """To a file in WAL mode, with some rows."""
    made = sqlite3.connect(tmp_path / "held.sqlite", isolation_level=None)
    made.execute("PRAGMA journal_mode = WAL")
    made.execute("CREATE TABLE things (id INTEGER PRIMARY KEY)")
    made.executemany("INSERT INTO things VALUES (?)", [(number,) for number in range(500)])
    yield made
    made.close()


def test_one_takes_the_turn_and_the_others_are_woken_once() -> None:
    turns = Turns()
    woken: list[int] = []
    turn, own = turns.take("key")
    others = [turns.take("key") for _ in range(3)]
    for number, (other, is_own) in enumerate(others):
        assert other is turn
        assert not is_own
        other.join(partial(woken.append, number))
    assert own
    assert not woken
    turns.leave("key", turn)
    assert sorted(woken) == [0, 1, 2]
    turn.join(lambda: woken.append(3))
    assert woken.count(3) == 1
    assert turns.take("key")[1]


def test_a_waiter_that_cannot_be_woken_keeps_no_other_from_being() -> None:
    turns, woken = Turns(), []
    turn, _ = turns.take("key")

    def fails() -> None:
        raise RuntimeError("the event loop is closed")

    turn.join(lambda: woken.append("first"))
    turn.join(fails)
    turn.join(lambda: woken.append("last"))
    turns.leave("key", turn)
    assert sorted(woken) == ["first", "last"]


def test_whoever_joins_while_it_ends_is_woken_all_the_same() -> None:
    for _ in range(200):
        turns, start = Turns(), Barrier(3)
        woken: list[None] = []
        turn, _ = turns.take("key")
        threads = [Thread(target=join_often, args=(turn, woken, start)) for _ in range(2)]
        for each in threads:
            each.start()
        start.wait()
        turns.leave("key", turn)
        for each in threads:
            each.join()
        assert len(woken) == 40


def join_often(turn: Turn, woken: list[None], start: Barrier) -> None:
    """Have a turn wake many."""
    start.wait()
    for _ in range(20):
        turn.join(partial(woken.append, None))


def test_sqlite_is_held_while_rows_are_left(connection: sqlite3.Connection) -> None:
    assert not sqlite_held(connection)
    reader = connection.execute("SELECT id FROM things")
    assert reader.fetchone() == (0,)
    assert sqlite_held(connection)
    assert len(reader.fetchall()) == 499
    assert not sqlite_held(connection)


def test_sqlite_is_asked_in_a_transaction_too(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("DELETE FROM things WHERE id = 1")
    assert not sqlite_held(connection)
    reader = connection.execute("SELECT id FROM things")
    reader.fetchone()
    assert sqlite_held(connection)
    reader.close()
    assert not sqlite_held(connection)
    connection.execute("ROLLBACK")
    assert connection.execute("SELECT count(*) FROM things").fetchone() == (500,)


def test_a_look_at_a_write_that_is_half_read_leaves_it(connection: sqlite3.Connection) -> None:
    writer = connection.execute("INSERT INTO things VALUES (900), (901) RETURNING id")
    assert writer.fetchone() == (900,)
    assert sqlite_held(connection)
    assert writer.fetchall() == [(901,)]
    assert not sqlite_held(connection)
    assert connection.execute("SELECT count(*) FROM things").fetchone() == (502,)
