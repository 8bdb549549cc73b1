"""Replay traces: `python -m benchmarks.eviction [--quick] [--trace NAME] [--json FILE]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from benchmarks.eviction.measure import measure
from benchmarks.eviction.tables import tables
from benchmarks.eviction.traces import SOURCES
from benchmarks.say import say

RESULTS = Path(__file__).resolve().parents[1] / "results" / "eviction.json"


def main(arguments: list[str] | None = None) -> int:
    """Replay, print the tables and write the JSON."""
    asked = parser().parse_args(arguments)
    outcome = measure(asked.trace or (), quick=asked.quick, progress=say)
    say("")
    print(tables(outcome))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=2) + b"\n")
    print(f"\nwritten to {asked.json}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.eviction", description=__doc__)
    made.add_argument("--quick", action="store_true", help="the first requests of each trace only")
    made.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="%(default)s")
    made.add_argument(
        "--trace", action="append", choices=tuple(SOURCES), metavar="NAME", help="%(choices)s"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
