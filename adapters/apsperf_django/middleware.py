"""The middleware: the suite inside Django, sync and async with no thread hop on either side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpResponse

from apsperf_django import get_suite
from apsperf_django.exchanges import Gates
from apsperf_django.profiled import Profiled
from apsperf_django.watching import Watching
from apsperf_mw.ops.fronts import Asked
from apsperf_mw.runtime.step import step

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from apsperf_django.admin import Admin
    from apsperf_django.exchanges import Relay
    from apsperf_mw.ops.fronts import Answer, Fronts


class SuiteMiddleware:
    """Put it first in `MIDDLEWARE`, so that a hit passes through nothing else."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        suite = get_suite()
        self._admin: Admin | None = None
        self._watching: Watching | None = None
        self._passes = False
        if suite.door is None:
            self._gates = Gates(suite, is_async=self._is_async)
            if suite.only_watches:
                self._passes = suite.recorder is None
                if suite.recorder is not None:
                    self._watching = Watching(suite.recorder, self._gates.ours, get_response)
        else:
            from apsperf_django.admin import Admin, AdminGates

            self._gates = AdminGates(suite, is_async=self._is_async)
            serve = self._serve_async if self._is_async else self._serve
            self._admin = Admin(suite, self._gates, serve)
        self._background = suite.background
        self._fronts = suite.fronts
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Serve a request: a response, or its awaitable where the chain is async."""
        answered = None if self._fronts is None else self._before_all(self._fronts, request)
        return self._go_on(request) if answered is None else answered

    def _go_on(self, request: HttpRequest) -> Any:
        """As the project has it."""
        if self._passes:
            return self.get_response(request)
        if self._watching is not None:
            if self._is_async:
                return self._watching.serve_async(request)
            return self._watching.serve(request)
        if self._admin is not None and self._admin.concerns(request):
            answer = self._admin.answer(request)
            return answer if self._is_async else step(answer)
        return self._serve_async(request) if self._is_async else self._serve(request)

    def _before_all(self, fronts: Fronts, request: HttpRequest) -> Any:
        """What is answered before the project: a response, or its awaitable; or None."""
        if fronts.profiles is not None:
            wish = fronts.profiles.wish_in(request.META)
            if wish is not None:
                profiled = Profiled(fronts.profiles, self.get_response)
                serve = profiled.serve_async if self._is_async else profiled.serve
                return serve(request, wish)
        if request.path_info not in fronts.paths:
            return None
        return self._at_path(fronts, request) if self._is_async else at_path(fronts, request)

    async def _at_path(self, fronts: Fronts, request: HttpRequest) -> Any:
        fronts.begin()
        given = await fronts.aanswer(request.path_info, asked_of(request))
        return await self._go_on(request) if given is None else response_of(given, request)

    def _serve(self, request: HttpRequest) -> HttpResponseBase:
        relay = self._gates.relay(request)
        try:
            entry = step(relay.find())
            if entry is not None:
                if relay.x.renewal is not None:
                    self._renew(relay.behind(entry))
                return relay.reply(entry)
            return self._run(relay)
        except BaseException as error:
            relay.fail(error)
            raise

    def _run(self, relay: Relay) -> HttpResponseBase:
        try:
            with relay.context():
                response: HttpResponseBase = self.get_response(relay.request)
        except Exception as error:
            rescued = step(relay.rescue(error))
            if rescued is None:
                raise
            return rescued
        return step(relay.begin(response))

    def _renew(self, relay: Relay | None) -> None:
        """Fetch anew, behind the request, what was served stale."""
        if relay is None:
            return

        def run() -> None:
            try:
                drain(self._run(relay))
            except BaseException as error:
                relay.fail(error)
                raise

        if not self._background.spawn_thread(run):
            relay.abandon()

    async def _serve_async(self, request: HttpRequest) -> HttpResponseBase:
        relay = self._gates.relay(request)
        try:
            entry = await relay.find()
            if entry is not None:
                if relay.x.renewal is not None:
                    self._renew_async(relay.behind(entry))
                return relay.reply(entry)
            return await self._run_async(relay)
        except BaseException as error:
            relay.fail(error)
            raise

    async def _run_async(self, relay: Relay) -> HttpResponseBase:
        try:
            with relay.context():
                response: HttpResponseBase = await self.get_response(relay.request)
        except Exception as error:
            rescued = await relay.rescue(error)
            if rescued is None:
                raise
            return rescued
        return await relay.begin(response)

    def _renew_async(self, relay: Relay | None) -> None:
        if relay is None:
            return

        async def run() -> None:
            try:
                await drain_async(await self._run_async(relay))
            except BaseException as error:
                relay.fail(error)
                raise

        if not self._background.spawn_task(run, relay.abandon):
            relay.abandon()


def at_path(fronts: Fronts, request: HttpRequest) -> HttpResponse | None:
    """What is answered before the project; None where the project is to answer."""
    fronts.begin()
    given = fronts.answer(request.path_info, asked_of(request))
    return None if given is None else response_of(given, request)


def asked_of(request: HttpRequest) -> Asked:
    """What a front needs to know."""
    meta = request.META
    return Asked(request.method or "", lambda name: meta.get(f"HTTP_{name.upper()}", ""))


def response_of(given: Answer, request: HttpRequest) -> HttpResponse:
    """A front's answer as Django's."""
    body = b"" if request.method == "HEAD" else given.body
    return HttpResponse(
        body,
        status=given.status,
        headers={name.decode("ascii"): value.decode("ascii") for name, value in given.headers},
    )


def drain(response: Any) -> None:
    """Read a response to its end, for nobody."""
    try:
        for _ in response:
            pass
    finally:
        response.close()


async def drain_async(response: Any) -> None:
    """Read a response to its end, for nobody."""
    try:
        if response.streaming and response.is_async:
            async for _ in response:
                pass
        else:
            for _ in response:
                pass
    finally:
        response.close()
