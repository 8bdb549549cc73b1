"""What stands before a FastAPI or Starlette route."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from apsperf_fastapi.mounts import is_mounted, mounts_of
from apsperf_mw.guards import MOST_LAYERS, comes_from, layers
from apsperf_mw.reading import ADDRESS, HARMLESS, asks_for, field_of, reads_of, speaks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Scope

KNOWN = "__apsperf_guard__"
INNERMOST = (
    "starlette.routing",
    "starlette.applications",
    "fastapi.applications",
    "fastapi.routing",
)
SCHEMES = ("fastapi.security",)
# Packages whose dependencies and decorators decide who may pass, and how often.
PACKAGES = (
    "starlette.authentication",
    "fastapi_limiter",
    "slowapi",
    "fastapi_users",
    "fastapi_login",
    "fastapi_jwt_auth",
    "casbin",
)
# What a dependency reads of a request where it decides by who asks.
WHO = frozenset({"client", "session", "user", "auth"})
# The same, and how a class of endpoints begins.
METHODS = ("dispatch", "get", "head")
# Middleware of a route that serves everybody alike.
MIDDLEWARE = ("starlette.middleware.gzip", "starlette.middleware.cors", "starlette.middleware.base")


def guard(scope: Scope) -> str:
    """What decides who may pass to the route of this scope, or an empty string."""
    route, endpoint = scope.get("route"), scope.get("endpoint")
    if route is None and endpoint is None:
        return ""
    if getattr(endpoint, "routes", None):  # of an app within, which has told nothing of its own
        return type(endpoint).__qualname__
    if route is None:
        route = _sought(scope, endpoint)
    # An included router's dependencies are only in FastAPI's own context.
    within = (scope.get("fastapi") or {}).get("effective_route_context") or route
    overrides = getattr(scope.get("app"), "dependency_overrides", None)
    found = _of_overrides(within, overrides) if overrides else ""
    around = _of_mounts(scope) or _limits_all(scope)
    return found or around or _remembered(within, route, endpoint)


def _sought(scope: Scope, endpoint: Any) -> Any:
    """The route of an endpoint, which older releases of Starlette do not tell.

    Of several the one that has middleware.
    """
    routes: Any = getattr(scope.get("router"), "routes", ())
    for mount, _ in mounts_of(scope) if "path" in scope else ():
        routes = () if mount is None else mount.routes
    found = [each for each in routes if getattr(each, "endpoint", None) is endpoint]
    return next((each for each in found if middleware_of(each.app)), found[0] if found else None)


def _remembered(within: Any, route: Any, endpoint: Any) -> str:
    """What stands before a route, found once."""
    if within is None:
        return _found(None, None, endpoint)
    known: str | None = getattr(within, KNOWN, None)
    if known is None:
        known = _found(within, route, endpoint)
        try:
            setattr(within, KNOWN, known)
        except AttributeError:  # it takes no attributes: asked about each time
            return known
    return known


def _found(within: Any, route: Any, endpoint: Any) -> str:
    dependant = getattr(within, "dependant", None)
    for each in () if dependant is None else below(dependant):
        if found := _guards(each):
            return found
    return (
        comes_from(endpoint, PACKAGES)
        or _limited(endpoint)
        or _of_class(endpoint)
        or _of_route(route)
        or _read(dependant, endpoint)
    )


def _of_class(endpoint: Any) -> str:
    """What decorates the methods of a class of endpoints."""
    if not isinstance(endpoint, type):
        return ""
    methods = (
        getattr(base, "__dict__", {}).get(name) for base in endpoint.__mro__ for name in METHODS
    )
    return next(filter(None, (comes_from(each, PACKAGES) for each in methods if each)), "")


def _of_route(route: Any) -> str:
    """What a route has of its own round its endpoint: a class of routes, middleware."""
    handler = getattr(type(route), "get_route_handler", None)
    if handler is not None and not handler.__module__.startswith("fastapi."):
        if found := reads_of(handler, "request", WHO) or speaks_of(handler, ADDRESS):
            return f"request.{found}"
        if found := asks_for(handler, "request"):
            return found
    return middleware_of(getattr(route, "app", None))


def middleware_of(app: Any) -> str:
    """Middleware that a route or a mount was given, unless it is known to serve everybody."""
    for _ in range(MOST_LAYERS):
        kind = type(app)
        if app is None or kind is FunctionType or kind is MethodType:
            return ""
        if kind.__module__.startswith(INNERMOST):
            return ""
        if not kind.__module__.startswith(MIDDLEWARE):
            return kind.__qualname__ if hasattr(app, "app") else ""
        app = getattr(app, "app", None)
    return ""


def _of_mounts(scope: Scope) -> str:
    """Middleware of the mounts that a request went through."""
    if "path" not in scope or not is_mounted(scope):
        return ""
    found = [mount for mount, _ in mounts_of(scope) if mount is not None]
    return next(filter(None, (middleware_of(each.app) for each in found)), "")


def _limits_all(scope: Scope) -> str:
    """Whether slowapi limits routes that do not ask for it."""
    limiter = getattr(getattr(scope.get("app"), "state", None), "limiter", None)
    if limiter is None or not type(limiter).__module__.startswith("slowapi"):
        return ""
    named = ("_default_limits", "_application_limits")
    return "slowapi" if any(getattr(limiter, name, None) for name in named) else ""


def _of_overrides(route: Any, overrides: Any) -> str:
    """What is called in the place of a dependency; it may change at any time."""
    from fastapi.dependencies.utils import get_dependant

    dependant = getattr(route, "dependant", None)
    for each in () if dependant is None else below(dependant):
        other = overrides.get(each.call)
        if other is not None:
            made = get_dependant(path="/", call=other)
            for one in (made, *below(made)):
                if found := _guards(one):
                    return found
    return ""


def _read(dependant: Any, endpoint: Any) -> str:
    """What the endpoint itself looks at to learn who asks."""
    given = {field_of(str(field.alias)) for field in getattr(dependant, "header_params", ())}
    if told := ADDRESS & given:
        return min(told)
    if found := reads_of(endpoint, _request_name(dependant), WHO, methods=METHODS):
        return f"request.{found}"
    return speaks_of(endpoint, ADDRESS, METHODS)


def _request_name(dependant: Any) -> str:
    """What a dependency or an endpoint calls the request."""
    named = ("request_param_name", "http_connection_param_name")
    return next(filter(None, (getattr(dependant, name, None) for name in named)), "request")


def below(dependant: Any) -> Iterator[Any]:
    """The dependencies of a route, of their own, and so on."""
    waiting = list(dependant.dependencies)
    while waiting:
        one = waiting.pop()
        yield one
        waiting += one.dependencies


def _guards(dependant: Any) -> str:
    """Why a dependency is a guard; those made by `Security` are."""
    call = dependant.call
    for scopes in ("own_oauth_scopes", "security_scopes", "security_scopes_param_name"):
        if getattr(dependant, scopes, None):
            return "Security"
    if is_scheme(call):
        return type(call).__name__
    if found := reads_of(call, _request_name(dependant), WHO):
        return f"request.{found}"
    if found := _asked_for(dependant) or asks_for(call, _request_name(dependant)):
        return found
    return speaks_of(call, ADDRESS) or comes_from(call, PACKAGES)


def _asked_for(dependant: Any) -> str:
    """A field or a cookie by which a dependency decides."""
    for field in (*dependant.header_params, *dependant.cookie_params):
        name = str(field.alias).lower().replace("_", "-")
        if name not in HARMLESS:
            return name
    return ""


def is_scheme(call: object) -> bool:
    """Whether it is one of FastAPI's security schemes."""
    from fastapi.security.base import SecurityBase

    return any(isinstance(layer, SecurityBase) for layer in layers(call))


def _limited(endpoint: Any) -> str:
    """Whether a limiter has put a mark on an endpoint, which it wraps elsewhere."""
    return "slowapi" if hasattr(endpoint, "_rate_limits") else ""
