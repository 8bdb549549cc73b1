"""Requests of a project whose cache is off: they are observed, and nothing else."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import finalize

from apsperf_django.describing import describe
from apsperf_django.environs import as_served
from apsperf_mw.asgi_watch import Seen as PassingSeen
from apsperf_mw.cache.policy import UNPLANNED, current
from apsperf_mw.observe.spans import asked
from apsperf_mw.observe.watcher import Watcher
from apsperf_mw.wsgi_watch import Seen as EnvironSeen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from apsperf_mw.observe.recorder import Recorder
    from apsperf_mw.observe.spans import Asked
    from apsperf_mw.wsgi_gate import WSGIExchange


class ScopeSeen(PassingSeen, eq=False, gc=True):
    """One request as Django has it from an ASGI server: it keeps its scope."""


class MetaSeen(EnvironSeen, eq=False):
    """One request as Django has it from a WSGI server."""

    def exchange(self) -> WSGIExchange:
        """As the rest of the suite knows a request."""
        whole = super().exchange()
        whole.raw = as_served(self.environ)
        return whole

    def asks(self) -> tuple[Asked, bool]:
        """What its span says of it, and whether the caller has sent trace context."""
        return asked(self.exchange()), self.traced()


class Watching:
    """Serves requests, and has the recorder see them."""

    def __init__(
        self, recorder: Recorder, ours: frozenset[bytes], respond: Callable[..., Any]
    ) -> None:
        self._watcher = Watcher(recorder)
        self._ours = tuple(sorted(name.decode("ascii") for name in ours))
        self._respond = respond

    def serve(self, request: HttpRequest) -> HttpResponseBase:
        """A response."""
        x: Any = seen(request)
        token, planned = self._begin(request, x)
        try:
            response: HttpResponseBase = self._respond(request)
        except BaseException as error:
            self._fail(x, error)
            raise
        finally:
            self._leave(token, planned)
        return self._watched(request, x, response)

    async def serve_async(self, request: HttpRequest) -> HttpResponseBase:
        """A response, without a thread."""
        x: Any = seen(request)
        token, planned = self._begin(request, x)
        try:
            response: HttpResponseBase = await self._respond(request)
        except BaseException as error:
            self._fail(x, error)
            raise
        finally:
            self._leave(token, planned)
        return self._watched(request, x, response)

    def _begin(self, request: Any, x: Any) -> tuple[object, Any]:
        request.apsperf = x
        return self._watcher.open(x), current.set(x)

    def _leave(self, token: object, planned: Any) -> None:
        current.reset(planned)
        if token is not None:
            self._watcher.leave(token)

    def _fail(self, x: Any, error: BaseException) -> None:
        x.error = type(error).__qualname__
        self._end(x)

    def _end(self, x: Any) -> None:
        if not x.ended_at:
            x.ended_at = monotonic()
            self._watcher.record(x)

    def _watched(self, request: HttpRequest, x: Any, given: HttpResponseBase) -> HttpResponseBase:
        response: Any = given  # which has more than its type says
        x.head_at, x.status = monotonic(), response.status_code
        describe(request, x)
        for name in self._ours:
            if response.has_header(name):
                del response[name]
        response._resource_closers.append(lambda: self._end(x))
        if not response.streaming:
            x.chunks, x.sent_bytes = 1, len(response.content)
            return given
        # Django does not close a response whose stream has failed.
        finalize(response, self._end, x).atexit = False
        if getattr(response, "file_to_stream", None) is None:
            # A file's stream stays as it is, for a server that sends it by itself.
            count = counted_async if response.is_async else counted
            response.streaming_content = count(x, response.streaming_content)
        return given


def seen(request: Any) -> Any:
    """The request as it is kept."""
    method, now = request.method or "", monotonic()
    scope = getattr(request, "scope", None)
    if scope is not None:
        return ScopeSeen(*UNPLANNED, method, now, scope)
    return MetaSeen(*UNPLANNED, method, now, request.META)


def counted(x: Any, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks, counted as they pass."""
    try:
        for chunk in chunks:
            x.chunks += 1
            x.sent_bytes += len(chunk)
            yield chunk
    except BaseException as error:
        x.error = type(error).__qualname__
        raise


async def counted_async(x: Any, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks, counted as they pass."""
    try:
        async for chunk in chunks:
            x.chunks += 1
            x.sent_bytes += len(chunk)
            yield chunk
    except BaseException as error:
        x.error = type(error).__qualname__
        raise
