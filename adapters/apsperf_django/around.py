"""The suite round a project's callable."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler

from apsperf_django.describing import describe
from apsperf_mw.cache.policy import current
from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from django.http import HttpRequest

    from apsperf_mw.suite import Suite

ACCEPTED = "what get_wsgi_application() or get_asgi_application() returns"


def wrapped(suite: Suite, application: Any) -> Any:
    """The callable with the suite round it; `SettingError` for what is none of Django's."""
    if isinstance(application, WSGIHandler):
        application.get_response = partial(_described, application.get_response)
        handler: Any = application
        return suite.wsgi(handler)
    if isinstance(application, ASGIHandler):
        application.get_response_async = partial(_adescribed, application.get_response_async)
        return suite.asgi(application)
    kind = type(application).__qualname__
    raise SettingError(f"wrap: a {kind} given; accepted: {ACCEPTED}")


def _described(respond: Any, request: HttpRequest) -> Any:
    response = respond(request)
    tell(request)
    return response


async def _adescribed(respond: Any, request: HttpRequest) -> Any:
    response = await respond(request)
    tell(request)
    return response


def tell(request: HttpRequest) -> None:
    """Have the suite know what Django has found out, now and when the body has ended."""
    plan = current.get()
    if plan is not None:
        describe(request, plan)
        plan.late = partial(describe, request)
