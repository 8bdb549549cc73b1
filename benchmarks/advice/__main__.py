"""What advised indexes are worth: they are made, and the workload is timed before and after.

`python -m benchmarks.advice [--only NAME]`: a web shop of a million rows on PostgreSQL and SQLite,
the Chinook shop, and TPC-H at scale 0.2, whose generator and queries pip fetches once. Plans are
serial and not compiled. "Useful" is an index that a statement uses which it makes a fifth faster
at least; "again" is how many are proposed once they are there.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from benchmarks.advice.databases import TPCH, Chinook, Shop, ShopSQLite
from benchmarks.advice.measuring import HEAD, measure
from benchmarks.report import table
from tests.db.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.advice.databases import Workload

WORKLOADS: dict[str, Callable[[Postgres, float], Workload]] = {
    "shop-postgresql": Shop,
    "shop-sqlite": ShopSQLite,
    "chinook": Chinook,
    "tpch": TPCH,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.advice", description=__doc__)
    parser.add_argument("--only", choices=list(WORKLOADS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the shop's million rows")
    parser.add_argument("--verbose", action="store_true", help="print each advice")
    given = parser.parse_args(arguments)
    rows = []
    with Postgres() as server:
        for name, make in WORKLOADS.items():
            if given.only in {None, name}:
                rows.append((name, *measure(make(server, given.scale), verbose=given.verbose)))
    print(table(HEAD, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
