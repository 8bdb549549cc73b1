"""A strict reader of ASGI: whatever an app or a server says wrongly raises `LintError`.

By the ASGI specification 3.0 with its HTTP and WebSocket messages 2.5 and its extensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Scope = Any
    Message = Mapping[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

VERSIONS = frozenset({"1.0", "1.1", "2", "3"})
EARLY = "http.response.early_hint"
# Which messages need an extension of the scope, by its name.
EXTENSIONS = {
    EARLY: EARLY,
    "http.response.pathsend": "http.response.pathsend",
    "http.response.zerocopysend": "http.response.zerocopysend",
    "http.response.push": "http.response.push",
    "http.response.debug": "http.response.debug",
    "websocket.http.response.start": "websocket.http.response",
    "websocket.http.response.body": "websocket.http.response",
}
RECEIVED = {
    "http": frozenset({"http.request", "http.disconnect"}),
    "websocket": frozenset({"websocket.connect", "websocket.receive", "websocket.disconnect"}),
    "lifespan": frozenset({"lifespan.startup", "lifespan.shutdown"}),
}
# What may be sent next, by what was sent last; an empty word is the beginning.
BODIES = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})
ANY_TIME = frozenset({"http.response.push", "http.response.debug"})
SOCKET_NEXT: dict[str, frozenset[str]] = {
    "": frozenset({"websocket.accept", "websocket.close", "websocket.http.response.start"}),
    "websocket.accept": frozenset({"websocket.send", "websocket.close"}),
    "websocket.send": frozenset({"websocket.send", "websocket.close"}),
    "websocket.http.response.start": frozenset({"websocket.http.response.body"}),
    "websocket.http.response.body": frozenset({"websocket.http.response.body"}),
    "websocket.close": frozenset(),
}
LIFE_NEXT: dict[str, frozenset[str]] = {
    "": frozenset({"lifespan.startup.complete", "lifespan.startup.failed"}),
    "lifespan.startup.complete": frozenset(
        {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}
    ),
}


class LintError(AssertionError):
    """Somebody has broken the specification; the message says how."""


class Lint:
    """An app, watched from both sides; Django's field names are not in lower case, bare too."""

    def __init__(self, app: ASGIApp, where: str = "", *, lower: bool = True) -> None:
        self.app = app
        self._where = where
        self._lower = lower

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        one = Connection(scope, receive, send, self._where, lower=self._lower)
        one.check_scope()
        await self.app(scope, one.receive, one.send)
        one.check_end()


class Connection:
    """What has been said on one connection."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, where: str, *, lower: bool
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._where = where
        self._lower = lower
        self._kind = scope["type"]
        self._last = ""
        self._over = False
        self._trailers = False
        self._gone = False

    def _hold(self, true: object, what: str) -> None:
        if not true:
            raise LintError(f"{self._where}{self._kind}: {what}")

    def check_scope(self) -> None:
        """What a server says of a connection."""
        scope = self._scope
        self._hold(isinstance(scope.get("asgi", {}).get("version"), str), "no asgi version")
        self._hold(isinstance(scope.get("state", {}), dict), "state is no dict")
        if self._kind == "lifespan":
            return
        self._hold(isinstance(scope["path"], str), "path is no text")
        self._hold(isinstance(scope.get("query_string", b""), bytes), "query_string is no bytes")
        self._hold(isinstance(scope.get("root_path", ""), str), "root_path is no text")
        self._check_headers(scope["headers"])
        if self._kind == "http":
            method = scope["method"]
            self._hold(isinstance(method, str) and method == method.upper(), f"method {method!r}")
            self._hold(scope["http_version"] in VERSIONS, f"version {scope['http_version']!r}")

    def _check_headers(self, headers: Any) -> None:
        for field in headers:
            self._hold(len(field) == 2, f"a field of {len(field)} parts")
            name, value = field
            self._hold(type(name) is bytes and type(value) is bytes, f"{field!r} is no bytes")
            fine = not self._lower or name == name.lower()
            self._hold(name and fine, f"{name!r} is not in lower case")
            self._hold(not {10, 13, 0}.intersection(name + value), f"{field!r} has a line break")

    async def receive(self) -> Any:
        """A message for the app."""
        message = await self._receive()
        kind = message["type"]
        self._hold(kind in RECEIVED.get(self._kind, {kind}), f"{kind} was received")
        if kind == "http.request":
            self._hold(isinstance(message.get("body", b""), bytes), "a body that is no bytes")
        self._gone = self._gone or kind.endswith(".disconnect")
        return message

    async def send(self, message: Message) -> None:
        """A message of the app."""
        kind = message["type"]
        needs = EXTENSIONS.get(kind)
        if needs is not None:
            known = self._scope.get("extensions") or {}
            self._hold(needs in known, f"{kind} without its extension")
        check = {"http": self._check_http, "websocket": self._check_socket,
                 "lifespan": self._check_life}.get(self._kind)  # fmt: skip
        if check is not None:
            check(kind, message)
        if kind not in ANY_TIME and kind != EARLY:
            self._last = kind
        await self._send(message)

    def _check_http(self, kind: str, message: Message) -> None:
        if kind in ANY_TIME:
            return
        self._hold(not self._over, f"{kind} after the end")
        if not self._last:
            self._hold(kind in {"http.response.start", EARLY}, f"{kind} before the head")
            if kind == "http.response.start":
                self._check_head(message)
            return
        self._hold(kind in BODIES or kind == "http.response.trailers", f"{kind} after the head")
        if kind == "http.response.trailers":
            self._hold(self._trailers, "trailers that were not announced")
            self._check_headers(message.get("headers", ()))
            self._over = not message.get("more_trailers", False)
            return
        self._hold(self._last != "http.response.trailers", f"{kind} after trailers")
        self._check_body(message)
        last = not message.get("more_body", False)
        self._over = last and not self._trailers

    def _check_head(self, message: Message) -> None:
        status = message["status"]
        self._hold(type(status) is int and 200 <= status <= 999, f"status {status!r}")
        self._check_headers(message.get("headers", ()))
        self._trailers = bool(message.get("trailers", False))

    def _check_body(self, message: Message) -> None:
        self._hold(isinstance(message.get("body", b""), bytes), "a body that is no bytes")
        self._hold(type(message.get("more_body", False)) is bool, "more_body is no bool")

    def _check_socket(self, kind: str, message: Message) -> None:
        self._hold(kind in SOCKET_NEXT[self._last], f"{kind} after {self._last or 'nothing'}")
        if kind == "websocket.send":
            both = (message.get("bytes") is not None) + (message.get("text") is not None)
            self._hold(both == 1, "a message of both kinds, or of none")
        if kind in {"websocket.accept", "websocket.http.response.start"}:
            self._check_headers(message.get("headers", ()))

    def _check_life(self, kind: str, message: Message) -> None:  # noqa: ARG002
        allowed = LIFE_NEXT.get(self._last, frozenset())
        self._hold(kind in allowed, f"{kind} after {self._last or 'nothing'}")

    def check_end(self) -> None:
        """The app has returned."""
        if self._kind == "http" and not self._gone:
            self._hold(self._over, "the app has returned before its response ended")
