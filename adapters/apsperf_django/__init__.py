"""The suite for Django: an app, a middleware, `@cached(...)` for views, `wrap` for callables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.policy import cached

if TYPE_CHECKING:
    from apsperf_mw.suite import Suite

__all__ = ["cached", "get_suite", "wrap"]


def get_suite() -> Suite:
    """The project's suite, once Django is set up and `apsperf_django` is installed."""
    from django.apps import apps

    suite: Suite = apps.get_app_config("apsperf_django").suite
    return suite


def wrap(application: Any) -> Any:
    """The suite round a project's WSGI or ASGI callable, in place of the middleware.

    A hit is served in front of Django; what it knows of a request is heard all the same.
    """
    from apsperf_django.around import wrapped

    return wrapped(get_suite(), application)
