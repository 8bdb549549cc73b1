"""The outcome as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.eviction.caches import BASE, contenders
from benchmarks.eviction.measure import (
    PERCENTS,
    geometric,
    ratio,
    share_of_best,
    worst,
)
from benchmarks.report import against_bar, table

if TYPE_CHECKING:
    from benchmarks.eviction.measure import Outcome
    from benchmarks.eviction.replay import Run

# What the default policy may have of LRU's misses and waits, on the traces of the web.
BARS = {("entries", "alike"): 0.87, ("bytes", "alike"): 0.72, ("entries", "differing"): 0.65}
HIT_BAR = 1.25
OURS = "gdsf"
KINDS = (("entries", "alike"), ("bytes", "alike"), ("entries", "differing"), ("bytes", "differing"))


def tables(outcome: Outcome) -> str:
    """Every table, and what was left out."""
    parts = [ratios(outcome, *kind) for kind in KINDS]
    parts += [bests(outcome), costs(outcome), bars(outcome)]
    if outcome.missing:
        parts.append(f"not installed, left out: {', '.join(outcome.missing)}")
    return "\n\n".join(part for part in parts if part)


def _names(outcome: Outcome) -> list[str]:
    there = {run.cache for run in outcome.runs}
    return [each.name for each in contenders() if each.name in there]


def _rows(outcome: Outcome, bound: str, fills: str) -> dict[tuple[str, int], dict[str, Run]]:
    rows: dict[tuple[str, int], dict[str, Run]] = {}
    for run in outcome.runs:
        if (run.bound, run.fills) == (bound, fills):
            rows.setdefault((run.trace, run.percent), {})[run.cache] = run
    return rows


def ratios(outcome: Outcome, bound: str, fills: str) -> str:
    """LRU's hit ratio or its mean wait, and by how much the others' misses or waits differ."""
    found = _rows(outcome, bound, fills)
    if not found:
        return ""
    names = [name for name in _names(outcome) if any(name in row for row in found.values())]
    others = [name for name in names if name != BASE.name]
    waits = fills == "differing"
    title = f"{'waits' if waits else 'misses'} by {bound}"
    head = (title, "room", "LRU waits ms" if waits else "LRU hits", *others)
    lines = [_line(outcome, row, others, waits=waits) for row in found.values()]
    means = [_mean_line(outcome, percent, bound, fills, others) for percent in PERCENTS]
    return table(head, [*lines, *means])


def _line(
    outcome: Outcome, row: dict[str, Run], others: list[str], *, waits: bool
) -> tuple[str, ...]:
    base = row[BASE.name]
    first = f"{base.waited_s / base.requests * 1000:.2f}" if waits else f"{base.hit_ratio:.3f}"
    cells = [f"{ratio(outcome, row[name]):.3f}" if name in row else "" for name in others]
    return (base.trace, f"{base.percent} %", first, *cells)


def _mean_line(
    outcome: Outcome, percent: int, bound: str, fills: str, others: list[str]
) -> tuple[str, ...]:
    means = [geometric(outcome, name, percent, bound, fills) for name in others]
    cells = ["" if mean is None else f"{mean:.3f}" for mean in means]
    return ("geometric, web", f"{percent} %", "", *cells)


def bests(outcome: Outcome) -> str:
    """The share of the hits that a cache which knows the future would have."""
    found = _rows(outcome, "entries", "alike")
    names = _names(outcome)
    rows = [
        (
            trace,
            f"{percent} %",
            *(f"{share_of_best(outcome, row[name]):.2f}" if name in row else "" for name in names),
        )
        for (trace, percent), row in found.items()
    ]
    return table(("share of Belady's hits", "room", *names), rows)


def costs(outcome: Outcome) -> str:
    """CPU: of one hit, and of one request of all traces at 5 %."""
    base = outcome.hit_ns[BASE.name]
    rows = [
        (name, "", f"{hit_ns:.0f}", f"{hit_ns / base:.2f}x", f"{_request_us(outcome, name):.2f}")
        for name, hit_ns in outcome.hit_ns.items()
    ]
    return table(("CPU", "", "hit ns", "to LRU", "request us"), rows)


def _request_us(outcome: Outcome, name: str) -> float:
    runs = [
        run
        for run in outcome.runs
        if (run.cache, run.percent, run.bound, run.fills) == (name, 5, "entries", "differing")
    ]
    return sum(run.cpu_us * run.requests for run in runs) / sum(run.requests for run in runs)


def bars(outcome: Outcome) -> str:
    """What the default policy reaches of what it must."""
    rows = [
        (f"{fills} fills, by {bound}", f"{percent} %", f"{mean:.3f}", against_bar(mean, bar, "LRU"))
        for (bound, fills), bar in BARS.items()
        for percent in PERCENTS
        if (mean := geometric(outcome, OURS, percent, bound, fills)) is not None
    ]
    for bound in ("entries", "bytes"):
        if _rows(outcome, bound, "alike"):
            most = worst(outcome, OURS, bound)
            cells = f"{most:.4f}", against_bar(most, 1.0, "LRU")
            rows.append((f"any trace, by {bound}", "", *cells))
    hit = outcome.hit_ns[OURS] / outcome.hit_ns[BASE.name]
    rows.append(("CPU of a hit", "", f"{hit:.2f}", against_bar(hit, HIT_BAR, "LRU")))
    return table((OURS, "room", "to LRU", "bar"), rows)
