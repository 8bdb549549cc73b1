"""Replaying a trace, and the best that anybody could have done with it."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from time import process_time
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from benchmarks.eviction.caches import Cache, Contender
    from benchmarks.eviction.traces import Trace

USUAL_S = 0.02


class Run(Struct, frozen=True):
    """What became of one trace in one cache; waits are the fill times of all misses."""

    trace: str
    cache: str
    percent: int
    bound: str
    fills: str
    requests: int
    misses: int
    waited_s: float
    cpu_us: float

    @property
    def hit_ratio(self) -> float:
        """Hits by requests."""
        return 1 - self.misses / self.requests


def room(trace: Trace, percent: int, *, by_bytes: bool) -> int:
    """The share of the footprint, in bytes or entries."""
    footprint = sum(trace.sizes) if by_bytes else len(trace.sizes)
    return max(1, footprint * percent // 100)


def replay(trace: Trace, contender: Contender, percent: int, *, by_bytes: bool, alike: bool) -> Run:
    """Ask for everything in turn, and put what was not there; `alike` are the fill times."""
    cache = contender.cache(room(trace, percent, by_bytes=by_bytes), by_bytes=by_bytes)
    fills = [USUAL_S] * len(trace.sizes) if alike else trace.fills_s
    began = process_time()
    missed = _missed(trace, cache, fills)
    cpu_s = process_time() - began
    return Run(
        trace.name,
        contender.name,
        percent,
        "bytes" if by_bytes else "entries",
        "alike" if alike else "differing",
        len(trace.requests),
        len(missed),
        sum(map(fills.__getitem__, missed)),
        cpu_s / len(trace.requests) * 1e6,
    )


def _missed(trace: Trace, cache: Cache, fills: list[float]) -> list[int]:
    get, put = cache
    keys, sizes = trace.keys, trace.sizes
    missed = []
    for number in trace.requests:
        if get(keys[number]) is None:
            missed.append(number)
            put(keys[number], sizes[number], fills[number])
    return missed


def belady_misses(trace: Trace, most: int) -> int:
    """The misses of a cache of so many entries that knows the future.

    Belady, A Study of Replacement Algorithms for a Virtual-Storage Computer (1966).
    """
    uses = _next_uses(trace.requests)
    held: dict[int, int] = {}  # the next use of what is kept
    latest: list[tuple[int, int]] = []
    misses = 0
    for number, following in zip(trace.requests, uses, strict=True):
        if number not in held:
            misses += 1
            if len(held) >= most:
                _drop_latest(held, latest)
        held[number] = following
        heappush(latest, (-following, number))
        if len(latest) > 4 * most + 64:
            latest = [(-use, key) for key, use in held.items()]
            heapify(latest)
    return misses


def _drop_latest(held: dict[int, int], latest: list[tuple[int, int]]) -> None:
    while True:
        use, number = heappop(latest)
        if held.get(number) == -use:
            del held[number]
            return


def _next_uses(requests: list[int]) -> list[int]:
    never = len(requests)
    uses = [never] * len(requests)
    seen: dict[int, int] = {}
    for place in range(len(requests) - 1, -1, -1):
        uses[place] = seen.get(requests[place], never)
        seen[requests[place]] = place
    return uses
