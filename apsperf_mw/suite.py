"""The suite: one settings tree, one registry, one cache, one exporter, any number of apps."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet

from apsperf_mw.cache.codec import Codec
from apsperf_mw.cache.flow import Cache
from apsperf_mw.cache.policy import current
from apsperf_mw.cache.routes import Routes
from apsperf_mw.cache.tags import Purge
from apsperf_mw.drivers.base import LocalDriver
from apsperf_mw.drivers.registry import Registry
from apsperf_mw.errors import DriverError
from apsperf_mw.faults import Faults
from apsperf_mw.hooks import Hooks
from apsperf_mw.observe.export import MetricsExporter
from apsperf_mw.observe.memory import Memory
from apsperf_mw.observe.timing import ServerTiming, Timing
from apsperf_mw.observe.tracing import Tracing
from apsperf_mw.runtime.background import Background
from apsperf_mw.settings import Settings, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Unpack

    from apsperf_mw.admin.door import Door
    from apsperf_mw.asgi import ASGIApp, ASGIShell, Describe
    from apsperf_mw.cache.channel import Channel
    from apsperf_mw.cache.functions import Decorator, Functions
    from apsperf_mw.cache.memo import Choose, Tags
    from apsperf_mw.drivers.base import AsyncDriver, Driver
    from apsperf_mw.drivers.faces import Face, MakeFace
    from apsperf_mw.observe.points import Kind
    from apsperf_mw.observe.series import Attributes
    from apsperf_mw.warm import Options, Report
    from apsperf_mw.wsgi import WSGIApp, WSGIShell


DRIVER_METRICS: tuple[tuple[str, str, str, Kind, str], ...] = (
    ("apsperf.cache.entries", "{entry}", "Entries in the cache.", "updown", "entries"),
    ("apsperf.cache.size", "By", "Bytes in the cache.", "updown", "size_bytes"),
    ("apsperf.cache.evictions", "{entry}", "Entries evicted.", "counter", "evictions"),
)


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
        self.routes = Routes(self.settings.cache.routes)
        self.registry = Registry(self.settings.drivers, self.settings.sealed)
        self.cache = Cache(self.settings, self.driver("cache"))
        self.channel = self._make_channel()
        self.door = self._make_door()
        self.exporter = MetricsExporter(self.settings.exporter, self.faults)
        self.observers = self._make_observers()
        self.hooks = Hooks(self.observers, self.faults)
        self.background = Background(partial(self.faults.note, "a background refresh"))
        self._shells: WeakSet[ASGIShell | WSGIShell] = WeakSet()
        self._observe_driver()

    def _make_channel(self) -> Channel | None:
        """By what the other workers of this host hear of purges; a shared driver needs none."""
        if not self.driver("cache").local:
            return None
        from apsperf_mw.cache.channel import channel_of

        return channel_of(self.settings.cache, self.cache.tags, self.faults)

    def _make_door(self) -> Door | None:
        """Who may use the admin endpoint; None where there is none."""
        if not self.settings.admin.enabled:
            return None
        from apsperf_mw.admin.door import Door

        return Door(self.settings.admin, self.faults)

    def _make_observers(self) -> tuple[object, ...]:
        settings, exporter = self.settings, self.exporter
        observers: list[object] = []
        if settings.timing.enabled:
            observers.append(Timing(exporter))
        if settings.timing.server_timing:
            observers.append(ServerTiming())
        if settings.memory.enabled:
            observers.append(Memory(exporter, settings.memory.interval_s))
        if settings.tracing.enabled:
            observers.append(Tracing(exporter, settings.tracing))
        return tuple(observers)

    def _observe_driver(self) -> None:
        driver = self.driver("cache")
        if isinstance(driver, LocalDriver):
            for name, unit, what, kind, key in DRIVER_METRICS:
                values = partial(_stat, driver, key)
                self.exporter.observe(name, unit, what, kind, values)

    def driver(self, layer: Literal["cache", "database"]) -> Driver | AsyncDriver:
        """The driver of a layer: the one its section names, else the default one."""
        named = getattr(self.settings, layer).driver
        return self.registry.get(named or self.settings.default)

    def face(self, make: MakeFace) -> Face:
        """The cache's driver as a shell of one kind reaches it."""
        settings = self.settings.cache
        return make(self.driver("cache"), self.faults, settings.namespace, Codec.of(settings))

    def asgi(self, app: ASGIApp, describe: Describe | None = None) -> ASGIShell:
        """The ASGI app with the suite round it."""
        shell: ASGIShell
        if self.door is None:
            from apsperf_mw.asgi import ASGIShell

            shell = ASGIShell(self, app, describe)
        else:
            from apsperf_mw.admin.shells import AdminASGIShell

            shell = AdminASGIShell(self, app, describe)
        self._shells.add(shell)
        return shell

    def wsgi(self, app: WSGIApp) -> WSGIShell:
        """The WSGI app with the suite round it; `DriverError` if the driver only suspends."""
        shell: WSGIShell
        if self.door is None:
            from apsperf_mw.wsgi import WSGIShell

            shell = WSGIShell(self, app)
        else:
            from apsperf_mw.admin.shells import AdminWSGIShell

            shell = AdminWSGIShell(self, app)
        self._shells.add(shell)
        return shell

    def warm(
        self, targets: Iterable[str], *, app: object = None, **options: Unpack[Options]
    ) -> Report:
        """Ask the app for these paths or URLs, so that they are in the cache; what came of each.

        `app` says which, where the suite is round several or is not seen from here. Blocks; where
        an event loop runs, await `awarm`.
        """
        from apsperf_mw.warm import warm

        return warm(self._shells, targets, app, options)

    async def awarm(
        self, targets: Iterable[str], *, app: object = None, **options: Unpack[Options]
    ) -> Report:
        """As `warm`, in the running loop."""
        from apsperf_mw.warm import awarm

        return await awarm(self._shells, targets, app, options)

    def cached(
        self,
        ttl: str | float,
        tags: Tags = (),
        *,
        stale_while_revalidate: float = 0.0,
        key: Choose | None = None,
        ignore: Iterable[str] = (),
        version: str | int = "",
    ) -> Decorator:
        """Keep what a function returns for `ttl`, a class (short, medium, long) or seconds.

        Its key is made of its arguments but those of `ignore`, or of what `key` gives for them;
        `key` and a function for `tags` get all of them by name. For `stale_while_revalidate`
        seconds more the old result is given while the function runs once in the background.
        Raises `SettingError`, or `DriverError` for a plain function on a driver that suspends.
        """
        from apsperf_mw.cache.memo import options

        return self.functions.decorator(
            options(ttl, tags, stale_while_revalidate, key, ignore, version)
        )

    @cached_property
    def functions(self) -> Functions:
        """The cached functions."""
        from apsperf_mw.cache.calls import Calls
        from apsperf_mw.cache.functions import Functions

        if self.channel is not None:
            self.channel.look(0.0)  # what is purged from now on may concern a result
        return Functions(Calls(self.settings, self.driver("cache"), self.cache.tags, self.faults))

    def flush(self, timeout_s: float | None = None) -> bool:
        """Export what has been recorded; whether all of it went out in time.

        Into the user's providers too, where they are used. Takes `exporter.flush_timeout_s` at
        most unless told otherwise.
        """
        most_s = self.settings.exporter.flush_timeout_s
        return self.exporter.flush(most_s if timeout_s is None else timeout_s)

    async def aflush(self) -> None:
        """Flush without holding the event loop."""
        from apsperf_mw.runtime.loop import hop

        await hop(self.flush)

    def close(self) -> None:
        """Flush, end the threads and empty the drivers; for the end of the program."""
        self.background.close()
        if "functions" in vars(self):
            self.functions.calls.close()
        self.exporter.close()
        self.registry.close()

    def purge(
        self,
        *tags: str,
        urls: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        everything: bool = False,
        hard: bool = False,
    ) -> None:
        """Make stored responses not good any more, at once, also those that are being made.

        Those that carry one of the tags, are of one of the URLs (absolute, or a path for any
        host), or stand below one of the prefixes. The next request asks the app about them;
        `hard`, they are not used even for that. The other workers of this host hear of it through
        `cache.purge_file`, before their next request or 10 ms later. `SettingError` for what
        cannot be; `DriverError` for a driver outside this process, which would not hear of it;
        `PurgeError` where only this process has heard of it.
        """
        self._tell(self._purge(Purge(tags, tuple(urls), tuple(prefixes), everything, hard)))

    async def apurge(
        self,
        *tags: str,
        urls: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        everything: bool = False,
        hard: bool = False,
    ) -> None:
        """As `purge`; the file is written without holding the event loop."""
        from apsperf_mw.runtime.loop import hop

        what = self._purge(Purge(tags, tuple(urls), tuple(prefixes), everything, hard))
        await hop(self._tell, what)

    def _purge(self, what: Purge) -> Purge:
        driver = self.driver("cache")
        what.check()
        if not driver.local:
            raise DriverError(f"{type(driver).__name__} is outside this process: it has no tags")
        form = self.cache.query_form
        if form:  # stored under keys of that form
            what = what._replace(urls=tuple(map(form.of_url, what.urls)))
        self.cache.tags.apply(what)
        return what

    def _tell(self, what: Purge) -> None:
        if self.channel is not None:
            self.channel.publish(what)

    def tag(self, *tags: str) -> None:
        """Have the response that is being made carry these tags; outside a request, nothing."""
        plan = current.get()
        if plan is not None:
            plan.add(tags)


def _stat(driver: LocalDriver, key: str) -> list[tuple[float, Attributes]]:
    return [(driver.stats()[key], {})]
