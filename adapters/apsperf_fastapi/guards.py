"""What stands before a FastAPI or Starlette route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.guards import ADDRESS, comes_from, field_of, layers, reads_of, speaks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Scope

KNOWN = "__apsperf_guard__"
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
# Fields that say what somebody wants, or who passes it on, and not who may have it.
HARMLESS = ("accept", "if-", "user-agent", "traceparent", "tracestate", "x-request-id", "host")


def guard(scope: Scope) -> str:
    """What decides who may pass to the route of this scope, or an empty string."""
    route = scope.get("route")
    if route is None:
        return ""
    # An included router's dependencies are only in FastAPI's own context.
    within = (scope.get("fastapi") or {}).get("effective_route_context") or route
    known: str | None = getattr(within, KNOWN, None)
    if known is None:
        known = _found(within, scope.get("endpoint"))
        try:
            setattr(within, KNOWN, known)
        except AttributeError:  # it takes no attributes: asked about each time
            return known
    return known


def _found(route: Any, endpoint: Any) -> str:
    dependant = getattr(route, "dependant", None)
    for each in () if dependant is None else below(dependant):
        if found := _guards(each):
            return found
    return comes_from(endpoint, PACKAGES) or _limited(endpoint) or _read(dependant, endpoint)


def _read(dependant: Any, endpoint: Any) -> str:
    """What the endpoint itself looks at to learn who asks."""
    given = {field_of(str(field.alias)) for field in getattr(dependant, "header_params", ())}
    if told := ADDRESS & given:
        return min(told)
    if found := reads_of(endpoint, _request_name(dependant), WHO):
        return f"request.{found}"
    return speaks_of(endpoint, ADDRESS)


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
    return _asked_for(dependant) or speaks_of(call, ADDRESS) or comes_from(call, PACKAGES)


def _asked_for(dependant: Any) -> str:
    """A field or a cookie by which a dependency decides."""
    for field in (*dependant.header_params, *dependant.cookie_params):
        name = str(field.alias).lower().replace("_", "-")
        if not name.startswith(HARMLESS):
            return name
    return ""


def is_scheme(call: object) -> bool:
    """Whether it is one of FastAPI's security schemes."""
    from fastapi.security.base import SecurityBase

    return any(isinstance(layer, SecurityBase) for layer in layers(call))


def _limited(endpoint: Any) -> str:
    """Whether a limiter has put a mark on an endpoint, which it wraps elsewhere."""
    return "slowapi" if hasattr(endpoint, "_rate_limits") else ""
