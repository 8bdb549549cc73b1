"""The suite for Django: an app, a middleware, and `@cached(...)` for views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.cache.policy import cached

if TYPE_CHECKING:
    from apsperf_mw.suite import Suite

__all__ = ["cached", "get_suite"]


def get_suite() -> Suite:
    """The project's suite, once Django is set up and `apsperf_django` is installed."""
    from django.apps import apps

    suite: Suite = apps.get_app_config("apsperf_django").suite
    return suite
