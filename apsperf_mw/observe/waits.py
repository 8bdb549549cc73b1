"""Where requests wait before they run: for the event loop, a worker thread, or the server."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING
from weakref import ref

from apsperf_mw.observe.measures import LOOP_LAG, POOL_WAIT

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.runtime.loop import Beat

# Seconds between two looks at a loop.
EVERY_S = 0.5
STARTED = b"x-request-start"
# A longer wait is a clock that goes wrong.
MOST_S = 60.0


def beat(exporter: MetricsExporter) -> Beat:
    """What looks at the loops that serve the suite, until the suite is gone or closed."""
    from apsperf_mw.runtime.loop import Beat

    measure = exporter.ledger.measure
    alive = ref(exporter)

    def goes_on() -> bool:
        known = alive()
        return known is not None and known.started

    return Beat(
        EVERY_S,
        lambda lag_s: measure((LOOP_LAG, lag_s, ())),
        lambda wait_s: measure((POOL_WAIT, wait_s, ())),
        goes_on,
    )


def queued_s(x: Exchange) -> float:
    """The time since a proxy in front has taken the request: `X-Request-Start`, in any unit."""
    lines = x.fields(STARTED)
    if len(lines) != 1:
        return 0.0
    digits = lines[0].strip().removeprefix(b"t=")
    try:
        at = float(digits[:32])
    except ValueError:
        return 0.0
    while at > 1e11:  # milli-, micro- or nanoseconds
        at /= 1000
    waited_s = time() - at
    return waited_s if 0 < waited_s < MOST_S else 0.0
