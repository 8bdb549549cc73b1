"""The suite: one settings tree, one registry, one cache, one exporter, any number of apps."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet, ref

from apsperf_mw.cache.codec import Codec
from apsperf_mw.cache.near_flow import cache_of
from apsperf_mw.cache.routes import Routes
from apsperf_mw.databases import Databases
from apsperf_mw.diagnosis import Diagnosis
from apsperf_mw.drivers.registry import Registry
from apsperf_mw.faults import Faults
from apsperf_mw.hooks import Hooks
from apsperf_mw.observe.channels import Channels
from apsperf_mw.observe.children import Children
from apsperf_mw.observe.entries import observe_driver
from apsperf_mw.observe.export import MetricsExporter
from apsperf_mw.observe.memory import Memory
from apsperf_mw.observe.recorder import Recorder
from apsperf_mw.observe.sockets import Sockets
from apsperf_mw.observe.tallies import Tallies
from apsperf_mw.observe.timing import RequestIds, ServerTiming
from apsperf_mw.ops.health import Health
from apsperf_mw.purging import Purging
from apsperf_mw.runtime.background import Background
from apsperf_mw.settings import Settings, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Unpack

    from apsperf_mw.admin.door import Door
    from apsperf_mw.asgi import ASGIApp, ASGIShell, Describe
    from apsperf_mw.cache.channel import Channel
    from apsperf_mw.cache.faces import Face, MakeFace
    from apsperf_mw.cache.functions import Decorator, Functions
    from apsperf_mw.cache.memo import Choose, Tags
    from apsperf_mw.data.cache import Caches, DataCache
    from apsperf_mw.drivers.base import AsyncDriver, Driver
    from apsperf_mw.observe.statements import Statements
    from apsperf_mw.ops.fronts import Fronts
    from apsperf_mw.profiling.requests import Profiles
    from apsperf_mw.warm import Options, Report
    from apsperf_mw.wsgi import WSGIApp, WSGIShell


_suites: WeakSet[Suite] = WeakSet()


class Suite(Diagnosis, Purging, Databases):
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
        self.channels = Channels(self.settings.logging)
        self.faults = Faults(tell=self.channels.cache_fault)
        self.routes = Routes(self.settings.cache.routes)
        self.registry = Registry(self.settings.drivers, self.settings.sealed)
        self.responses = cache_of(self.settings, self.driver("cache"))
        self.channel = self._make_channel()
        self.door = self._make_door()
        self.exporter = MetricsExporter(
            self.settings.exporter, self.faults, self.settings.tracing.query_values
        )
        if self.settings.logging.enabled:
            self.exporter.watch(self.channels.watch)
        self.tallies = Tallies()
        if self.settings.timing.enabled:
            self.exporter.watch(self.tallies.add)
            self.exporter.in_child(self.tallies.clear)
        self.memory: Memory | None = None
        self.recorder = self._make_recorder()
        self.observers = self._make_observers()
        self.hooks = Hooks(self.observers, self.faults, self.recorder)
        self.background = Background(partial(self.faults.note, "a background refresh"))
        self.children = Children(self.exporter, self.channels, self.settings.database)
        self.exporter.in_child(partial(_forget, ref(self.children.statements)))
        self.sockets = self._make_sockets()
        self.health = Health(self.faults)
        self.profiles = self._make_profiles()
        self.fronts = self._make_fronts()
        self.lists = tuple
        self._shells: WeakSet[ASGIShell | WSGIShell] = WeakSet()
        _suites.add(self)
        observe_driver(self.exporter, self.driver("cache"))

    def _make_channel(self) -> Channel | None:
        """By what the other workers of this host hear of purges; a shared driver needs none."""
        if not self.driver("cache").local:
            return None
        from apsperf_mw.cache.channel import channel_of

        return channel_of(self.settings.cache, self.responses.tags, self.faults)

    def _make_door(self) -> Door | None:
        """Who may use the admin endpoint; None where there is none."""
        if not self.settings.admin.enabled:
            return None
        from apsperf_mw.admin.door import Door

        return Door(self.settings.admin, self.faults)

    @property
    def only_watches(self) -> bool:
        """Whether there is nothing to do for a request but to observe it, or not even that."""
        return not (self.settings.cache.enabled or self.hooks.others)

    def _make_profiles(self) -> Profiles | None:
        """Who makes profiles on demand; None where nobody may."""
        if not self.settings.profiling.enabled:
            return None
        from apsperf_mw.profiling.requests import Profiles

        return Profiles(self.settings.profiling, self.faults)

    def _make_fronts(self) -> Fronts | None:
        """What is answered before the app; None where nothing is."""
        settings = self.settings
        if not (settings.health.enabled or settings.prometheus.enabled or self.profiles):
            return None
        from apsperf_mw.ops.fronts import Fronts

        return Fronts(self)

    def _make_recorder(self) -> Recorder | None:
        settings = self.settings
        observes = settings.timing.enabled or settings.tracing.enabled or settings.memory.enabled
        return Recorder(self.exporter, settings) if observes else None

    def _make_sockets(self) -> Sockets | None:
        recorder = self.recorder
        if recorder is None or not (recorder.times or recorder.traces):
            return None
        return Sockets(self.exporter, recorder)

    def _make_observers(self) -> tuple[object, ...]:
        settings, exporter = self.settings, self.exporter
        observers: list[object] = []
        if self.recorder is not None:
            observers.append(self.recorder)
        if settings.timing.server_timing != "off":
            observers.append(ServerTiming(settings.timing))
        if settings.timing.request_id:
            observers.append(RequestIds())
        if self.recorder is not None and self.recorder.captures is not None:
            observers.append(self.recorder.captures)
        if settings.memory.enabled:
            shed = partial(_shed, ref(self.registry))
            self.memory = Memory(exporter, settings.memory, self.channels, shed)
        return tuple(observers)

    def driver(self, layer: Literal["cache", "database"]) -> Driver | AsyncDriver:
        """The driver of a layer: the one its section names, else the default one."""
        named = getattr(self.settings, layer).driver
        return self.registry.get(named or self.settings.default)

    def face(self, make: MakeFace) -> Face:
        """The cache's driver as a shell of one kind reaches it."""
        settings = self.settings.cache
        codec = Codec.of(settings)
        return make(
            self.driver("cache"), self.faults, settings.namespace, codec, self.responses.ledger
        )

    def asgi(self, app: ASGIApp, describe: Describe | None = None) -> ASGIShell:
        """The ASGI app with the suite round it."""
        from apsperf_mw.wrapping import asgi_shell, fronted_asgi

        shell = asgi_shell(self, app, describe)
        self._shells.add(shell)
        return fronted_asgi(self, shell)

    def wsgi(self, app: WSGIApp) -> WSGIShell:
        """The WSGI app with the suite round it; `DriverError` if the driver only suspends."""
        from apsperf_mw.wrapping import fronted_wsgi, wsgi_shell

        shell = wsgi_shell(self, app)
        self._shells.add(shell)
        return fronted_wsgi(self, shell)

    def shells(self) -> list[ASGIShell | WSGIShell]:
        """Those that are round an app now."""
        return list(self._shells)

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
        calls = Calls(self.settings, self.face, self.responses.tags, self.faults)
        return Functions(calls, local=self.driver("cache").local)

    def cache(
        self, name: str = "", *, space: str = "", of: Any = None, raises: bool = False
    ) -> DataCache:
        """A cache for data of your own, in the driver of this name or URL; unnamed, the cache's.

        It shares nothing with other spaces, nor with apps of another `cache.namespace`. `of` a
        type, a Struct or dataclass for instance, it keeps values of that one. `raises` has faults
        of the store raised. Raises `UnknownDriver`, or `UnstorableValue` for a type that msgspec
        does not know.
        """
        from apsperf_mw.data.values import values_of

        return self.caches.cache(name, space, values_of(of), raises=raises)

    @cached_property
    def caches(self) -> Caches:
        """The caches for the user's own data."""
        from apsperf_mw.data.cache import Caches

        return Caches(self.settings, self.registry, self.faults)

    def close(self) -> None:
        """Flush, end the threads and empty the drivers; for the end of the program."""
        self.background.close()
        self.children.statements.close()
        self.close_tables()
        if "functions" in vars(self):
            self.functions.calls.close()
        if "caches" in vars(self):
            self.caches.close()
        self.exporter.close()
        self.registry.close()


def suites() -> list[Suite]:
    """All suites of this process."""
    return list(_suites)


def _forget(statements: ref[Statements]) -> None:
    known = statements()
    if known is not None:
        known.clear()


def _shed(registry: ref[Registry], share: float) -> int:
    known = registry()
    return 0 if known is None else known.shed(share)
