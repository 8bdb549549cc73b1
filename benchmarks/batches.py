"""What a row costs that is written with many others, beside SQLAlchemy's and psycopg's own ways.

`python -m benchmarks.batches [--rounds N] [--rows N]`: rows of four columns into an empty table of
a PostgreSQL of its own, by turns; the least wall time over all rounds.
"""

from __future__ import annotations

import argparse
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Integer, MetaData, String, Table, insert, text

from apsperf_mw import Database
from benchmarks.report import table
from tests.db.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

ROUNDS, ROWS = 7, 5000
HEAD = ("5,000 rows by", "us a row", "times")
THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(40)),
    Column("number", Integer),
    Column("other", String(40)),
)
BATCH = "db.batch"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batches", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rows", type=int, default=ROWS)
    given = parser.parse_args(arguments)
    rows = [
        {"id": n, "name": f"thing {n}", "number": n * 7, "other": "x" * 20}
        for n in range(given.rows)
    ]
    with Postgres() as server, Database() as database:
        engine = database.create_engine(server.url())
        THINGS.metadata.create_all(engine)
        ways = ways_of(database)
        least = dict.fromkeys(ways, float("inf"))
        for _ in range(given.rounds):
            for name, way in ways.items():
                with engine.connect() as connection:
                    connection.execute(text("TRUNCATE things"))
                    connection.commit()
                    started = perf_counter()
                    way(connection, rows)
                    connection.commit()
                    took = (perf_counter() - started) / len(rows) * 1e6
                least[name] = min(least[name], took)
        engine.dispose()
    shown = [(name, f"{us:.1f}", f"{us / least[BATCH]:.1f}x") for name, us in least.items()]
    print(table(HEAD, shown))
    return 0


def ways_of(database: Database) -> dict[str, Callable[[Connection, list[dict[str, Any]]], object]]:
    """Each writes the rows."""
    return {
        "psycopg's executemany": executemany,
        "SQLAlchemy's insertmanyvalues": lambda to, rows: to.execute(insert(THINGS), rows),
        BATCH: lambda to, rows: batch(database, to, rows),
    }


def executemany(to: Connection, rows: list[dict[str, Any]]) -> None:
    """The driver's own."""
    connection: Any = to.connection.driver_connection
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO things VALUES (%(id)s, %(name)s, %(number)s, %(other)s)", rows
        )


def batch(database: Database, to: Connection, rows: list[dict[str, Any]]) -> None:
    """Ours."""
    with database.batch(to) as writing:
        writing.insert(THINGS, *rows)


if __name__ == "__main__":
    sys.exit(main())
