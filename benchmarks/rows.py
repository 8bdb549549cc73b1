"""What a query costs that is answered from the cache, and one that is not, beside the bare engine.

`python -m benchmarks.rows [--rounds N]`: a select by primary key on SQLite in memory and on a
PostgreSQL of its own, by turns; the least CPU time of the thread over all rounds counts.
"""

from __future__ import annotations

import argparse
import sys
from itertools import count
from time import thread_time
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, insert, select
from sqlalchemy.pool import StaticPool

from apsperf_mw import Suite
from benchmarks.report import table
from tests.db.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.engine import Connection, Engine

    Select = Any

ROUNDS = 12
SLICE = 500
ROWS = 100
HEAD = ("database", "bare us", "noted us", "hit us", "hit / bare", "miss over bare us")
THINGS = Table(
    "things", MetaData(), Column("id", Integer, primary_key=True), Column("name", String)
)
_numbers = count(ROWS + 1)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rows", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds: int = parser.parse_args(arguments).rounds
    with Postgres() as server:
        kinds: dict[str, Callable[[], Engine]] = {
            "SQLite in memory": lambda: create_engine("sqlite://", poolclass=StaticPool),
            "PostgreSQL, psycopg": lambda: create_engine(server.url()),
        }
        rows = [(name, *row(make, rounds)) for name, make in kinds.items()]
    print(table(HEAD, rows))
    return 0


def row(make: Callable[[], Engine], rounds: int) -> tuple[str, ...]:
    """The figures of one database."""
    suite = Suite(cache={"purge_file": "none"})
    bare, watched = make(), make()
    for engine in (bare, watched):
        fill(engine)
    suite.database().attach(watched)
    with bare.connect() as plain, watched.connect() as noted:
        least = measure(plain, noted, rounds)
    bare.dispose()
    watched.dispose()
    suite.close()
    over = least["miss"] - least["bare, each another"]
    shown = (least["bare"], least["noted"], least["hit"])
    return (*(f"{us:.1f}" for us in shown), f"{shown[2] / shown[0]:.2f}", f"{over:+.1f}")


def fill(engine: Engine) -> None:
    """The table, with some rows."""
    THINGS.metadata.create_all(engine)
    with engine.begin() as connection:
        if connection.execute(select(THINGS.c.id)).first() is None:
            rows = [{"id": number, "name": f"thing {number}"} for number in range(ROWS)]
            connection.execute(insert(THINGS), rows)


def measure(plain: Connection, noted: Connection, rounds: int) -> dict[str, float]:
    """The least microseconds of each arm."""
    same, asked = by_key(5), by_key(5).execution_options(apsperf_cache="short")
    arms: dict[str, Callable[[], float]] = {
        "bare": lambda: one_slice(plain, [same] * SLICE),
        "noted": lambda: one_slice(noted, [same] * SLICE),
        "hit": lambda: one_slice(noted, [asked] * SLICE),
        "bare, each another": lambda: one_slice(plain, others()),
        "miss": lambda: one_slice(noted, others(apsperf_cache="short")),
    }
    least = dict.fromkeys(arms, float("inf"))
    for _ in range(rounds):
        for name, arm in arms.items():
            least[name] = min(least[name], arm())
    return least


def by_key(number: int) -> Select:
    """The query."""
    return select(THINGS.c.id, THINGS.c.name).where(THINGS.c.id == number)


def others(**options: Any) -> list[Select]:
    """Queries that nobody has sent before."""
    return [by_key(next(_numbers)).execution_options(**options) for _ in range(SLICE)]


def one_slice(connection: Connection, queries: Iterable[Select]) -> float:
    """Microseconds of CPU a query, in one transaction."""
    began = thread_time()
    for query in queries:
        connection.execute(query).all()
    took_s = thread_time() - began
    connection.rollback()
    return took_s / SLICE * 1e6


if __name__ == "__main__":
    sys.exit(main())
