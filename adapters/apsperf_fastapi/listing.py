"""The routes of a FastAPI or Starlette app, as the suite sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Mount

from apsperf_fastapi.guards import guard
from apsperf_mw.cache.policy import rule_of
from apsperf_mw.doctor import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

IMPLIED = frozenset({"HEAD"})


def routes(app: Any, prefix: str = "") -> Iterator[Route]:
    """All routes that answer HTTP, those of mounted apps too, in the order in which they match."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield from routes(route, prefix + route.path)
            continue
        for each in contexts(route):
            yield from _one(each, prefix)


def contexts(route: Any) -> Iterator[Any]:
    """A route, or those of a router that newer releases of FastAPI include as a whole."""
    within = getattr(route, "effective_route_contexts", None)
    if within is None:
        yield route
    else:
        yield from within()


def _one(route: Any, prefix: str) -> Iterator[Route]:
    methods = sorted(set(getattr(route, "methods", None) or ()) - IMPLIED)
    endpoint = getattr(route, "endpoint", None)
    if not methods or endpoint is None:
        return
    seen = guard({"route": route, "endpoint": endpoint})
    yield Route(prefix + route.path, ",".join(methods), rule_of(endpoint), seen)
