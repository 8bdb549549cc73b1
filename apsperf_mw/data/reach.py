"""How threads and tasks reach a driver: its verbs in one async form that threads can step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from apsperf_mw.drivers.base import LATER, Driver
from apsperf_mw.drivers.versions import NO_MORE, Stand, stand_key
from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.cache.faces import Waits
    from apsperf_mw.drivers.base import AsyncDriver
    from apsperf_mw.drivers.versions import Versions

    AnyDriver = Driver | AsyncDriver
    # What becomes of a value: nothing, or the new one with its time to live.
    Change = Callable[[bytes | None], tuple[bytes, float] | None]


class Reach(Protocol):
    """A driver from where the caller stands; what goes wrong is raised."""

    waits: Waits

    async def get(self, key: bytes) -> bytes | None:
        """As `Driver.get`."""

    async def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """As `Driver.set`."""
        ...

    async def call(self, verb: str, *args: Any) -> Any:
        """As the driver's method of this name."""

    async def stand(self, space: bytes) -> Versions:
        """Where the versions of a space stand."""
        ...

    async def change(self, key: bytes, change: Change) -> bool:
        """Write anew what is there, and nobody else changes it so meanwhile; whether it is kept."""
        ...

    async def stats(self) -> dict[str, int]:
        """As `Driver.stats`; empty for a driver that has none."""
        ...


class Stands:
    """Reads where a space stands from the one key that tells it, where the driver is `plain`.

    What was read last is remembered, for it seldom changes.
    """

    def __init__(self, driver: Driver) -> None:
        self.plain = type(driver).versions is Driver.versions
        self._last: tuple[bytes | None, Versions | None] = None, None

    def read(self, frame: bytes | None) -> Versions | None:
        """What a frame says; None where there is none, or none that parses."""
        last = self._last
        if frame != last[0]:
            stand = Stand.read(frame)
            self._last = last = frame, None if stand is None else stand.versions()
        return last[1]


class Blocking:
    """The blocking face, called at once: for threads, and for drivers that wait for nothing."""

    def __init__(self, driver: Driver, waits: Waits) -> None:
        self.waits = waits
        self._driver = driver
        self._get, self._set = driver.get, driver.set
        self._stands = Stands(driver)

    async def get(self, key: bytes) -> bytes | None:
        """As `Driver.get`."""
        return self._get(key)

    async def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """As `Driver.set`."""
        return self._set(key, value, ttl_s)

    async def call(self, verb: str, *args: Any) -> Any:
        """As the driver's method of this name."""
        return getattr(self._driver, verb)(*args)

    async def stand(self, space: bytes) -> Versions:
        """Where the versions of a space stand."""
        if self._stands.plain:
            stand = self._stands.read(self._get(stand_key(space)))
            if stand is not None:
                return stand
        return self._driver.versions(space, NO_MORE)

    async def change(self, key: bytes, change: Change) -> bool:
        """Write anew what is there."""
        return _changed(self._driver, key, change)

    async def stats(self) -> dict[str, int]:
        """As `Driver.stats`."""
        return self._driver.stats()


class Hopping:
    """The blocking face for a loop: what is not quick is called in worker threads."""

    def __init__(self, driver: Driver, waits: Waits) -> None:
        from apsperf_mw.runtime.loop import hop

        self.waits = waits
        self._driver = driver
        self._hop = hop
        self._stands = Stands(driver)

    async def get(self, key: bytes) -> bytes | None:
        """As `Driver.get`; a small value of a quick driver is read at once."""
        value = self._driver.quick_get(key)
        return await self._hop(self._driver.get, key) if value is LATER else value

    async def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """As `Driver.set`."""
        return await self._hop(self._driver.set, key, value, ttl_s)

    async def call(self, verb: str, *args: Any) -> Any:
        """As the driver's method of this name."""
        return await self._hop(getattr(self._driver, verb), *args)

    async def stand(self, space: bytes) -> Versions:
        """Where the versions of a space stand."""
        if self._stands.plain:
            stand = self._stands.read(await self.get(stand_key(space)))
            if stand is not None:
                return stand
        return await self._hop(self._driver.versions, space, NO_MORE)

    async def change(self, key: bytes, change: Change) -> bool:
        """Write anew what is there, in one thread."""
        return await self._hop(_changed, self._driver, key, change)

    async def stats(self) -> dict[str, int]:
        """As `Driver.stats`."""
        return await self._hop(self._driver.stats)


class Suspending:
    """A driver's own async face."""

    def __init__(self, driver: AsyncDriver, waits: Waits) -> None:
        self.waits = waits
        self._driver = driver

    async def get(self, key: bytes) -> bytes | None:
        """As `Driver.get`."""
        return await self._driver.aget(key)

    async def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """As `Driver.set`."""
        return await self._driver.aset(key, value, ttl_s)

    async def call(self, verb: str, *args: Any) -> Any:
        """As the driver's method of this name with an `a` before it."""
        return await getattr(self._driver, f"a{verb}")(*args)

    async def stand(self, space: bytes) -> Versions:
        """Where the versions of a space stand."""
        return await self._driver.aversions(space, NO_MORE)

    async def change(self, key: bytes, change: Change) -> bool:
        """Write anew what is there."""
        async with self._driver.aexclusive():
            made = change(await self._driver.aget(key))
            return made is not None and await self._driver.aset(key, *made)

    async def stats(self) -> dict[str, int]:
        """As `Driver.stats`, where there is a blocking face too."""
        from apsperf_mw.runtime.loop import hop

        stats = getattr(self._driver, "stats", None)
        return {} if stats is None else await hop(stats)


def _changed(driver: Driver, key: bytes, change: Change) -> bool:
    with driver.exclusive():
        made = change(driver.get(key))
        return made is not None and driver.set(key, *made)


def thread_reach(driver: AnyDriver) -> Reach:
    """For threads; `DriverError` for a driver that only suspends."""
    from apsperf_mw.runtime.threads import Waits

    if not hasattr(driver, "get"):
        raise DriverError(
            f"{type(driver).__name__} has only an async face: use aget, aset and the like, or a "
            "driver with get, set and delete"
        )
    return Blocking(driver, Waits())  # type: ignore[arg-type]


def task_reach(driver: AnyDriver) -> Reach:
    """For tasks of an event loop."""
    from apsperf_mw.runtime.loop import Waits

    if driver.suspends:
        return Suspending(driver, Waits())  # type: ignore[arg-type]
    kind = Hopping if driver.blocks else Blocking
    return kind(driver, Waits())  # type: ignore[arg-type]
