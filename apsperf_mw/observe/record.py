"""What is kept of a request that is over, until a thread counts it. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from apsperf_mw.exchange import Facts


# A value of the histogram of this name, and its attributes.
Measured = tuple[str, float, tuple[tuple[str, "str | int | bool"], ...]]
# Several values of it at once.
Batch = tuple[str, list[float], tuple[tuple[str, "str | int | bool"], ...]]

# So many statements of one shape in one request are one too many.
REPEATS = 5


class Costs(Struct, eq=False, gc=False):
    """What one run of the app has cost, in seconds unless a name says otherwise.

    `app_s` is the wall time in the app so far, `cpu_s` the CPU time of the thread meanwhile or None
    where it was not measured, `queue_s` the wait before the request came to us, `cache_s` the
    time in the cache before the app ran, `database_s` the time in `queries` statements, of which
    `shapes` counts those of each fingerprint; of one that came again and again `causes` has the
    app's line and what to do about it, and `last` is the last of them. `growth_bytes` is how much
    the process grew, where it was measured. While the app runs, `entered_at` says since when, and
    `grown_from` from how many bytes.
    """

    cache_s: float = 0.0
    entered_at: float = 0.0
    cpu_s: float | None = None
    app_s: float = 0.0
    queue_s: float = 0.0
    database_s: float = 0.0
    queries: int = 0
    shapes: dict[str, int] | None = None
    growth_bytes: int | None = None
    entered_cpu: float = 0.0
    grown_from: int = 0
    causes: dict[str, tuple[str, str]] | None = None
    last: str = ""


class Finished(Struct, eq=False, gc=False):
    """One request that is over.

    `ended_at` is on the monotonic clock. `chunks` are the pieces in which the body went out. `key`
    is a hash of what the cache would keep it under, 0 where it would not or did. `trace_id` is 0
    where it is not sampled. `app_s` is the time in the app, and 0 where it did not run; `costs`
    has more where more is known.
    """

    raw: Facts
    duration_s: float
    first_byte_s: float
    ended_at: float = 0.0
    app_s: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    chunks: int = 1
    costs: Costs | None = None
    key: int = 0
    trace_id: int = 0
    span_id: int = 0


def alike(batch: list[Finished]) -> dict[Facts, list[Finished]]:
    """The requests by their facts, in the order in which they ended."""
    groups: defaultdict[Facts, list[Finished]] = defaultdict(list)
    for each in batch:
        groups[each.raw].append(each)
    return groups
