"""WebSocket connections: how long, how many, and how much goes through them."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.cache.policy import Plan, current
from apsperf_mw.observe.measures import SOCKET
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.points import Point
    from apsperf_mw.observe.recorder import Recorder

# Statuses of the handshake; a denial that is more than that brings its own.
ANSWERS = {"websocket.accept": 101, "websocket.close": 403}
WAYS = ("received", "sent")
ACTIVE = ("apsperf.websocket.active", "{connection}", "WebSocket connections that are open.")
MESSAGES = ("apsperf.websocket.messages", "{message}", "Messages of WebSocket connections.")


class Socket(Struct, eq=False):
    """One connection; it stands between the server and the app."""

    x: Exchange
    receive_from: Any
    send_to: Any
    received: int = 0
    sent: int = 0
    token: Any = None
    planned: Any = None

    async def receive(self) -> Any:
        """A message for the app."""
        message = await self.receive_from()
        if message["type"] == "websocket.receive":
            self.received += 1
        return message

    async def send(self, message: Any) -> None:
        """A message of the app."""
        await self.send_to(message)
        kind = message["type"]
        if kind == "websocket.send":
            self.sent += 1
        elif not self.x.status:
            self.x.status = message.get("status") or ANSWERS.get(kind, 0)


class Counted:
    """The connections that are open, and the messages of those that are not any more."""

    def __init__(self) -> None:
        self._open: dict[int, Socket] = {}
        self._closed = [0, 0]
        self._lock = Lock()

    def open(self, socket: Socket) -> None:
        """Count a connection."""
        with self._lock:
            self._open[id(socket)] = socket

    def close(self, socket: Socket) -> None:
        """Count it no more, but for its messages."""
        with self._lock:
            self._open.pop(id(socket), None)
            self._closed[0] += socket.received
            self._closed[1] += socket.sent

    def active(self) -> list[Point]:
        """How many are open."""
        return [(len(self._open), {})]

    def messages(self) -> list[Point]:
        """How many messages have gone either way."""
        with self._lock:
            received, sent = self._closed
            for socket in self._open.values():
                received, sent = received + socket.received, sent + socket.sent
        counts = zip(WAYS, (received, sent), strict=True)
        return [(count, {"apsperf.direction": way}) for way, count in counts]

    def forget(self) -> None:
        """Begin anew."""
        self._lock = Lock()
        self._open.clear()
        self._closed = [0, 0]


class Sockets:
    """All connections of a suite."""

    def __init__(self, exporter: MetricsExporter, recorder: Recorder) -> None:
        self._exporter = exporter
        self._recorder = recorder
        self._counted = counted = Counted()
        if recorder.times:
            exporter.observe(*ACTIVE, "updown", counted.active)
            exporter.observe(*MESSAGES, "counter", counted.messages)
        exporter.in_child(counted.forget)

    def open(self, x: Exchange, receive: Any, send: Any) -> Socket:
        """A connection has come, and its app is about to run in this context."""
        socket = Socket(x, receive, send)
        plan = x.plan = Plan()
        self._counted.open(socket)
        socket.planned = current.set(plan)
        try:
            self._exporter.start()
            if self._recorder.traces:
                self._recorder.sample(x)
                plan.span = x.span
                socket.token = self._recorder.surround(x.span)
        except Exception as fault:
            self._exporter.faults.note("the observation of a connection", fault)
        return socket

    def close(self, socket: Socket) -> None:
        """A connection is over."""
        x = socket.x
        x.done, x.ended_at, x.result = True, monotonic(), ""
        self._counted.close(socket)
        try:
            if socket.token is not None:
                self._recorder.ambience.leave(socket.token)
            current.reset(socket.planned)
            self._record(x)
        except Exception as fault:
            self._exporter.faults.note("the observation of a connection", fault)

    def _record(self, x: Exchange) -> None:
        if self._recorder.times:
            attributes = (("http.route", x.route),) if x.route else ()
            self._exporter.ledger.measure((SOCKET, x.ended_at - x.started, attributes))
        self._recorder.end_span(x, x.facts(x.route), None)
