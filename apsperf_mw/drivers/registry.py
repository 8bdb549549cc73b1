"""Drivers by name or URL: one shared instance each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from apsperf_mw.drivers.base import LocalDriver
from apsperf_mw.errors import DriverError, UnknownDriver
from apsperf_mw.runtime.threads import Lock
from apsperf_mw.settings.masking import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.metadata import EntryPoint

    from apsperf_mw.drivers.base import AsyncDriver, Driver
    from apsperf_mw.settings.tree import SealedSettings

    AnyDriver = Driver | AsyncDriver
    Factory = Callable[[str], AnyDriver]

GROUP = "apsperf_mw.drivers"
SEALED = "sealed+"
OURS = "apsperf-mw"


class Registry:
    """Finds a driver by the name that the settings give it, by URL, or by `module:factory`.

    A URL's scheme names what makes it: a factory registered here, one of ours, or one that an
    installed package offers under the entry-point group `apsperf_mw.drivers`. Before any of them
    `sealed+` may stand: what such a driver keeps bears a seal made with the keys of the settings.
    """

    def __init__(self, named: Mapping[str, str], sealing: SealedSettings | None = None) -> None:
        self._named = dict(named)
        self._sealing = sealing
        self._factories: dict[str, Factory] = {
            "memory": _memory,
            "file": _file,
            "redis": _redis,
            "rediss": _redis,
            "unix": _redis,
            "tiered": _tiered,
        }
        self._registered: set[str] = set()
        self._made: dict[str, AnyDriver] = {}
        self._lock = Lock()

    def register(self, name: str, factory: Factory) -> None:
        """Have `factory(url)` make the drivers of this name and of URLs with this scheme."""
        self._factories[name] = factory
        self._registered.add(name)

    def get(self, name: str) -> AnyDriver:
        """The driver of this name or URL, made at the first call.

        Raises `UnknownDriver`, which lists those known, or `DriverError` where it cannot be made.
        """
        with self._lock:
            url = self._named.get(name, name)
            if name not in self._made:
                self._made[name] = self._make(name, url)
            return self._made[name]

    def known(self) -> list[str]:
        """All names that `get` would take, besides URLs and `module:factory`."""
        offered = {point.name for point in _offered()}
        return sorted({*self._named, *self._factories, *offered})

    def sources(self) -> dict[str, tuple[str, str]]:
        """Where each known name comes from, and what `get` would make it of; empty: it takes a URL.

        That is the settings, a call of `register`, or the distribution that offers it.
        """
        offered = {point.name: _distribution(point) for point in _offered()}
        found = dict.fromkeys(self._factories, (OURS, ""))
        found = {name: (source, "") for name, source in offered.items()} | found
        found |= {name: ("registered", name) for name in self._registered}
        found |= {name: ("settings", url) for name, url in self._named.items()}
        return dict(sorted(found.items()))

    def shed(self, share: float) -> int:
        """Have the drivers give up a share of what they keep in this process; the bytes freed."""
        with self._lock:
            made = list(self._made.values())
        near = [getattr(getattr(driver, "near", None), "memory", driver) for driver in made]
        return sum(each.shed(share) for each in near if isinstance(each, LocalDriver))

    def close(self) -> None:
        """Close every driver that has a blocking face; each is made anew when next asked for."""
        with self._lock:
            made, self._made = self._made, {}
        for driver in made.values():
            close = getattr(driver, "close", None)
            if close is not None:
                close()

    def _make(self, name: str, url: str) -> AnyDriver:
        factory = self._factory(url)
        if factory is None:
            known = ", ".join(self.known())
            raise UnknownDriver(f"driver {shown(name)} is not known; known: {known}")
        driver = factory(url)
        if not (hasattr(driver, "get") or hasattr(driver, "aget")):
            raise DriverError(f"driver {shown(name)}: {driver!r} has neither get nor aget")
        return driver

    def _factory(self, url: str) -> Factory | None:
        if url.startswith(SEALED):
            within = self._factory(url.removeprefix(SEALED))
            return None if within is None else partial(self._seal, within)
        scheme, is_url, _ = url.partition("://")
        # What stands before a + is a family, which knows the rest: redis+cluster://
        for name in dict.fromkeys((scheme, scheme.partition("+")[0])):
            if name in self._factories:
                return self._factories[name]
            for point in _offered():
                if point.name == name:
                    return _factory_of(_load(point))
        if not is_url and ":" in url:
            from importlib.metadata import EntryPoint

            return _factory_of(_load(EntryPoint(name=url, value=url, group=GROUP)))
        return None

    def _seal(self, within: Factory, url: str) -> AnyDriver:
        from apsperf_mw.drivers.seal import Seals
        from apsperf_mw.drivers.sealed import sealed_driver
        from apsperf_mw.settings.tree import SealedSettings

        settings = self._sealing or SealedSettings()
        seals = Seals(settings.keys, encrypts=settings.encrypt)
        return sealed_driver(within(url.removeprefix(SEALED)), seals)


def _memory(url: str) -> Driver:
    from apsperf_mw.drivers.memory import MemoryDriver

    return MemoryDriver.from_url(url)


def _file(url: str) -> Driver:
    from apsperf_mw.drivers.file import FileDriver

    return FileDriver.from_url(url)


def _redis(url: str) -> AnyDriver:
    from apsperf_mw.drivers.redis import RedisDriver

    return RedisDriver.from_url(url)


def _tiered(url: str) -> AnyDriver:
    from apsperf_mw.drivers.tiered import Tiered

    return Tiered.from_url(url)


def _offered() -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points

    return tuple(entry_points(group=GROUP))


def _distribution(point: EntryPoint) -> str:
    return "?" if point.dist is None else point.dist.name


def _load(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as fault:
        raise DriverError(f"driver {point.name!r}: {point.value} does not load: {fault}") from fault


def _factory_of(target: object) -> Factory:
    made: Factory = getattr(target, "from_url", target)  # type: ignore[arg-type]
    if not callable(made):
        raise DriverError(f"{target!r} is neither a driver class nor a factory")
    return made
