"""The admin endpoint in front of a Django project, and responses that explain themselves."""

from __future__ import annotations

from inspect import isawaitable, iscoroutinefunction
from io import BytesIO
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse

from apsperf_django.exchanges import Gates, Relay, fields_of
from apsperf_mw.admin.api import MOST_BODY_BYTES, Reply, Request, answer
from apsperf_mw.admin.forms import environ_like, scope_like
from apsperf_mw.admin.gates import (
    ENVIRON_NAME,
    NAME,
    TELLING,
    Explaining,
    ExplainingASGIGate,
    ExplainingWSGIGate,
    Telling,
)
from apsperf_mw.admin.purging import purge_url
from apsperf_mw.admin.shells import FETCH_S, named, told
from apsperf_mw.cache.wire import as_text
from apsperf_mw.data.reach import task_reach, thread_reach
from apsperf_mw.explain.requests import foreseen
from apsperf_mw.runtime.loop import hop

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from apsperf_mw.admin.questions import Question
    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.tags import Purge
    from apsperf_mw.data.reach import AnyDriver, Reach
    from apsperf_mw.explain.steps import Explanation
    from apsperf_mw.suite import Suite

T = TypeVar("T")
FIELD = NAME.decode("ascii")


class AdminRelay(Relay):
    """A relay that explains the response where the request asks for it with the token."""

    async def find(self) -> Entry | None:
        """As ever; the token is taken from the request before the project sees it."""
        entry = await super().find()
        if TELLING in self.x.raw:
            self.request.META.pop(ENVIRON_NAME, None)
            self.request.__dict__.pop("headers", None)  # made once from META
        return entry

    def reply(self, entry: Entry) -> HttpResponse:
        """A Django response from an entry."""
        response = super().reply(entry)
        if isinstance(self.gate, Explaining):
            _add(response, self.gate.tell_served(self.x, entry))
        return response

    async def begin(self, response: Any) -> HttpResponseBase:
        """Read the response's head: the response to give, which may be a stored one."""
        fields = fields_of(response)
        given = await super().begin(response)
        if given is response and isinstance(self.gate, Explaining):
            _add(given, self.gate.tell_answered(self.x, fields))
        return given


class AdminGates(Gates):
    """Gates whose requests may ask for explanations."""

    def __init__(self, suite: Suite, *, is_async: bool) -> None:
        super().__init__(suite, is_async=is_async)
        self.kind = AdminRelay
        self._asgi = ExplainingASGIGate(suite, self._asgi.face)
        self._wsgi = ExplainingWSGIGate(suite, self._wsgi.face)


class Admin:
    """The endpoint; `serve` is the middleware's way with any other request."""

    def __init__(self, suite: Suite, gates: AdminGates, serve: Callable[[Any], Any]) -> None:
        assert suite.door is not None
        self.suite = suite
        self.gates = gates
        self.serve = serve
        self._door = suite.door

    def concerns(self, request: HttpRequest) -> bool:
        """Whether the request is for the endpoint, by its path or method and by its token."""
        if self._door.name(request.path_info) is None and not self._purges(request):
            return False
        said = request.META.get("HTTP_AUTHORIZATION", "")
        return self._door.opens((said.encode("latin-1", "replace"),))

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """The answer to a request that concerns the endpoint."""
        name, house = self._door.name(request.path_info), House(self, request)
        if name is None:
            relay = self.gates.relay(request)
            relay.x.method = "GET"
            return _response(await purge_url(house, relay.gate, relay.x))
        query = request.META.get("QUERY_STRING", "").encode("latin-1", "replace")
        asked = Request(request.method or "", name, query, _body(request))
        return _response(await answer(house, asked))

    def _purges(self, request: HttpRequest) -> bool:
        return self._door.http_purge and request.method == "PURGE"


class House:
    """The endpoint of a project, for one request."""

    def __init__(self, admin: Admin, request: HttpRequest) -> None:
        self.suite = admin.suite
        self._admin = admin
        self._request = request

    def reach(self, driver: AnyDriver) -> Reach:
        """A driver, as this kind of server may wait for it."""
        is_async = iscoroutinefunction(self._admin.serve)
        return task_reach(driver) if is_async else thread_reach(driver)

    async def purge(self, what: Purge) -> None:
        """Purge, and tell the other workers."""
        if iscoroutinefunction(self._admin.serve):
            await self.suite.apurge(*what.tags, **named(what))
        else:
            self.suite.purge(*what.tags, **named(what))

    async def run(self, work: Callable[[], T]) -> T:
        """In this request's thread, or beside the loop."""
        return await hop(work) if iscoroutinefunction(self._admin.serve) else work()

    async def explain(self, question: Question) -> Explanation:
        """Explain what becomes of a request, or, of one that is made, what became of it."""
        request = self._forged(question)
        relay = self._admin.gates.relay(request)
        if not question.fetch:
            return await foreseen(relay.gate, relay.x, question.url)
        telling = relay.x.raw[TELLING] = Telling(aloud=False)
        try:
            response = self._admin.serve(request)
            await _drain(await response if isawaitable(response) else response)
        except Exception as error:
            return told(telling, question, error)
        return told(telling, question)

    def _forged(self, question: Question) -> HttpRequest:
        scope = getattr(self._request, "scope", None)
        if scope is not None:
            made = scope_like(scope, question.target, question.headers)
            asgi: HttpRequest = ASGIRequest(made, BytesIO())
            return asgi
        environ = environ_like(self._request.META, question.target, question.headers)
        wsgi: HttpRequest = WSGIRequest(environ)
        return wsgi


def _body(request: HttpRequest) -> bytes:
    try:
        body: bytes = request.read(MOST_BODY_BYTES + 1)
    except OSError:  # the client has left
        return b""
    return body


def _response(reply: Reply) -> HttpResponse:
    response = HttpResponse(reply.body, status=reply.status)
    for name, value in as_text(reply.headers):
        response[name] = value
    return response


def _add(response: Any, line: bytes | None) -> None:
    if line is not None:
        response[FIELD] = line.decode("ascii")


async def _drain(response: Any) -> None:
    """Read a response for nobody, for a time at most."""
    deadline = monotonic() + FETCH_S
    try:
        if response.streaming and response.is_async:
            async for _ in response:
                if monotonic() >= deadline:
                    break
        else:
            for _ in response:
                if monotonic() >= deadline:
                    break
    finally:
        response.close()
