"""The suite: one settings tree, one registry, one cache, one exporter, any number of apps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from apsperf_mw.cache.flow import Cache
from apsperf_mw.drivers.registry import Registry
from apsperf_mw.faults import Faults
from apsperf_mw.settings import Settings, load
from apsperf_mw.shell import Hooks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apsperf_mw.asgi import ASGIApp, ASGIShell, Describe
    from apsperf_mw.drivers.base import AsyncDriver, Driver
    from apsperf_mw.wsgi import WSGIApp, WSGIShell


class Suite:
    """Everything that goes round an app.

    `code` holds settings as keywords, section by section: `Suite(cache={"patience_s": 2})`. What
    it leaves out comes from the environment, a TOML file, `framework` and the defaults.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        framework: Mapping[str, Any] | None = None,
        **code: Any,
    ) -> None:
        self.settings = load(code, framework)[0] if settings is None else settings
        self.faults = Faults()
        self.registry = Registry(self.settings.drivers)
        self.cache = Cache(self.settings, self.driver("cache"))
        self.hooks = Hooks((), self.faults)

    def driver(self, layer: Literal["cache", "database"]) -> Driver | AsyncDriver:
        """The driver of a layer: the one its section names, else the default one."""
        named = getattr(self.settings, layer).driver
        return self.registry.get(named or self.settings.default)

    def asgi(self, app: ASGIApp, describe: Describe | None = None) -> ASGIShell:
        """The ASGI app with the suite round it."""
        from apsperf_mw.asgi import ASGIShell

        return ASGIShell(self, app, describe)

    def wsgi(self, app: WSGIApp) -> WSGIShell:
        """The WSGI app with the suite round it; `DriverError` if the driver only suspends."""
        from apsperf_mw.wsgi import WSGIShell

        return WSGIShell(self, app)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Export what has been recorded; whether all of it went out in time."""
        return True

    async def aflush(self) -> None:
        """Flush without holding the event loop."""
        from apsperf_mw.runtime.loop import hop

        await hop(self.flush)

    def close(self) -> None:
        """Flush and release everything; the apps go on without cache and observers."""
        self.flush()
        self.registry.close()

    def purge(self, *tags: str) -> None:
        """Make every stored response that carries one of these tags unusable, at once."""
        self.cache.tags.purge(tags)
