"""WebSocket connections: how long, how many, and how much goes through them."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.observe.series import SOCKET
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.points import Point

WAYS = ("received", "sent")
ACTIVE = ("apsperf.websocket.active", "{connection}", "WebSocket connections that are open.")
MESSAGES = ("apsperf.websocket.messages", "{message}", "Messages of WebSocket connections.")


class Socket(Struct, eq=False):
    """One connection; it stands between the server and the app."""

    receive_from: Any
    send_to: Any
    started: float
    received: int = 0
    sent: int = 0

    async def receive(self) -> Any:
        """A message for the app."""
        message = await self.receive_from()
        if message["type"] == "websocket.receive":
            self.received += 1
        return message

    async def send(self, message: Any) -> None:
        """A message of the app."""
        await self.send_to(message)
        if message["type"] == "websocket.send":
            self.sent += 1


class Sockets:
    """All connections of a suite."""

    def __init__(self, exporter: MetricsExporter) -> None:
        self._measure = exporter.ledger.measure
        self._open: dict[int, Socket] = {}
        self._closed = [0, 0]
        self._lock = Lock()
        exporter.observe(*ACTIVE, "updown", self._active)
        exporter.observe(*MESSAGES, "counter", self._messages)
        exporter.in_child(self._forget)

    def open(self, receive: Any, send: Any) -> Socket:
        """A connection has come."""
        socket = Socket(receive, send, monotonic())
        with self._lock:
            self._open[id(socket)] = socket
        return socket

    def close(self, socket: Socket, route: str) -> None:
        """A connection is over."""
        with self._lock:
            self._open.pop(id(socket), None)
            self._closed[0] += socket.received
            self._closed[1] += socket.sent
        attributes = (("http.route", route),) if route else ()
        self._measure((SOCKET, monotonic() - socket.started, attributes))

    def _active(self) -> list[Point]:
        return [(len(self._open), {})]

    def _messages(self) -> list[Point]:
        with self._lock:
            received, sent = self._closed
            for socket in self._open.values():
                received, sent = received + socket.received, sent + socket.sent
        counts = zip(WAYS, (received, sent), strict=True)
        return [(count, {"apsperf.direction": way}) for way, count in counts]

    def _forget(self) -> None:
        self._lock = Lock()
        self._open.clear()
        self._closed = [0, 0]
