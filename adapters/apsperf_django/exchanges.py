"""One request on its way through the suite, as Django's middleware sees it."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from io import BytesIO
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse

from apsperf_django.describing import describe
from apsperf_django.environs import CONDITIONAL, as_served, put
from apsperf_mw.asgi_gate import ASGIExchange, ASGIGate
from apsperf_mw.cache.faces import LocalFace, loop_face, thread_face
from apsperf_mw.cache.flights import Outcome
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.revival import in_doubt, questions, revive
from apsperf_mw.cache.serving import reply
from apsperf_mw.cache.wire import as_bytes, as_text, with_key
from apsperf_mw.pull import asking_environ, renewing_environ
from apsperf_mw.push import renewing_scope
from apsperf_mw.runtime.step import step
from apsperf_mw.wsgi_gate import WSGIExchange, WSGIGate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.flow import Later
    from apsperf_mw.exchange import Exchange, Header
    from apsperf_mw.shell import Gate
    from apsperf_mw.suite import Suite


class Gates:
    """A gate for each kind of request; the chain is sync or async whatever serves it."""

    def __init__(self, suite: Suite, *, is_async: bool) -> None:
        face = suite.face(loop_face if is_async else thread_face)
        self.kind = Relay
        self._asgi = ASGIGate(suite, face)
        self._wsgi = WSGIGate(suite, face)
        self._steps = isinstance(face, LocalFace) or not is_async
        self.ours = self._asgi.ours

    def relay(self, request: HttpRequest) -> Relay:
        """The request's relay, admitted or not."""
        method, now = request.method or "", monotonic()
        scope = getattr(request, "scope", None)
        if scope is not None:
            x: Exchange = ASGIExchange(scope, method, now)
            return self.kind(self._asgi, request, x, steps=self._steps)
        x = WSGIExchange(as_served(request.META), method, now)
        return self.kind(self._wsgi, request, x, steps=self._steps)


class Relay:
    """Between one Django request and the cache."""

    def __init__(self, gate: Gate, request: HttpRequest, x: Exchange, *, steps: bool) -> None:
        self.gate = gate
        self.request: Any = request  # it takes attributes of ours
        self.x = x
        self._steps = steps
        self._asked: dict[str, Any] = {}

    async def find(self) -> Entry | None:
        """An entry to answer with."""
        x = self.x
        if x.done:  # a request of our own, whose flight it has already
            return None
        entry = self.gate.look(x)
        if entry is None and x.result == "miss" and x.flight is None:
            entry = await self.gate.wait(x)
        return entry

    def reply(self, entry: Entry) -> HttpResponse:
        """A Django response from an entry."""
        x, gate = self.x, self.gate
        now = x.head_at = x.started if x.result == "hit" else monotonic()
        x.status, fields, body = reply(x, entry, now, say=gate.say)
        x.sent_bytes = len(body)
        if gate.says_key and x.key is not None:
            fields[-1] = with_key(fields[-1], x.key)
        response = HttpResponse(body, status=x.status)
        del response["Content-Type"]
        for name, value in as_text(tuple(fields)):
            if name.lower() == "set-cookie":
                response.cookies.load(value)
            else:
                response[name] = f"{response[name]}, {value}" if name in response else value
        self._add_observed(response)
        response._resource_closers.append(lambda: gate.hooks.end(x))
        return response

    def behind(self, entry: Entry) -> Relay | None:
        """The relay of a request of our own, which fetches anew what was served stale.

        None where such a request would get another variant.
        """
        x = self.x
        environ: Any
        if isinstance(x, ASGIExchange):
            environ = renewing_scope(x, entry, self.gate.trusted)
            request: Any = ASGIRequest(environ, BytesIO())
            own: Exchange = ASGIExchange(environ, "GET", monotonic())
        else:
            assert isinstance(x, WSGIExchange)
            environ = renewing_environ(x, entry, self.gate.trusted)
            request = WSGIRequest(environ)
            own = WSGIExchange(as_served(request.META), "GET", monotonic())
        if not self.gate.take_over(x, own, entry):
            return None
        return Relay(self.gate, request, own, steps=self._steps)

    def abandon(self) -> None:
        """There is nobody to fetch it: the next request may try."""
        self.gate.give_up(self.x)

    @contextmanager
    def context(self) -> Iterator[None]:
        """The app runs inside: with its plan, and in the observers' context."""
        x, hooks = self.x, self.gate.hooks
        self.request.apsperf = x.plan = Plan()
        x.plan.late = partial(describe, self.request)
        # What it was asked with: an app may change what it is given.
        x.raw = {**x.raw, "headers": list(x.raw.get("headers", ()))}
        self._ask()
        entered = hooks.enter(x)
        try:
            yield
        finally:
            hooks.leave(x, entered)
            self._asked_no_more()

    async def begin(self, response: Any) -> HttpResponseBase:
        """Read the response's head: the response to give, which may be a stored one."""
        x, gate = self.x, self.gate
        x.status, x.head_at = response.status_code, monotonic()
        fields = fields_of(response)
        try:
            describe(self.request, x.plan or Plan())
            entry = revive(gate.cache, x, fields)
            if entry is not None:
                return await self._instead(entry, response)
            response._resource_closers.append(self._closed)
            for ours in gate.ours:
                if response.has_header(ours.decode("ascii")):
                    del response[ours.decode("ascii")]
            if x.flight is not None and is_file(response):
                gate.cache.refuse(x, x.flight, "file")
            if gate.enabled:
                self._tell(response, fields)
                await self._finish(gate.heed(x, fields))
            self._add_observed(response)
        except Exception as fault:
            gate.note(x, "the cache's reading of a response", fault)
            doubtful = in_doubt(x)
            if doubtful is not None:
                return await self._instead(doubtful, response)
        await self._take(response)
        given: HttpResponseBase = response
        return given

    async def rescue(self, error: Exception) -> HttpResponse | None:
        """A stale entry in place of an exception, where it may."""
        entry = self.gate.stand_in(self.x, error)
        return None if entry is None else await self._instead(entry, None)

    async def _instead(self, entry: Entry, response: Any) -> HttpResponse:
        given = self.reply(entry)
        await self._finish(self.gate.land(self.x, entry))
        if response is not None:
            response.close()
        return given

    def _ask(self) -> None:
        """Put our conditional fields in place of the client's while the app runs."""
        asked = questions(self.x)
        if not asked:
            return
        meta, ours = self.request.META, asking_environ(self.request.META, asked)
        self._asked = {name: meta.get(name) for name in CONDITIONAL}
        put(meta, {name: ours.get(name) for name in CONDITIONAL})
        self.request.__dict__.pop("headers", None)  # made once from META

    def _asked_no_more(self) -> None:
        if self._asked:
            put(self.request.META, self._asked)
            self.request.__dict__.pop("headers", None)

    def _tell(self, response: HttpResponseBase, fields: tuple[Header, ...]) -> None:
        """Say in the response's fields what becomes of it."""
        told = self.gate.told(self.x, fields)
        for name, value in as_text(tuple(field for field in told if field not in fields)):
            said = response.get(name)
            response[name] = f"{said}, {value}" if said else value

    async def _take(self, response: Any) -> None:
        """Record the body: at once where it is here, else as it passes."""
        if not response.streaming:
            self._record(response.content)
            await self._settle()
        elif is_file(response):
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
        try:
            for chunk in chunks:
                self._record(chunk)
                yield chunk
        except BaseException as error:
            self.fail(error)
            raise
        step(self._settle())

    async def _pass_async(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                self._record(chunk)
                yield chunk
        except BaseException as error:  # Django does not close a response whose stream has failed
            self.fail(error)
            raise
        await self._settle()
        self.gate.hooks.end(self.x)  # Django closes the response in a thread, after a while

    def _record(self, chunk: bytes) -> None:
        self.x.sent_bytes += len(chunk)
        self.gate.cache.record(self.x, chunk)

    async def _settle(self) -> None:
        try:
            later = self.gate.cache.settle(self.x, self.gate.face)
        except Exception as fault:
            self.gate.note(self.x, "the cache's store", fault)
        else:
            await self._finish(later)
        if self.gate.cache.flights.over:
            await self.gate.let_go()

    async def _finish(self, later: Later) -> None:
        if later is not None:
            await self.gate.finish(self.x, later)

    def _add_observed(self, response: HttpResponseBase) -> None:
        hooks = self.gate.hooks
        if hooks.look_on:
            added: list[Header] = []
            hooks.head(self.x, added)
            for name, value in as_text(tuple(added)):
                response[name] = value
        if hooks.reads:
            hooks.read(self.x, list(fields_of(response)))

    def _closed(self) -> None:
        if self.x.voids and self._steps:
            step(self.gate.void_again(self.x))
        self.gate.cache.drop(self.x, Outcome.FAILED)
        self.gate.hooks.end(self.x)
        if self.gate.cache.flights.over and self._steps:
            step(self.gate.let_go())


def fields_of(response: HttpResponseBase) -> tuple[Header, ...]:
    """The response's fields, its cookies among them."""
    cookies = [("Set-Cookie", morsel.OutputString()) for morsel in response.cookies.values()]
    return tuple(as_bytes([*response.items(), *cookies]))


def is_file(response: Any) -> bool:
    """Whether a server sends the body by itself, unless somebody touches the stream."""
    return getattr(response, "file_to_stream", None) is not None
