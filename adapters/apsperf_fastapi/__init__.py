"""The suite for FastAPI and Starlette: `install(app)`, or `add_middleware`, and `@cached(...)`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from apsperf_fastapi.mounts import hear
from apsperf_fastapi.parts import SuiteMiddleware, get_cache, get_suite
from apsperf_fastapi.standing import describing, marks_of, quieted, stand_in
from apsperf_mw.cache.policy import cached
from apsperf_mw.errors import SettingError
from apsperf_mw.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.applications import Starlette

    from apsperf_mw.doctor import Route

__all__ = ["SuiteMiddleware", "cached", "get_cache", "get_suite", "install"]


def install(app: Starlette, suite: Suite | None = None, **settings: Any) -> Suite:
    """Put the suite round an app, outside all of its middleware; returns the suite.

    Takes the place of FastAPI's and Starlette's own telemetry for what the suite measures itself.
    The suite is also found at `app.state.apsperf`. A second call raises `RuntimeError`.
    """
    if suite is not None and (settings or not isinstance(suite, Suite)):
        told = f"beside {min(settings)}" if settings else f"as {suite!r}"
        raise SettingError(f"install(suite=...): given {told}; accepted: a Suite, or settings")
    if hasattr(app.state, "apsperf"):
        raise RuntimeError("the suite is installed on this app already")
    suite = Suite(**settings) if suite is None else suite
    build = app.build_middleware_stack

    def build_with_suite() -> Any:
        return suite.asgi(quieted(app, build, marks_of(suite, app)), describing(suite))

    app.build_middleware_stack = build_with_suite  # type: ignore[method-assign]
    app.middleware_stack = None
    app.state.apsperf = suite
    suite.lists = partial(listed, ref(app))
    stand_in(app, suite)
    hear(app)  # also where another router is put into the place of this one
    return suite


def listed(app: ref[Starlette]) -> Iterable[Route]:
    """The app's routes; the suite does not keep it."""
    from apsperf_fastapi.listing import routes

    here = app()
    return () if here is None else routes(here)
