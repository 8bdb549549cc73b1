"""One request of a project under a profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpResponse

from apsperf_mw.cache.policy import Plan
from apsperf_mw.profiling.requests import (
    ENVIRON_FIELD,
    Busy,
    about,
    page,
    refused,
    run_asgi,
    run_wsgi,
)
from apsperf_mw.runtime.loop import hop

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from apsperf_mw.profiling.requests import Page, Profiles, Wish


class Profiled:
    """Runs what the middleware stands before, and answers with what it did.

    A streamed body is not read: it is made where the server sends it.
    """

    def __init__(self, profiles: Profiles, respond: Callable[..., Any]) -> None:
        self._profiles = profiles
        self._respond = respond

    def serve(self, request: HttpRequest, wish: Wish) -> HttpResponse:
        """The profile."""
        if wish.seconds is not None:
            return _response(self._profiles.worker(wish))
        plan = self._plan(request)
        status = [0]

        def app(asked: Any, start: Any) -> list[bytes]:  # noqa: ARG001
            response = self._respond(asked)
            status[0] = response.status_code
            response.close()
            return []

        try:
            sampler = self._profiles.sampler(only=plan)
        except Busy as busy:
            return _response(refused(busy))
        try:
            run_wsgi(app, request, plan, float("inf"))
        finally:
            profile = sampler.stop(about(request.method or "", request.path))
        return _response(page(profile, wish.form, status[0]))

    async def serve_async(self, request: HttpRequest, wish: Wish) -> HttpResponse:
        """The profile."""
        if wish.seconds is not None:
            return _response(await hop(self._profiles.worker, wish))
        plan = self._plan(request)
        status = [0]

        async def app(asked: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
            response = await self._respond(asked)
            status[0] = response.status_code
            response.close()

        try:
            sampler = self._profiles.sampler(only=plan)
        except Busy as busy:
            return _response(refused(busy))
        try:
            await run_asgi(app, request, None, None, plan)
        finally:
            profile = sampler.stop(about(request.method or "", request.path))
        return _response(page(profile, wish.form, status[0]))

    def _plan(self, request: Any) -> Plan:
        plan: Plan = Plan()
        request.apsperf = plan
        request.META.pop(ENVIRON_FIELD, None)
        request.__dict__.pop("headers", None)  # made once from META
        return plan


def _response(made: Page) -> HttpResponse:
    told = {name.decode("ascii"): value.decode("latin-1") for name, value in made.headers}
    return HttpResponse(made.body, status=made.status, headers=told)
