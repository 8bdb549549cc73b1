"""The ASGI shell."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.flights import Outcome
from apsperf_mw.cache.keys import scope_key
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.rules import SAFE_METHODS
from apsperf_mw.cache.screen import HOST, scan_scope, scope_table
from apsperf_mw.cache.wire import app_status, collapsed_status, scope_head, without_body
from apsperf_mw.drivers.faces import loop_face
from apsperf_mw.exchange import Exchange
from apsperf_mw.shell import Gate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.drivers.faces import Face
    from apsperf_mw.exchange import Header
    from apsperf_mw.suite import Suite

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
    Describe = Callable[[Scope, Plan], None]

# Ways to send a body that does not pass through us as bytes.
FILE_MESSAGES = frozenset({"http.response.pathsend", "http.response.zerocopysend"})


class ASGIExchange(Exchange, eq=False):
    """An exchange over an ASGI scope."""

    def fields(self, name: bytes) -> Sequence[bytes]:
        """All request field lines of this lower-case name, in order."""
        return [value for field, value in self.raw["headers"] if field == name]

    @property
    def scheme(self) -> str:
        """The URL scheme, lower case."""
        scheme: str = self.raw.get("scheme", "http")
        return scheme

    @property
    def path(self) -> str:
        """The decoded path that the app sees, with its mount point."""
        path: str = self.raw["path"]
        return path

    @property
    def query(self) -> bytes:
        """The raw query without its question mark."""
        query: bytes = self.raw.get("query_string", b"")
        return query

    @property
    def http_version(self) -> str:
        """`1.0`, `1.1`, `2` or `3`."""
        version: str = self.raw.get("http_version", "1.1")
        return version

    @property
    def client(self) -> str:
        """The peer's address as the server gave it, or an empty string."""
        client = self.raw.get("client")
        return str(client[0]) if client else ""

    @property
    def server(self) -> tuple[str, int | None]:
        """The host and port that the server listens on, as it gave them."""
        server = self.raw.get("server")
        return (str(server[0]), server[1]) if server else ("", None)


class ASGIGate(Gate):
    """Screens requests by their scope."""

    def __init__(self, suite: Suite, face: Face) -> None:
        super().__init__(suite, face)
        self._names = scope_table(suite.settings.cache)

    def admit(self, x: Exchange) -> bool:
        """Give the request its flags and its key; False sends it round the cache."""
        scope = x.raw
        flags, host = scan_scope(scope["headers"], self._names)
        plain = flags == HOST and x.method == "GET" and self.enabled
        if not plain and not self.weigh(x, flags & ~HOST):
            if x.detail == "method" and x.method not in SAFE_METHODS:
                x.key = scope_key(scope, host)  # what its success makes void
            return False
        x.key = scope_key(scope, host)
        return True


class ASGIShell(ASGIGate):
    """An ASGI app with the suite round it; `describe` fills a plan in from the routed scope."""

    def __init__(self, suite: Suite, app: ASGIApp, describe: Describe | None = None) -> None:
        super().__init__(suite, loop_face(suite.driver("cache"), suite.faults))
        self.app = app
        self._suite = suite
        self._describe = describe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._pass_on(scope, receive, send)
            return
        x = ASGIExchange(scope, scope["method"], monotonic())  # type: ignore[arg-type]
        hooks = self.hooks
        entry = None
        try:
            admitted = self.admit(x)
            if hooks.starts:
                hooks.start(x)
            if admitted:
                entry = self.cache.glance(x) or await self.cache.arrive(x, self.face)
        except Exception as fault:
            hooks.faults.note("the cache's look-up", fault)
        except BaseException as gone:
            hooks.end(x, gone)
            raise
        if entry is None:
            await self._run(x, scope, receive, send)
        else:
            await self._serve(x, entry, send)

    async def _serve(self, x: ASGIExchange, entry: Entry, send: Send) -> None:
        start = self._reply(x, entry)
        try:
            await send(start)
            await send({"type": "http.response.body", "body": entry.body if x.sent_bytes else b""})
        except BaseException as gone:
            self.hooks.end(x, gone)
            raise
        if self.hooks.ends:
            self.hooks.end(x)

    def _reply(self, x: ASGIExchange, entry: Entry) -> Message:
        """The head for a response from the entry; `x.sent_bytes` is 0 where it has no body."""
        now = x.head_at = x.started if x.result == "hit" else monotonic()
        until, headers = entry.scope_wire
        if now >= until:
            headers = scope_head(entry, now, say=self.say)
        x.status = entry.status
        if x.flags and self.cache.not_modified(x, entry):
            x.status, headers = 304, without_body(headers)
        elif x.method == "GET":
            x.sent_bytes = len(entry.body)
        out = list(headers)
        if x.result == "collapsed" and self.say:
            out[-1] = collapsed_status(entry, now)
        if self.hooks.heads:
            self.hooks.head(x, out)
        return {"type": "http.response.start", "status": x.status, "headers": out}

    async def _run(self, x: ASGIExchange, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app; its messages pass through `Push` as they come."""
        hooks = self.hooks
        entered = hooks.enter(x)
        failure: BaseException | None = None
        try:
            x.plan = scope.setdefault("state", {})["apsperf"] = Plan()
            await self.app(scope, receive, Push(self, x, send).send)
        except BaseException as error:
            failure = error
            raise
        finally:
            if x.flight is not None:
                # An app that failed would fail the followers alike: each asks for itself. A
                # leader that was cancelled, or sent no end, says nothing of the app.
                failed = isinstance(failure, Exception)
                self.cache.drop(x, Outcome.UNCACHEABLE if failed else Outcome.FAILED)
            hooks.leave(x, entered)
            hooks.end(x, failure)

    def begin(self, x: ASGIExchange, message: Message) -> Message:
        """The head to send in place of the app's: its own, and what we add."""
        x.status = message["status"]
        x.head_at = monotonic()
        if self._describe is not None and x.plan is not None:
            self._describe(x.raw, x.plan)
        out: list[Header] = list(message.get("headers") or ())
        if self.enabled:
            if message.get("trailers"):
                self.cache.drop(x, Outcome.UNCACHEABLE)
            stored = self.cache.begin(x, tuple(out))
            if self.say:
                out.append(app_status(x, stored=stored))
        if self.hooks.heads:
            self.hooks.head(x, out)
        return {**message, "headers": out}

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def flush_at_shutdown(message: Message) -> None:
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self._suite.aflush()
            await send(message)

        await self.app(scope, receive, flush_at_shutdown)


class Push:
    """What the app sends, pushed on at once; the cache records what passes."""

    __slots__ = ("_hooks", "_out", "_shell", "_trailers", "_x")

    def __init__(self, shell: ASGIShell, x: ASGIExchange, out: Send) -> None:
        self._shell = shell
        self._hooks = shell.hooks
        self._x = x
        self._out = out
        self._trailers = False

    async def send(self, message: Message) -> None:
        """Take one message from the app."""
        x = self._x
        kind = message["type"]
        if kind == "http.response.body":
            last = not message.get("more_body", False)
            later = self._record(message.get("body", b""), last=last)
            if later is not None:
                await self._finish(later)
            await self._out(message)
            if last and not self._trailers:
                self._hooks.end(x)
        elif kind == "http.response.start":
            self._trailers = bool(message.get("trailers"))
            head = self._begin(message)
            if x.key is not None and x.detail == "method":
                await self._invalidate()
            await self._out(head)
        else:
            await self._extension(kind, message)

    def _begin(self, message: Message) -> Message:
        try:
            return self._shell.begin(self._x, message)
        except Exception as fault:
            self._note("the cache's reading of a response", fault)
            return message

    def _record(self, body: bytes, *, last: bool) -> Awaitable[None] | None:
        """Record a chunk; store before the last one goes out, so that the next request hits."""
        x = self._x
        tape = x.tape
        try:
            x.sent_bytes += len(body)
            if tape is None:
                return None
            self._shell.cache.record(x, body)
            if last or tape.full:
                return self._shell.cache.settle(x, self._shell.face)
        except Exception as fault:
            self._note("the cache's recording", fault)
        return None

    async def _finish(self, later: Awaitable[None]) -> None:
        try:
            await later
        except Exception as fault:
            self._note("the cache's store", fault)

    async def _invalidate(self) -> None:
        try:
            await self._shell.cache.invalidate(self._x, self._shell.face)
        except Exception as fault:
            self._note("the cache's invalidation", fault)

    def _note(self, place: str, fault: Exception) -> None:
        self._hooks.faults.note(place, fault)
        self._shell.cache.drop(self._x, Outcome.UNCACHEABLE)

    async def _extension(self, kind: str, message: Message) -> None:
        if kind in FILE_MESSAGES:
            self._shell.cache.drop(self._x, Outcome.UNCACHEABLE)
        await self._out(message)
        over = kind in FILE_MESSAGES and not message.get("more_body")
        if over or (kind == "http.response.trailers" and not message.get("more_trailers")):
            self._hooks.end(self._x)
