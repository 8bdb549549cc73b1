"""The suite for FastAPI and Starlette: `install(app)` and `@cached(...)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.policy import Plan, cached, rule_of
from apsperf_mw.suite import Suite

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from starlette.applications import Starlette

    Scope = MutableMapping[str, Any]

__all__ = ["cached", "install"]


def install(app: Starlette, suite: Suite | None = None, **settings: Any) -> Suite:
    """Put the suite round an app, outside all of its middleware; returns the suite.

    Takes the place of FastAPI's own telemetry for what the suite measures itself. The suite is
    also found at `app.state.apsperf`. A second call raises `RuntimeError`.
    """
    if hasattr(app.state, "apsperf"):
        raise RuntimeError("the suite is installed on this app already")
    suite = Suite(**settings) if suite is None else suite
    build = app.build_middleware_stack

    def build_with_suite() -> Any:
        return suite.asgi(build(), describe)

    app.build_middleware_stack = build_with_suite  # type: ignore[method-assign]
    app.middleware_stack = None
    app.state.apsperf = suite
    stand_in(app, suite)
    return suite


def stand_in(app: Starlette, suite: Suite) -> None:
    """Switch off FastAPI's spans and durations where the suite makes them.

    FastAPI reports by itself as soon as a global provider is set, and would report twice. Its
    log records stay.
    """
    config = getattr(app, "_telemetry", None)
    if isinstance(config, dict):
        if suite.settings.tracing.enabled:
            config["tracing"] = False
        if suite.settings.timing.enabled:
            config["metrics"] = False


def describe(scope: Scope, plan: Plan) -> None:
    """Fill the plan in from what routing left in the scope."""
    plan.route = plan.route or template(scope)
    plan.rule = plan.rule or rule_of(scope.get("endpoint"))
    # A session that does not tell whether it was used counts as used.
    session = scope.get("session")
    if session is not None and getattr(session, "accessed", True):
        plan.private = True


def template(scope: Scope) -> str:
    """The matched route's template with its mount point, or an empty string."""
    route = scope.get("route")
    if route is None:
        return ""
    # An included router's routes have their prefix only in FastAPI's own context.
    context = scope.get("fastapi", {}).get("effective_route_context")
    path: str = getattr(context, "path", "") or getattr(route, "path", "")
    mounted: str = scope.get("root_path", "").removeprefix(scope.get("app_root_path", ""))
    if mounted and hasattr(route, "app") and route.app is scope.get("endpoint"):
        return without_values(mounted, scope) + "/{path}"  # the mounted app routes by itself
    return without_values(mounted, scope) + path


def without_values(mounted: str, scope: Scope) -> str:
    """A mount point with its path parameters put back in place of their values."""
    for name, value in scope.get("path_params", {}).items():
        mounted = mounted.replace(f"/{value}", f"/{{{name}}}", 1)
    return mounted
