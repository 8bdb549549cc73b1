"""The suite as a middleware, and as something that path functions depend on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection  # noqa: TC002 - FastAPI looks at annotations

from apsperf_fastapi.standing import SUITE, Quiet, describing, marks_of
from apsperf_mw.errors import SettingError
from apsperf_mw.guards import MOST_LAYERS
from apsperf_mw.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from apsperf_mw.data.cache import DataCache
    from apsperf_mw.doctor import Route


class SuiteMiddleware:
    """For `app.add_middleware(SuiteMiddleware, cache={...})`: what was added before is within it.

    `suite` is one that you have already; else keywords are settings.
    """

    def __init__(self, app: ASGIApp, /, suite: Suite | None = None, **settings: Any) -> None:
        if suite is not None and settings:
            raise SettingError(f"suite: given beside {min(settings)}; accepted: one of the two")
        if suite is not None and not isinstance(suite, Suite):
            raise SettingError(f"suite: {suite!r} given; accepted: a Suite")
        self.suite = Suite(**settings) if suite is None else suite
        within: Any = Quiet(app, marks_of(self.suite))
        self.app = self.suite.asgi(within, describing(self.suite))
        self.suite.lists = partial(below, app)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one connection."""
        return self.app(scope, receive, send)


def below(app: Any) -> Iterator[Route]:
    """The routes of the first app that has any, under the middleware."""
    from apsperf_fastapi.listing import routes

    for _ in range(MOST_LAYERS):
        if hasattr(app, "routes"):
            yield from routes(app)
            return
        app = getattr(app, "app", None)


def get_suite(connection: HTTPConnection) -> Suite:
    """The suite that the request came through: `Depends(get_suite)`."""
    suite: Suite | None = connection.scope.get(SUITE)
    if suite is None:
        raise SettingError("get_suite: no suite is round this app; accepted: one that is installed")
    return suite


def get_cache(connection: HTTPConnection) -> DataCache:
    """A cache for data of your own: `Depends(get_cache)`."""
    return get_suite(connection).cache()
