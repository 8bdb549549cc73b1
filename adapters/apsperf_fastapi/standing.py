"""What the suite does within an app: it quiets other telemetry, and hears what routing found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Mount

from apsperf_fastapi.guards import guard
from apsperf_fastapi.mounts import (
    INNER,
    be_deaf,
    hear,
    innermost,
    is_mounted,
    mounted_at,
    mounts_of,
)
from apsperf_mw.asgi import Marked
from apsperf_mw.cache.policy import Plan, rule_of
from apsperf_mw.guards import package

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.applications import Starlette

    from apsperf_mw.asgi import ASGIApp, Describe, Receive, Scope, Send
    from apsperf_mw.suite import Suite

# Modules whose apps build a stack that is known.
FRAMEWORKS = frozenset({"starlette.applications", "fastapi.applications"})
# And those whose routers hand the scope on that they are given.
ROUTERS = frozenset({"starlette.routing", "fastapi.routing"})
# Where a scope has the suite.
SUITE = "apsperf.suite"


def stand_in(app: Starlette, suite: Suite) -> None:
    """Switch off FastAPI's spans and durations where the suite makes them.

    FastAPI reports by itself as soon as a global provider is set, and would report twice. Its
    log records stay; its spans of websockets go too. A provider that FastAPI was given by name
    goes on getting its reports: the suite knows only the global ones.
    """
    config = getattr(app, "_telemetry", None)
    if isinstance(config, dict):
        if suite.settings.tracing.enabled and config.get("tracer_provider") is None:
            config["tracing"] = False
        if suite.settings.timing.enabled and config.get("meter_provider") is None:
            config["metrics"] = False


def marks_of(suite: Suite, app: Starlette | None = None) -> dict[str, Any]:
    """What a scope bears: the suite, and marks that the frameworks' own telemetry stands down for.

    Where the app is not known, Starlette's may have been given a provider by name.
    """
    tracing, timing = suite.settings.tracing.enabled, suite.settings.timing.enabled
    marks: dict[str, Any] = {SUITE: suite}
    if tracing or timing:
        marks["fastapi.telemetry"] = None
    # Starlette's middleware makes spans and durations or neither.
    if tracing and timing and app is not None and not names_provider(app):
        marks["starlette.opentelemetry"] = True
    return marks


def names_provider(app: Starlette) -> bool:
    """Whether Starlette's OpenTelemetry middleware was given a provider of its own."""
    given = {"tracer_provider", "meter_provider"}
    return any(
        str(getattr(each.cls, "__module__", "")) == "starlette.middleware.opentelemetry"
        and any(each.kwargs.get(name) is not None for name in given)
        for each in app.user_middleware
    )


class Quiet(Marked):
    """The app's stack, within which nothing reports what the suite reports.

    The frameworks report only where their mark is not there yet.
    """

    _heard: object = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one connection."""
        scope.setdefault(INNER, [id(scope)])
        app = scope.get("app")
        if app is not None and app is not self._heard:  # under `add_middleware` it is known now
            self._heard = app
            hear(app)
        return super().__call__(scope, receive, send)


def quieted(app: Starlette, build: Any, marks: dict[str, Any]) -> ASGIApp:
    """The stack that an app builds, made to tell what its router is given where that may differ.

    The frameworks' own middleware copies no scope.
    """
    own, route = type(app).build_middleware_stack, type(app.router).__call__
    plain = not app.user_middleware and getattr(build, "__func__", None) is own
    if plain and package(own) in FRAMEWORKS and package(route) in ROUTERS:
        be_deaf(app)
        return Marked(build(), marks)
    hear(app)
    return Quiet(build(), marks)


def describing(suite: Suite) -> Describe:
    """What fills a plan in: without a cache nobody asks who may pass."""
    return describe if suite.settings.cache.enabled else name


def name(scope: Scope, plan: Plan) -> None:
    """Tell the plan its route; the common case at once, which `template` would find as well."""
    if plan.route:
        return
    heard, route = scope.get(INNER), scope.get("route")
    if route is None or (heard is not None and heard[-1] is not None):
        plan.route = template(innermost(scope))
    elif "app_root_path" in scope or "fastapi" in scope or isinstance(route, Mount):
        plan.route = template(scope)
    else:
        plan.route = str(getattr(route, "path", ""))


def describe(scope: Scope, plan: Plan) -> None:
    """Fill the plan in from what routing left in the scope."""
    scope = innermost(scope)
    plan.route = plan.route or template(scope)
    plan.rule = plan.rule or rule_of(scope.get("endpoint"))
    # Older releases do not tell whether a session was used: one that holds something was.
    session = scope.get("session")
    if session is not None and getattr(session, "accessed", bool(session)):
        plan.private = True
    # Whom a middleware has let in, by whatever the request has.
    if getattr(scope.get("user"), "is_authenticated", False):
        plan.private = True
    plan.guarded = plan.guarded or guard(scope)


def template(scope: Scope) -> str:
    """The matched route's template with its mount points, or an empty string."""
    route = scope.get("route")
    if route is None:
        return ""
    if isinstance(route, Mount):
        # An app that has routes was asked and had none for this path; others have theirs inside.
        path = "" if route.routes else "/{path}"
    else:
        # An included router's routes have their prefix only in FastAPI's own context.
        context = scope.get("fastapi", {}).get("effective_route_context")
        path = getattr(context, "path", "") or getattr(route, "path", "")
    if path and not is_mounted(scope):
        return str(path)
    mounted = mount_point(scope) if path else None
    return "" if mounted is None else mounted + path


def mount_point(scope: Scope) -> str | None:
    """The templates of the mounts that a request went through; None where they are not known."""
    mounted, _ = mounted_at(scope)
    if not scope.get("path_params"):
        return mounted
    found = [mount for mount, _ in mounts_of(scope)]
    return None if None in found else "".join(mount.path for mount in found if mount is not None)
