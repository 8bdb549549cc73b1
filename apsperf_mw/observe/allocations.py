"""Where memory is allocated, on demand: the interpreter's own tracing for a bounded time."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, NamedTuple

from apsperf_mw.errors import APSPerfError
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    import tracemalloc

# Tracing makes a program several times slower, so it never goes on for long.
MOST_S = 60.0
_alone = Lock()


class Site(NamedTuple):
    """A line, and what it has allocated meanwhile and not freed."""

    file: str
    line: int
    bytes: int
    blocks: int


def allocations(seconds: float, top: int) -> list[Site]:
    """The lines that have allocated most meanwhile; blocks for so long, a minute at most.

    `APSPerfError` while another call is under way. Where the program traces already, it goes on.
    """
    import tracemalloc

    if not _alone.acquire(blocking=False):
        raise APSPerfError("allocations: another look is under way in this process")
    ours = not tracemalloc.is_tracing()
    try:
        if ours:
            tracemalloc.start()
        before = tracemalloc.take_snapshot()
        sleep(min(max(seconds, 0.0), MOST_S))
        after = tracemalloc.take_snapshot()
    finally:
        if ours:
            tracemalloc.stop()
        _alone.release()
    return sites(before, after)[: max(top, 0)]


def sites(before: tracemalloc.Snapshot, after: tracemalloc.Snapshot) -> list[Site]:
    """The lines that have grown, those first that have grown most."""
    import tracemalloc

    own = tracemalloc.Filter(inclusive=False, filename_pattern=tracemalloc.__file__)
    kept = after.filter_traces([own])
    grown = [
        Site(each.traceback[0].filename, each.traceback[0].lineno, each.size_diff, each.count_diff)
        for each in kept.compare_to(before, "lineno")
        if each.size_diff > 0
    ]
    return sorted(grown, key=lambda site: -site.bytes)
