"""What is kept of a request that is over, until a thread counts it. Pure."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

Raw = tuple[str, str, str, int, str, str, str]


class Costs(Struct, eq=False):
    """What one run of the app has cost, in seconds unless a name says otherwise.

    `app_s` is the wall time in the app, `cpu_s` the CPU time of the thread meanwhile, `queue_s`
    the wait for the event loop or a worker thread, `cache_s` the wait for the cache's store,
    `database_s` the time in `queries` statements, of which `shapes` counts those of each
    fingerprint. `growth_bytes` is how much the process grew, where it was measured.
    """

    app_s: float = 0.0
    cpu_s: float = 0.0
    queue_s: float = 0.0
    cache_s: float = 0.0
    database_s: float = 0.0
    queries: int = 0
    shapes: dict[str, int] | None = None
    growth_bytes: int | None = None


class Finished(NamedTuple):
    """One request that is over.

    `raw` are its facts as they came: method, scheme, route, status, version, error and what the
    cache did. `key` is a hash of what the cache would keep it under, 0 where it would not or did.
    `trace_id` is 0 where it is not sampled, and `costs` None where the app did not run.
    """

    raw: Raw
    duration_s: float
    first_byte_s: float
    sent_bytes: int = 0
    received_bytes: int = 0
    costs: Costs | None = None
    key: int = 0
    trace_id: int = 0
    span_id: int = 0
