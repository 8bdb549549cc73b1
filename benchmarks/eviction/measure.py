"""What is replayed, and what is made of it: ratios to LRU, the share of the best, CPU."""

from __future__ import annotations

import math
from itertools import product
from time import process_time
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.eviction.caches import BASE, OURS, contenders, missing
from benchmarks.eviction.replay import Run, belady_misses, replay, room
from benchmarks.eviction.traces import SOURCES, WEB, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.eviction.caches import Contender
    from benchmarks.eviction.traces import Trace

PERCENTS = (1, 5, 10)
QUICK_REQUESTS = 5000
# Bounded by bytes only where the sizes are a trace's own, and for the geometric mean of the web.
BYTE_TRACES = ("nasa", "semicomplete", "web12", "adaptsize")
READS = 200_000


class Outcome(Struct):
    """All runs, the fewest misses possible by trace and percent, and the CPU of one hit in ns."""

    runs: list[Run]
    best: dict[str, int]
    hit_ns: dict[str, float]
    missing: list[str]


def measure(
    names: Sequence[str] = (), *, quick: bool = False, progress: Callable[[str], None] = print
) -> Outcome:
    """Replay the traces of these names, or all."""
    runs: list[Run] = []
    best: dict[str, int] = {}
    for name in names or tuple(SOURCES):
        trace = load(name)
        trace = trace.head(QUICK_REQUESTS) if quick else trace
        for percent in PERCENTS:
            progress(f"eviction: {name} at {percent} %")
            runs += _runs(trace, percent)
            most = room(trace, percent, by_bytes=False)
            best[f"{name} {percent}"] = belady_misses(trace, most)
    return Outcome(runs, best, hit_costs(READS // 100 if quick else READS), missing())


def _runs(trace: Trace, percent: int) -> Iterator[Run]:
    for contender, by_bytes in product(contenders(), (False, True)):
        if by_bytes and not (contender.knows_bytes and trace.name in BYTE_TRACES):
            continue
        yield from _both_fills(trace, contender, percent, by_bytes=by_bytes)


def _both_fills(
    trace: Trace, contender: Contender, percent: int, *, by_bytes: bool
) -> Iterator[Run]:
    run = replay(trace, contender, percent, by_bytes=by_bytes, alike=False)
    yield run
    if contender in OURS:
        yield replay(trace, contender, percent, by_bytes=by_bytes, alike=True)
    else:  # knows nothing of fill times, so that it does the same
        yield replace(run, fills="alike")


def hit_costs(reads: int) -> dict[str, float]:
    """The CPU of a read that finds something, by cache, in ns; the least of several rounds."""
    costs = {}
    for contender in contenders():
        cache = contender.cache(1000, by_bytes=False)
        keys = [(number,) for number in range(500)]
        for key in keys:
            cache.put(key, 1, 0.01)
        rounds = [_read(cache.get, keys, reads // 500) for _ in range(7)]
        costs[contender.name] = min(rounds) / (reads // 500 * 500) * 1e9
    return costs


def _read(get: Callable[[tuple[int]], object], keys: list[tuple[int]], times: int) -> float:
    began = process_time()
    for _ in range(times):
        for key in keys:
            get(key)
    return process_time() - began


def ratio(outcome: Outcome, run: Run) -> float:
    """Its misses, or what was waited where fills differ, against LRU's."""
    base = _base(outcome, run)
    if run.fills == "differing":
        return run.waited_s / base.waited_s
    return run.misses / base.misses


def _base(outcome: Outcome, run: Run) -> Run:
    return next(
        each
        for each in outcome.runs
        if each.cache == BASE.name
        and (each.trace, each.percent, each.bound, each.fills)
        == (run.trace, run.percent, run.bound, run.fills)
    )


def geometric(outcome: Outcome, cache: str, percent: int, bound: str, fills: str) -> float | None:
    """The mean ratio to LRU on the traces of the web; None where not all were replayed."""
    ratios = [
        ratio(outcome, run)
        for run in outcome.runs
        if (run.cache, run.percent, run.bound, run.fills) == (cache, percent, bound, fills)
        and run.trace in WEB
    ]
    return math.prod(ratios) ** (1 / len(ratios)) if len(ratios) == len(WEB) else None


def worst(outcome: Outcome, cache: str, bound: str) -> float:
    """The highest miss ratio to LRU of any trace, fills alike."""
    return max(
        ratio(outcome, run)
        for run in outcome.runs
        if (run.cache, run.bound, run.fills) == (cache, bound, "alike")
    )


def share_of_best(outcome: Outcome, run: Run) -> float:
    """Its hits by those of a cache that knows the future; bounded by entries."""
    best = run.requests - outcome.best[f"{run.trace} {run.percent}"]
    return (run.requests - run.misses) / best if best else 1.0
