"""What is measured beside requests, and by which bounds."""

from __future__ import annotations

from typing import NamedTuple

# Advised bounds of http.server.request.duration, in seconds (OpenTelemetry semantic conventions).
# fmt: off
DURATION_BOUNDS_S = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0
)
# fmt: on


class Measure(NamedTuple):
    """A histogram of values that are measured beside requests."""

    unit: str
    description: str
    bounds: tuple[float, ...]


# Pauses and waits are short, or something is wrong.
# fmt: off
WAIT_BOUNDS_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5
)
# fmt: on
# Advised bounds of db.client.operation.duration (OpenTelemetry semantic conventions).
QUERY_BOUNDS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
BEHIND = "apsperf.server.background.duration"
GC_PAUSE = "apsperf.gc.pause"
LOOP_LAG = "apsperf.eventloop.lag"
POOL_WAIT = "apsperf.threadpool.wait"
SOCKET = "apsperf.websocket.duration"
QUERY = "db.client.operation.duration"
WAIT_TIME = "db.client.connection.wait_time"
USE_TIME = "db.client.connection.use_time"
CREATE_TIME = "db.client.connection.create_time"
MEASURES = {
    BEHIND: Measure(
        "s", "Time that the app goes on after the last byte of a response.", DURATION_BOUNDS_S
    ),
    GC_PAUSE: Measure("s", "Pauses of the garbage collector.", WAIT_BOUNDS_S),
    LOOP_LAG: Measure("s", "How late the event loop runs what is due.", WAIT_BOUNDS_S),
    POOL_WAIT: Measure("s", "Wait for a worker thread of the event loop.", WAIT_BOUNDS_S),
    SOCKET: Measure("s", "Duration of WebSocket connections.", DURATION_BOUNDS_S),
    QUERY: Measure("s", "Duration of database client operations.", QUERY_BOUNDS_S),
    WAIT_TIME: Measure("s", "Wait for a connection of a pool.", QUERY_BOUNDS_S),
    USE_TIME: Measure("s", "Time that a connection of a pool is held.", QUERY_BOUNDS_S),
    CREATE_TIME: Measure("s", "Time that a new connection takes.", QUERY_BOUNDS_S),
}
