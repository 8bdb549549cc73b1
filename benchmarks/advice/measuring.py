"""One workload before and after its advised indexes are made."""

from __future__ import annotations

import sys
from math import exp, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.advice.databases import Timed, Workload

HEAD = (
    "workload",
    "statements",
    "before ms",
    "after ms",
    "faster",
    "geomean",
    "indexes",
    "MB",
    "useful",
    "again",
    "advice s",
)
USEFUL = 0.8


def measure(workload: Workload, *, verbose: bool) -> tuple[str, ...]:
    """The figures of a row."""
    try:
        before = workload.timed()
        advice = workload.advise()
        if verbose:
            print(advice, file=sys.stderr)
        for proposal in advice.proposals:
            workload.run(proposal.ddl)
        workload.settle()
        after = workload.timed()
        names = [proposal.name for proposal in advice.proposals]
        useful = sum(is_useful(name, before, after) for name in names)
        again = workload.advise()
        if verbose:
            print(again, file=sys.stderr)
    finally:
        workload.close()
    total, left = sum(each.took_s for each in before), sum(each.took_s for each in after)
    logs = [log(old.took_s / new.took_s) for old, new in zip(before, after, strict=True)]
    size = sum(proposal.size_bytes for proposal in advice.proposals)
    return (
        str(len(before)),
        f"{total * 1000:.0f}",
        f"{left * 1000:.0f}",
        f"{total / left:.1f}x",
        f"{exp(sum(logs) / len(logs)):.1f}x",
        str(len(names)),
        f"{size / 1e6:.0f}",
        f"{useful}/{len(names)}",
        str(len(again.proposals)),
        f"{advice.took_s:.1f}",
    )


def is_useful(name: str, before: list[Timed], after: list[Timed]) -> bool:
    """Whether a statement uses it and is a fifth faster."""
    return any(
        name in new.plan and new.took_s < USEFUL * old.took_s
        for old, new in zip(before, after, strict=True)
    )
