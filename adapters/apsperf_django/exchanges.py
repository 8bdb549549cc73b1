"""One request on its way through the suite, as Django's middleware sees it."""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse

from apsperf_mw.asgi import ASGIExchange, ASGIGate
from apsperf_mw.cache.flights import Outcome
from apsperf_mw.cache.policy import Plan, rule_of
from apsperf_mw.cache.wire import (
    app_status,
    as_text,
    collapsed_status,
    environ_head,
    without_body,
)
from apsperf_mw.drivers.faces import LocalFace, loop_face, thread_face
from apsperf_mw.wsgi import WSGIExchange, WSGIGate, as_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.exchange import Exchange, Header
    from apsperf_mw.shell import Gate
    from apsperf_mw.suite import Suite


class Gates:
    """A gate for each kind of request; the chain is sync or async whatever serves it."""

    def __init__(self, suite: Suite, *, is_async: bool) -> None:
        driver = suite.driver("cache")
        face = (loop_face if is_async else thread_face)(driver, suite.faults)
        self._asgi = ASGIGate(suite, face)
        self._wsgi = WSGIGate(suite, face)
        self._steps = isinstance(face, LocalFace) or not is_async

    def relay(self, request: HttpRequest) -> Relay:
        """The request's relay, admitted or not."""
        method, now = request.method or "", monotonic()
        scope = getattr(request, "scope", None)
        if scope is not None:
            return Relay(self._asgi, request, ASGIExchange(scope, method, now), steps=self._steps)
        x = WSGIExchange(request.META, method, now)
        return Relay(self._wsgi, request, x, steps=self._steps)


class Relay:
    """Between one Django request and the cache."""

    def __init__(
        self, gate: ASGIGate | WSGIGate, request: HttpRequest, x: Exchange, *, steps: bool
    ) -> None:
        self.gate: Gate = gate
        self.request: Any = request  # it takes attributes of ours
        self.x = x
        self._steps = steps
        try:
            self._admitted = gate.admit(x)
        except Exception as fault:
            gate.hooks.faults.note("the cache's look-up", fault)
            self._admitted = False
        gate.hooks.start(x)

    async def find(self) -> Entry | None:
        """An entry to answer with."""
        x, cache = self.x, self.gate.cache
        if not self._admitted:
            return None
        try:
            return cache.glance(x) or await cache.arrive(x, self.gate.face)
        except Exception as fault:
            self.gate.hooks.faults.note("the cache's look-up", fault)
            return None

    def reply(self, entry: Entry) -> HttpResponse:
        """A Django response from an entry."""
        x, gate = self.x, self.gate
        now = x.head_at = x.started if x.result == "hit" else monotonic()
        x.status, body = entry.status, entry.body
        headers = environ_head(entry, now, say=gate.say)
        if x.flags and gate.cache.not_modified(x, entry):
            x.status, body, headers = 304, b"", without_body(headers)
        elif x.method == "HEAD":
            body = b""
        x.sent_bytes = len(body)
        response = HttpResponse(body, status=x.status)
        del response["Content-Type"]
        for name, value in headers:
            response[name] = f"{response[name]}, {value}" if name in response else value
        if x.result == "collapsed" and gate.say:
            response["Cache-Status"] = collapsed_status(entry, now)[1].decode("latin-1")
        self._add_observed(response)
        response._resource_closers.append(lambda: gate.hooks.end(x))
        return response

    @contextmanager
    def context(self) -> Iterator[None]:
        """The app runs inside: with its plan, and in the observers' context."""
        x, hooks = self.x, self.gate.hooks
        self.request.apsperf = x.plan = Plan()
        entered = hooks.enter(x)
        try:
            yield
        finally:
            hooks.leave(x, entered)

    async def begin(self, response: HttpResponseBase) -> None:
        """Read the response's head and say what becomes of it."""
        x, gate = self.x, self.gate
        x.status, x.head_at = response.status_code, monotonic()
        response._resource_closers.append(self._closed)
        try:
            describe(self.request, x.plan or Plan())
            stored = False
            if x.key is not None:
                if x.detail == "method":
                    await gate.cache.invalidate(x, gate.face)
                stored = gate.cache.begin(x, fields_of(response))
            if gate.enabled and gate.say:
                name, value = as_text((app_status(x, stored=stored),))[0]
                said = response.get(name)
                response[name] = f"{said}, {value}" if said else value
            self._add_observed(response)
        except Exception as fault:
            gate.hooks.faults.note("the cache's reading of a response", fault)
            gate.cache.drop(x, Outcome.UNCACHEABLE)

    async def take(self, response: Any) -> None:
        """Record the body: at once where it is here, else as it passes."""
        if not response.streaming:
            self._record(response.content)
            await self._settle()
        elif getattr(response, "file_to_stream", None) is not None:
            # A server sends this file by itself, unless somebody touches the stream.
            self.gate.cache.drop(self.x, Outcome.UNCACHEABLE)
        elif response.is_async:
            response.streaming_content = self._pass_async(response.streaming_content)
        else:
            if not self._steps:
                # Django runs it in a thread, where nothing can wait for an async driver.
                self.gate.cache.drop(self.x, Outcome.UNCACHEABLE)
            response.streaming_content = self._pass(response.streaming_content)

    def fail(self, error: BaseException) -> None:
        """The app raised, or the client left before there was a response."""
        failed = isinstance(error, Exception)
        self.gate.cache.drop(self.x, Outcome.UNCACHEABLE if failed else Outcome.FAILED)
        self.gate.hooks.end(self.x, error)

    def _pass(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        from apsperf_mw.runtime.step import step

        for chunk in chunks:
            self._record(chunk)
            yield chunk
        step(self._settle())

    async def _pass_async(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._record(chunk)
            yield chunk
        await self._settle()
        self.gate.hooks.end(self.x)  # Django closes the response in a thread, after a while

    def _record(self, chunk: bytes) -> None:
        self.x.sent_bytes += len(chunk)
        self.gate.cache.record(self.x, chunk)

    async def _settle(self) -> None:
        try:
            later = self.gate.cache.settle(self.x, self.gate.face)
            if later is not None:
                await later
        except Exception as fault:
            self.gate.hooks.faults.note("the cache's store", fault)

    def _add_observed(self, response: HttpResponseBase) -> None:
        if self.gate.hooks.heads:
            added: list[Header] = []
            self.gate.hooks.head(self.x, added)
            for name, value in as_text(tuple(added)):
                response[name] = value

    def _closed(self) -> None:
        self.gate.cache.drop(self.x, Outcome.FAILED)
        self.gate.hooks.end(self.x)


def fields_of(response: HttpResponseBase) -> tuple[Header, ...]:
    """The response's fields, its cookies among them."""
    cookies = [("Set-Cookie", morsel.OutputString()) for morsel in response.cookies.values()]
    return tuple(as_bytes([*response.items(), *cookies]))


def describe(request: HttpRequest, plan: Plan) -> None:
    """Fill the plan in from what Django resolved, and from whether the session was used."""
    match = request.resolver_match
    if match is not None:
        plan.route = plan.route or "/" + match.route
        plan.rule = plan.rule or rule_of(match.func)
    session = getattr(request, "session", None)
    if session is not None and getattr(session, "accessed", True):
        plan.private = True
