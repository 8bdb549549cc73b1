"""What noting a statement costs, beside SQLAlchemy's own events.

`python -m benchmarks.statements [--rounds N]`: a `SELECT 1` on SQLite in memory, by turns bare and
with each arm; the least CPU time of the thread over all rounds counts, and what an arm adds to it.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from time import thread_time
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, text
from sqlalchemy.pool import StaticPool

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan, current
from benchmarks.report import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection, Engine

ROUNDS = 25
SLICE = 2000
QUERY = text("SELECT 1")
BARE = "bare"
HEAD = ("noted by", "CPU us a statement", "added us")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statements", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds: int = parser.parse_args(arguments).rounds
    suite = Suite()
    with ExitStack() as stack:
        opened: dict[str, Connection] = {}
        for name, prepare in arms(suite).items():
            engine = create_engine("sqlite://", poolclass=StaticPool)
            stack.callback(engine.dispose)
            prepare(engine)
            opened[name] = stack.enter_context(engine.connect())
        least = measure(opened, rounds, suite)
    rows = [(name, f"{us:.2f}", f"{us - least[BARE]:+.2f}") for name, us in least.items()]
    print(table(HEAD, rows))
    suite.close()
    return 0


def arms(suite: Suite) -> dict[str, Callable[[Engine], object]]:
    """What each does to its engine."""
    return {
        BARE: lambda _: None,
        "an empty pair of events": with_events,
        "apsperf-mw": suite.database().attach,
        "apsperf-mw, within a request": suite.database().attach,
    }


def with_events(engine: Engine) -> None:
    """Two listeners that do nothing."""
    for name in ("before_cursor_execute", "after_cursor_execute"):
        event.listen(engine, name, nothing)


def nothing(*_: Any) -> None:
    """What the listeners do."""


def measure(opened: dict[str, Connection], rounds: int, suite: Suite) -> dict[str, float]:
    """The least microseconds of each arm; counting is done between the slices."""
    least = dict.fromkeys(opened, float("inf"))
    for _ in range(rounds):
        for name, connection in opened.items():
            token = current.set(Plan() if "request" in name else None)
            least[name] = min(least[name], one_slice(connection))
            current.reset(token)
            suite.exporter.ledger.drain(wait=True)
    return least


def one_slice(connection: Connection) -> float:
    """Microseconds of CPU a statement."""
    began = thread_time()
    for _ in range(SLICE):
        connection.execute(QUERY).scalar()
    return (thread_time() - began) / SLICE * 1e6


if __name__ == "__main__":
    sys.exit(main())
