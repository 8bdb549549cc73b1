"""The ASGI shell."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.asgi_gate import ASGIExchange, ASGIGate
from apsperf_mw.cache.conditional import not_modified
from apsperf_mw.cache.faces import loop_face
from apsperf_mw.cache.flights import Outcome
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.revival import questions, revive
from apsperf_mw.cache.screen import ADAPTED, RANGE
from apsperf_mw.cache.serving import reply
from apsperf_mw.cache.wire import scope_head, slim, with_key
from apsperf_mw.guards import certified_scope
from apsperf_mw.observe.timed import Timed
from apsperf_mw.push import Push, asking_scope, renewing_scope, silent, swallow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.exchange import Header
    from apsperf_mw.observe.sockets import Sockets
    from apsperf_mw.suite import Suite

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
    Describe = Callable[[Scope, Plan], None]


class ASGIShell(ASGIGate):
    """An ASGI app with the suite round it; `describe` fills a plan in from the routed scope."""

    def __init__(self, suite: Suite, app: ASGIApp, describe: Describe | None = None) -> None:
        super().__init__(suite, suite.face(loop_face))
        self.app = app
        self._suite = suite
        self._describe = describe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._pass_on(scope, receive, send)
            return
        x = ASGIExchange(scope, scope["method"], monotonic())  # type: ignore[arg-type]
        await self.go_on(x, self.look(x), scope, receive, send)

    async def go_on(
        self, x: ASGIExchange, entry: Entry | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request for which the entry, or none, was found at once."""
        if entry is None and x.result == "miss" and x.flight is None:
            entry = await self.wait(x)
        if entry is None:
            await self._run(x, scope, receive, send)
        else:
            await self._serve(x, entry, send)

    async def _serve(self, x: ASGIExchange, entry: Entry, send: Send) -> None:
        """Serve the request from the entry."""
        if x.renewal is not None:
            self._renew(x, entry)
        start, body = self.reply(x, entry)
        try:
            await send(start)
            await send({"type": "http.response.body", "body": body})
        except BaseException as gone:
            self.hooks.end(x, gone)
            raise
        if self.hooks.ends:
            self.hooks.end(x)

    def reply(self, x: ASGIExchange, entry: Entry) -> tuple[Message, bytes]:
        """The head and the body for a response from the entry."""
        now = x.head_at = x.started if x.result == "hit" else monotonic()
        flags = x.flags & ADAPTED
        if flags & RANGE or x.result != "hit" or x.method != "GET":
            status, out, body = reply(x, entry, now, say=self.say)
        else:
            until, head = entry.scope_wire
            if now >= until:
                head = scope_head(entry, now, say=self.say)
            if flags and not_modified(x, entry):
                status, out, body = 304, list(slim(entry, head)), b""
            else:
                status, out, body = entry.status, list(head), entry.body
        x.status = status
        x.sent_bytes = len(body)
        x.chunks = 1
        if self.says_key and x.key is not None:
            out[-1] = with_key(out[-1], x.key)
        if self.hooks.look_on:
            self.hooks.show(x, out)
        return {"type": "http.response.start", "status": status, "headers": out}, body

    def begin(self, x: ASGIExchange, scope: Scope, message: Message) -> Message | Entry:
        """The head to send in place of the app's: its own with what we add, or an entry's."""
        x.status = message["status"]
        x.head_at = monotonic()
        headers = message.get("headers") or ()
        if x.plan is not None and "extensions" in x.raw and certified_scope(x.raw):
            x.plan.private = True
        if self._describe is not None and x.plan is not None:
            self._describe(scope, x.plan)
            x.plan.late = partial(self._describe, scope)
        if x.stale is not None:
            entry = revive(self.cache, x, headers)
            if entry is not None:
                return entry
        if message.get("trailers"):
            self.cache.drop(x, Outcome.UNCACHEABLE)
        out: list[Header] = self.told(x, headers) if self.enabled else self.bare(headers)
        if self.hooks.look_on:
            self.hooks.show(x, out)
        return {**message, "headers": out}

    async def _run(self, x: ASGIExchange, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app; its messages pass through `Push` as they come."""
        hooks = self.hooks
        asked = questions(x) if x.stale is not None else ()
        if asked:
            scope = asking_scope(scope, asked)
        push = Push(self, x, scope, send)
        # What it was asked with: an app may change its own scope.
        x.raw = raw = dict(x.raw)
        raw["headers"] = list(raw["headers"])
        x.plan = plan_in(scope)
        entered = hooks.enter(x)
        failure: BaseException | None = None
        try:
            call = self.app(scope, receive, push.send)
            costs = x.plan.costs
            await (call if costs is None or costs.cpu_s is None else Timed(call, costs))
        except BaseException as error:
            failure = error
            if not isinstance(error, Exception) or not await push.rescue(error):
                raise
        finally:
            if x.flight is not None:
                # An app that failed would fail the followers alike: each asks for itself. A
                # leader that was cancelled, or sent no end, says nothing of the app.
                failed = isinstance(failure, Exception)
                self.cache.drop(x, Outcome.UNCACHEABLE if failed else Outcome.FAILED)
            hooks.leave(x, entered)
            if x.voids and isinstance(failure, Exception | None):
                await self.void_again(x)
            if not x.done:
                hooks.end(x, failure)
            if self.cache.flights.over:
                await self.let_go()

    def _renew(self, x: ASGIExchange, entry: Entry) -> None:
        """Fetch anew, behind the request, what was served stale."""
        scope = renewing_scope(x, entry, self.trusted)
        behind = ASGIExchange(scope, "GET", monotonic())
        if not self.take_over(x, behind, entry):
            return

        async def run() -> None:
            started = monotonic()
            try:
                await self._run(behind, scope, silent(), swallow)
            finally:
                self.children.refreshed(x, started, behind.error)

        # A loop may end before the task has begun.
        lost = partial(self.give_up, behind)
        if not self._suite.background.spawn_task(run, lost):
            lost()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and self._suite.sockets is not None:
            await self._connect(self._suite.sockets, scope, receive, send)
            return
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def flush_at_shutdown(message: Message) -> None:
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self._suite.aflush()
            await send(message)

        await self.app(scope, receive, flush_at_shutdown)

    async def _connect(self, sockets: Sockets, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a WebSocket connection observed."""
        asked: Any = scope
        x = ASGIExchange(asked, "GET", monotonic())
        socket = sockets.open(x, receive, send)
        try:
            await self.app(scope, socket.receive, socket.send)
        except BaseException as error:
            x.error = type(error).__qualname__
            raise
        finally:
            if self._describe is not None and x.plan is not None:
                try:
                    self._describe(scope, x.plan)
                except Exception as fault:
                    self.hooks.faults.note("the route of a connection", fault)
            sockets.close(socket)


class Marked:
    """An app whose scopes bear marks, where they are not there yet."""

    def __init__(self, app: ASGIApp, marks: Mapping[str, Any]) -> None:
        self.app = app  # by this name FastAPI looks for other instrumentation
        self.marks = tuple(marks.items())

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one connection."""
        for name, mark in self.marks:
            scope.setdefault(name, mark)
        return self.app(scope, receive, send)


def plan_in(scope: Scope) -> Plan:
    """A new plan, where the app finds it."""
    plan = Plan()
    state = scope.get("state")
    if state is None:
        state = scope["state"] = {}
    state["apsperf"] = plan
    return plan
