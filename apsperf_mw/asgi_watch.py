"""The ASGI shells of a suite whose cache is off: one that observes, one that does nothing."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.asgi import ASGIShell, Marked
from apsperf_mw.asgi_gate import TRACES, ASGIExchange, spoken
from apsperf_mw.cache.policy import Plan, current
from apsperf_mw.observe.spans import bounded
from apsperf_mw.observe.timed import Timed
from apsperf_mw.observe.watcher import Watcher
from apsperf_mw.push import FILE_MESSAGES

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from apsperf_mw.asgi import ASGIApp, Describe, Message, Receive, Scope, Send
    from apsperf_mw.exchange import Facts
    from apsperf_mw.observe.spans import Asked
    from apsperf_mw.suite import Suite

MOST_NAMES = 512


class PassASGIShell(ASGIShell):
    """Passes everything on: there is nothing to do for a request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._pass_on(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class WatchASGIShell(ASGIShell):
    """Has the suite's own recorder see requests, and leaves them and their responses as they are.

    What `Recorder` does for any shell is written out here in as few calls as it takes.
    """

    def __init__(self, suite: Suite, app: ASGIApp, describe: Describe | None = None) -> None:
        super().__init__(suite, app, describe)
        assert suite.recorder is not None
        self.recorder = Watcher(suite.recorder)
        self.names = Names(self.ours)
        self.describe = describe
        # The marks of one that does no more are set here, which is one call less.
        self.marks: tuple[tuple[str, Any], ...] = ()
        within: Any = app
        if type(within) is Marked:
            self.marks, within = within.marks, within.app
        self.within: ASGIApp = within

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._pass_on(scope, receive, send)
            return
        recorder = self.recorder
        x = Seen(
            "",
            None,
            (),
            False,
            None,
            None,
            None,
            None,
            "",
            None,
            0,
            scope["method"],
            monotonic(),
            scope,
            send,
            self,
        )
        state = scope.get("state")
        if state is None:
            state = scope["state"] = {}
        state["apsperf"] = x
        for name, mark in self.marks:
            scope.setdefault(name, mark)
        token = recorder.open(x)
        planned = current.set(x)
        try:
            if x.costs is None or x.costs.cpu_s is None:
                await self.within(scope, receive, x.send)
            else:
                await Timed(self.within(scope, receive, x.send), x.costs)
        except BaseException as error:
            x.error = type(error).__qualname__
            raise
        finally:
            current.reset(planned)
            recorder.close(x, token)
            # Servers keep what they send by beside the scope: each would wait for the other.
            x.scope, x.out, x.shell = None, over, None
            if x.late is not None:
                x.late = None


class Names(dict[bytes, bool]):
    """What is known of the names of response fields: whether they are said to us alone.

    One that is not known yet is asked about; past so many all are forgotten.
    """

    def __init__(self, ours: frozenset[bytes]) -> None:
        super().__init__()
        self._ours = ours

    def bare(self, message: Message) -> Message:
        """The head without what is said to us alone; its names are known from now on."""
        headers: list[Any] = list(message.get("headers") or ())
        if len(self) > MOST_NAMES:
            self.clear()
        for name, _ in headers:
            self[name] = name.lower() in self._ours
        kept = [field for field in headers if not self[field[0]]]
        return {**message, "headers": kept}


class Seen(Plan, eq=False, gc=False):
    """One request of a suite without a cache: its plan, and what its app has sent.

    It is found in the scope, and lets go of it in the end: no ring is left to the garbage
    collector, which need not know of it. Servers may keep it for a hundred requests more, by the
    context of the timer that they start with its last byte.
    """

    method: str = ""
    started: float = 0.0
    scope: Any = None
    out: Any = None
    shell: Any = None
    asked: Any = None
    status: int = 0
    head_at: float = 0.0
    ended_at: float = 0.0
    sent_bytes: int = 0
    chunks: int = 0
    error: str = ""
    trailers: bool = False

    @property
    def scheme(self) -> str:
        """The URL scheme, lower case."""
        return (self.scope or {}).get("scheme", "http")  # type: ignore[no-any-return]

    def facts(self) -> Facts:
        """What tells its series from others'."""
        scope = self.scope
        scheme, version = scope.get("scheme", "http"), scope.get("http_version", "1.1")
        return self.method, scheme, self.route, self.status, version, self.error, "off"

    def traced(self) -> bool:
        """Whether the caller has sent trace context."""
        for name, _ in self.scope["headers"]:  # noqa: SIM110 - `any` costs three times more
            if name in TRACES:
                return True
        return False

    def asks(self) -> tuple[Asked, bool]:
        """What its span says of it, and whether the caller has sent trace context."""
        scope = self.scope
        host_and_agent, traced = spoken(scope["headers"])
        client, server = scope.get("client"), scope.get("server")
        told = bounded(
            scope["path"],
            scope.get("query_string", b""),
            host_and_agent,
            (str(server[0]), server[1]) if server else ("", None),
            str(client[0]) if client else "",
        )
        return told, traced

    def exchange(self) -> ASGIExchange:
        """As the rest of the suite knows a request."""
        x = ASGIExchange(self.scope, self.method, self.started)
        x.plan, x.span, x.result = self, self.span, "off"
        x.status, x.error, x.sent_bytes = self.status, self.error, self.sent_bytes
        x.head_at, x.ended_at = self.head_at, self.ended_at
        return x

    def send(self, message: Message) -> Awaitable[None]:
        """Take one message from the app."""
        kind = message["type"]
        if kind == "http.response.body":
            self.chunks += 1
            self.sent_bytes += len(message.get("body") or b"")
            if message.get("more_body") or self.trailers:
                return self.out(message)  # type: ignore[no-any-return]
            return self._last(message)
        if kind == "http.response.start":
            message = self._begin(message)
        elif ends(kind, message):
            return self._last(message)
        return self.out(message)  # type: ignore[no-any-return]

    def _begin(self, message: Message) -> Message:
        """The head, without what is said to us alone."""
        self.head_at = monotonic()
        self.status = message.get("status", 0)
        if "trailers" in message:
            self.trailers = bool(message["trailers"])
        shell = self.shell
        if shell is None:  # the app has returned: `over` says so
            return message
        try:
            if shell.describe is not None:  # routing is over: its route is known
                shell.describe(self.scope, self)
        except Exception as fault:
            shell.hooks.faults.note("the reading of a response", fault)
        names = shell.names
        for name, _ in message.get("headers") or ():
            if names.get(name, True):
                return names.bare(message)  # type: ignore[no-any-return]
        return message

    async def _last(self, message: Message) -> None:
        await self.out(message)
        if not self.ended_at:
            self.ended_at = monotonic()
            self.shell.recorder.record(self)


async def over(message: Message) -> None:
    """What stands for a server's `send` once the app has returned."""
    raise RuntimeError(f"{message['type']!r} was sent after the app had returned")


def ends(kind: str, message: Message) -> bool:
    """Whether a message that is no part of a body in bytes ends the response."""
    if kind in FILE_MESSAGES:
        return not message.get("more_body")
    return kind == "http.response.trailers" and not message.get("more_trailers")
