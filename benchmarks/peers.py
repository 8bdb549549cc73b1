"""The database wing beside others of its kind, by turns in one run, as ratios to the bare library.

`make bench` runs it in an environment that has `benchmarks/peers.txt`; by hand it is
`python -m benchmarks.peers [--rounds N] [--only django|sqlalchemy]`. Each arm is a process of its
own, for most of them change Django or SQLAlchemy for good; one works at a time, in an order drawn
anew each round, and the least CPU time of its thread over all rounds counts (an aggregate's is the
wall's, for the server works then). An arm that cannot be had here says why below the table.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers_arms import CASES, DJANGO, SQLALCHEMY
from benchmarks.report import table
from benchmarks.say import say
from tests.db.postgres import Postgres
from tests.drivers.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Least = dict[str, float]

ROUNDS = 12
BARE = "bare"
DATABASES = ("sqlite", "postgresql")
HEADS = {
    "django": (
        *("database", "Django with", "get(pk), us", "x bare", "ten objects, us", "x bare"),
        *("aggregate, wall us", "x bare", "miss over bare, us"),
    ),
    "sqlalchemy": ("database", "SQLAlchemy with", "by key, us", "x bare", "added us"),
}


class Arm:
    """One process with one way to ask a database; `refusal` says why it has none."""

    def __init__(self, kind: str, name: str, given: Mapping[str, Any]) -> None:
        self.name = name
        self.least: Least = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers_arms", kind, name, json.dumps(dict(given))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = self._said()
        self.refusal: str = said.get("refused", "")

    def turn(self, case: str) -> None:
        """One slice of a case."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{case}\n")
        self._process.stdin.flush()
        said = self._said()
        if "us" not in said:
            raise RuntimeError(f"{self.name} has ended in {case}")
        took: float = said["us"]
        self.least[case] = min(self.least.get(case, took), took)

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        said: dict[str, Any] = json.loads(line) if line else {"refused": "it ended at once"}
        return said


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    parser.add_argument("--only", choices=tuple(HEADS), metavar="KIND", help="%(choices)s")
    asked = parser.parse_args(arguments)
    kinds = [asked.only] if asked.only else list(HEADS)
    with (
        tempfile.TemporaryDirectory() as place,
        Postgres() as postgres,
        Server(Path(place) / "redis") as redis,
    ):
        given = {"place": place, "port": postgres.port, "redis": redis.url}
        print("\n\n".join(compared(kind, given, asked.rounds) for kind in kinds))
    return 0


def compared(kind: str, given: Mapping[str, Any], rounds: int) -> str:
    """The table of one library, and who refuses it."""
    rows: list[tuple[str, ...]] = []
    refusals: dict[str, str] = {}
    for database in DATABASES:
        arms = measured(kind, {**given, "database": database}, rounds)
        refusals.update({arm.name: arm.refusal for arm in arms if arm.refusal})
        rows += rows_of(kind, database, [arm for arm in arms if arm.least])
    refused = [f"{name}: {reason}" for name, reason in refusals.items()]
    return "\n".join([table(HEADS[kind], rows), *refused])


def measured(kind: str, given: Mapping[str, Any], rounds: int) -> list[Arm]:
    """All arms on one database, by turns."""
    names = DJANGO if kind == "django" else SQLALCHEMY
    arms: list[Arm] = []
    try:
        for name in names:
            arms.append(Arm(kind, name, given))  # noqa: PERF401 - those begun are ended below
        able = [arm for arm in arms if not arm.refusal]
        for turn in range(rounds):
            say(f"{kind} on {given['database']}: round {turn + 1} of {rounds}")
            for case in CASES[kind]:
                for arm in random.sample(able, len(able)):
                    arm.turn(case)
    finally:
        for arm in arms:
            arm.close()
    return arms


def rows_of(kind: str, database: str, arms: Iterable[Arm]) -> list[tuple[str, ...]]:
    """The arms' figures."""
    known = {arm.name: arm.least for arm in arms}
    bare = known[BARE]
    row = django_row if kind == "django" else sqlalchemy_row
    return [(database, name, *row(least, bare)) for name, least in known.items()]


def django_row(least: Least, bare: Least) -> tuple[str, ...]:
    """An arm's cells."""
    cells: list[str] = []
    for case in ("get", "ten", "aggregate"):
        cells += (f"{least[case]:.1f}", f"{least[case] / bare[case]:.3f}")
    over = least["miss"] - bare["miss"]
    return (*cells, f"{over:+.0f}" if least is not bare else "")


def sqlalchemy_row(least: Least, bare: Least) -> tuple[str, ...]:
    """An arm's cells."""
    own, plain = least["key"], bare["key"]
    return (f"{own:.1f}", f"{own / plain:.2f}", f"{own - plain:+.1f}" if own != plain else "")


if __name__ == "__main__":
    sys.exit(main())
