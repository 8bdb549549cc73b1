"""The routes of a Django project, as the suite sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_django.guards import guard
from apsperf_django.rules import rule_for
from apsperf_mw.doctor import Route

if TYPE_CHECKING:
    from collections.abc import Iterator


def routes(patterns: Any = None, prefix: str = "/") -> Iterator[Route]:
    """All routes, in the order of the URL configuration."""
    if patterns is None:
        from django.urls import get_resolver

        patterns = get_resolver().url_patterns
    for each in patterns:
        template = prefix + str(each.pattern)
        within = getattr(each, "url_patterns", None)
        if within is not None:
            yield from routes(within, template)
        else:
            view = each.callback
            yield Route(template, "GET", rule_for(view, "GET"), guard(view, "GET"))
