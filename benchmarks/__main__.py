"""Run the benchmark: `python -m benchmarks [--quick] [--only NAME] [--rounds N] [--json FILE]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import imports, inprocess, servers
from benchmarks.cases import CASE_NAMES, PLANS
from benchmarks.data import compared
from benchmarks.eviction.measure import measure as replayed
from benchmarks.report import Report, about, write
from benchmarks.say import say
from benchmarks.servers import KINDS
from benchmarks.tables import tables

RESULTS = Path(__file__).resolve().parent / "results" / "bench.json"
SECTIONS = ("in-process", "servers", "import")
# Rounds and requests a slice of each section, in full and quick.
FULL = {"in-process": (80, 400), "servers": (7, 4000), "import": (15, 1)}
QUICK = {"in-process": (6, 200), "servers": (1, 400), "import": (3, 1)}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables and write the JSON."""
    asked = parser().parse_args(arguments)
    report = measured(asked)
    print(tables(report))
    if asked.only in {None, "data"}:
        rounds = asked.rounds or (3 if asked.quick else 30)
        print(f"\nsuite.cache beside other caches, for one value\n\n{compared(rounds)}")
    write(report, asked.json)
    print(f"\nwritten to {asked.json}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument("--quick", action="store_true", help="seconds instead of minutes, coarse")
    made.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="%(default)s")
    made.add_argument("--rounds", type=_positive, metavar="N", help="rounds of every measurement")
    made.add_argument(
        "--only",
        choices=(*SECTIONS, "eviction", "data", *CASE_NAMES, *KINDS),
        metavar="NAME",
        help="one section, in-process case or server: %(choices)s",
    )
    return made


def measured(asked: argparse.Namespace) -> Report:
    """Measure what was asked for."""
    plans = [plan for plan in PLANS if asked.only in {None, "in-process", plan.name}]
    kinds = [kind for kind in KINDS if asked.only in {None, "servers", kind}]
    sizes = QUICK if asked.quick else FULL
    (rounds, inside), (turns, served), (pairs, _) = (
        (asked.rounds or rounds, requests) for rounds, requests in map(sizes.__getitem__, SECTIONS)
    )
    return Report(
        about(quick=asked.quick, rounds=asked.rounds, sizes=sizes, method=inprocess.__doc__),
        inprocess.measure(plans, rounds=rounds, slice_requests=inside, progress=say)
        if plans
        else [],
        servers.measure(kinds, rounds=turns, slice_requests=served, progress=say),
        imports.measure(rounds=pairs, progress=say) if asked.only in {None, "import"} else None,
        replayed(quick=asked.quick, progress=say) if asked.only in {None, "eviction"} else None,
    )


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} given; accepted: a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
