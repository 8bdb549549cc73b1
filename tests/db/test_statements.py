"""What is known of statements: bounded, whole under threads, and forgotten in a forked child."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.errors import SettingError
from apsperf_mw.observe import statements as counted
from apsperf_mw.observe.shapes import OTHERS


def test_nothing_is_lost_between_threads() -> None:
    suite = Suite()
    recorder = suite.children.statements.of("sqlite")

    def note(_: int) -> None:
        for number in range(5000):
            recorder.note(f"SELECT {number % 7}", 0.001)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(note, range(8)))
    (row,) = suite.database().stats().rows
    assert (row.calls, row.errors) == (40_000, 0)
    assert row.total_ms == pytest.approx(40_000)
    assert row.p50_ms == pytest.approx(1, rel=0.03)


def test_shapes_and_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "MOST_KNOWN_SHAPES", 10)
    monkeypatch.setattr(counted, "MOST_TEXTS", 20)
    suite = Suite()
    recorder = suite.children.statements.of("sqlite")
    for number in range(100):
        recorder.note(f"SELECT a{number} FROM b WHERE c = {number}", 0.001)
    rows = suite.database().stats().rows
    assert len(rows) == 11
    assert max((row.calls, row.statement) for row in rows) == (90, OTHERS)
    assert len(recorder.known) <= 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_counts_its_own() -> None:
    suite = Suite()
    recorder = suite.children.statements.of("sqlite")
    suite.exporter.start()
    recorder.note("SELECT 1", 0.001)
    child = os.fork()
    if not child:
        recorder.note("SELECT 2", 0.001)
        recorder.note("SELECT 2", 0.001)
        calls = [row.calls for row in suite.database().stats().rows]
        os._exit(0 if calls == [2] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert suite.database().stats().calls == 1
    suite.close()


def test_the_costliest_stands_first_and_all_is_printed() -> None:
    suite = Suite()
    recorder = suite.children.statements.of("postgresql")
    recorder.note("SELECT a FROM b", 0.5)
    for _ in range(3):
        recorder.note("SELECT c FROM d WHERE e = 'x'", 0.2, "Broken")
    told = suite.database().stats()
    assert [row.statement for row in told.rows] == [
        "SELECT c FROM d WHERE e = ?",
        "SELECT a FROM b",
    ]
    assert told.as_dict()["rows"][0]["errors"] == 3
    lines = str(told).splitlines()
    assert lines[0] == "4 statements in 1100.0 ms"
    assert lines[2].split() == [
        "calls", "total", "p50", "p95", "p99", "longest", "errors", "rows", "hits",
        "statement",
    ]  # fmt: skip
    assert lines[3].endswith("SELECT c FROM d WHERE e = ?")
    assert str(Suite().database().stats()) == "0 statements in 0.0 ms"


def test_a_connection_is_wrapped() -> None:
    suite = Suite()
    with closing(sqlite3.connect(":memory:")) as real:
        connection = suite.database().wrap(real)
        connection.execute("CREATE TABLE a (b)")
        connection.executescript("SELECT 'script'; SELECT 1")
        cursor = connection.cursor()
        assert cursor.execute("SELECT 1").fetchall() == [(1,)]
        assert list(connection.execute("SELECT 2")) == [(2,)]
        cursor.executemany("INSERT INTO a VALUES (?)", [(1,), (2,)])
        with connection:
            connection.execute("DELETE FROM a WHERE b = 1")
        connection.row_factory = sqlite3.Row
        assert real.row_factory is sqlite3.Row
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("SELECT * FROM nowhere")
        assert connection.in_transaction is False
    rows = {row.statement: row for row in suite.database().stats().rows}
    assert rows["SELECT ?"].calls == 2
    assert rows["SELECT ?"].system == "sqlite"
    assert rows["SELECT * FROM nowhere"].errors == 1
    assert rows["INSERT INTO a VALUES (?)"].calls == 1


class Awaited:
    """As async drivers' connections are."""

    def cursor(self) -> None: ...

    async def commit(self) -> None: ...


def test_keywords_reach_the_driver() -> None:
    class Driver:
        def cursor(self) -> Any:
            return self

        def execute(self, text: str, *, prepare: bool) -> str:
            return f"{text} {prepare}"

    connection = Suite().database().wrap(Driver(), "postgresql")
    assert connection.cursor().execute("SELECT 1", prepare=True) == "SELECT 1 True"


@pytest.mark.parametrize("given", ["sqlite://", None, 7, Awaited()])
def test_what_is_no_connection_is_refused(given: Any) -> None:
    with pytest.raises(SettingError, match="accepted: a DB-API connection"):
        Suite().database().wrap(given)
