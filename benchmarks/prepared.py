"""What a query of three tables costs in sessions that only read, prepared and not.

`python -m benchmarks.prepared [--rounds N] [--reads N]`: one psycopg connection to a PostgreSQL of
its own, by turns; the least wall time of a session over all rounds.
"""

from __future__ import annotations

import argparse
import sys
from time import perf_counter
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import create_engine, text

from apsperf_mw import Database
from benchmarks.report import table
from tests.db.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

ROUNDS, READS = 12, 200
HEAD = ("a session that reads, by", "us", "times")
BARE, NEVER, OURS = "SQLAlchemy alone", 'prepare="never"', "db.create_engine"
QUERY = """SELECT c.name, count(*), sum(l.amount) FROM customer c
    JOIN bill b ON b.customer_id = c.id JOIN line l ON l.bill_id = b.id
    WHERE c.id = :customer GROUP BY c.name"""
SHOP = b"""
CREATE TABLE customer (id int PRIMARY KEY, name text);
CREATE TABLE bill (id int PRIMARY KEY, customer_id int);
CREATE TABLE line (id int PRIMARY KEY, bill_id int, amount numeric);
INSERT INTO customer SELECT i, 'customer ' || i FROM generate_series(1, 1000) i;
INSERT INTO bill SELECT i, i % 1000 FROM generate_series(1, 5000) i;
INSERT INTO line SELECT i, i % 5000, 1 FROM generate_series(1, 20000) i;
CREATE INDEX ON bill (customer_id);
CREATE INDEX ON line (bill_id);
ANALYZE;
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prepared", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--reads", type=int, default=READS)
    given = parser.parse_args(arguments)
    with Postgres() as server, Database() as database, Database(prepare="never") as other:
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute(SHOP)
        url = server.url()
        engines = {
            BARE: create_engine(url, pool_size=1),
            NEVER: other.create_engine(url, pool_size=1),
            OURS: database.create_engine(url, pool_size=1),
        }
        least = least_of(engines, given.rounds, lambda engine: read(engine, given.reads))
        for engine in engines.values():
            engine.dispose()
    shown = [(name, f"{us:.0f}", f"{us / least[OURS]:.1f}x") for name, us in least.items()]
    print(table(HEAD, shown))
    return 0


def least_of(
    engines: dict[str, Engine], rounds: int, measure: Callable[[Engine], float]
) -> dict[str, float]:
    """The least of so many rounds, each engine by turns."""
    least = dict.fromkeys(engines, float("inf"))
    for _ in range(rounds):
        for name, engine in engines.items():
            least[name] = min(least[name], measure(engine))
    return least


def read(engine: Engine, times: int) -> float:
    """Microseconds of a session."""
    query = text(QUERY)
    started = perf_counter()
    for number in range(times):
        with engine.connect() as connection:
            connection.execute(query, {"customer": number}).all()
    return (perf_counter() - started) / times * 1e6


if __name__ == "__main__":
    sys.exit(main())
