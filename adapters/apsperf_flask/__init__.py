"""The suite for Flask: an extension, and `@perf.cached(...)` for views."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from flask import Flask, Response, current_app
from flask.globals import request_ctx

from apsperf_flask.guards import guard, let_in
from apsperf_flask.marks import rule_for
from apsperf_flask.requests import watch_requests
from apsperf_flask.sessions import session_of
from apsperf_mw.cache.policy import Plan, cached
from apsperf_mw.errors import SettingError
from apsperf_mw.settings import nest
from apsperf_mw.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.doctor import Route

__all__ = ["APSPerf", "cached"]

EXTENSION = "apsperf"


class APSPerf:
    """The extension: `APSPerf(app)`, or `APSPerf()` and `init_app(app)` for one or more apps.

    Each app has its own suite, at `app.extensions["apsperf"]`. Keywords are settings and win
    over the app's `APSPERF_*` keys, which are read at `init_app`.
    """

    cached = staticmethod(cached)

    def __init__(self, app: Flask | None = None, **settings: Any) -> None:
        self._settings = settings
        self._app = app
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> Suite:
        """Put the suite round the app's `wsgi_app`, once; returns the app's suite."""
        found: Suite | None = app.extensions.get(EXTENSION)
        if found is not None:
            if self._settings:
                told = ", ".join(self._settings)
                raise SettingError(f"{told}: given, but the app has its suite already")
            return found
        suite = Suite(framework=nest(app.config), **self._settings)
        app.extensions[EXTENSION] = suite
        app.wsgi_app = suite.wsgi(app.wsgi_app)  # type: ignore[method-assign]
        # Flask runs these last to first: ours sees what the others made of the response.
        app.after_request_funcs.setdefault(None, []).insert(0, describe)
        suite.lists = partial(listed, ref(app))
        watch_requests(app)
        add_tag(app)
        add_commands(app)
        return suite

    @property
    def suite(self) -> Suite:
        """The suite of the app that this was made with, else of the current one."""
        app = current_app if self._app is None else self._app
        suite: Suite | None = app.extensions.get(EXTENSION)
        if suite is None:
            raise SettingError(f"{app.name}: it has no suite; accepted: an app after init_app")
        return suite


def listed(app: ref[Flask]) -> Iterable[Route]:
    """The app's routes; the suite does not keep it."""
    from apsperf_flask.listing import routes

    here = app()
    return () if here is None else routes(here)


def add_tag(app: Flask) -> None:
    """Teach the app's templates `{% cache %}`, without making its environment before its time."""
    from apsperf_flask.fragments import CacheTag

    if "jinja_env" in vars(app):
        app.jinja_env.add_extension(CacheTag)
        return
    known = app.jinja_options.get("extensions", ())
    app.jinja_options = {**app.jinja_options, "extensions": [*known, CacheTag]}


def add_commands(app: Flask) -> None:
    """Give the app `flask apsperf ...`."""
    from apsperf_flask.commands import group

    app.cli.add_command(group)


def describe(response: Response) -> Response:
    """Fill the request's plan in: the route, its mark, and whether the session was used."""
    context: Any = request_ctx._get_current_object()  # type: ignore[attr-defined]
    request = context.request
    environ = request.environ
    plan: Plan | None = environ.get("apsperf.plan")
    if plan is None:
        return response
    rule = request.url_rule
    if rule is not None:
        plan.route = plan.route or environ.get("SCRIPT_NAME", "") + rule.rule
        view = context.app.view_functions.get(rule.endpoint)
        plan.rule = plan.rule or rule_for(view, request.method)
    plan.guarded = plan.guarded or guard(context.app, request)
    if let_in(context):
        plan.private = True
    session = session_of(context)
    if session is not None:
        look_at(session, plan)
        if response.is_streamed:  # else Flask itself looks at it next, to save it
            plan.late = partial(look_at, session)
    return response


def look_at(session: object, plan: Plan) -> None:
    """Keep the response out of the cache where the session was used; one that hides it was."""
    if getattr(session, "accessed", True):
        plan.private = True
