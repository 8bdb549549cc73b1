"""How functions reach a driver: results by key, in one async form that threads can step."""

from __future__ import annotations

from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Protocol

from apsperf_mw.cache.keys import frame
from apsperf_mw.cache.results import KEPT, OVERHEAD_BYTES, Result, frozen, thawed
from apsperf_mw.drivers.base import LATER
from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from apsperf_mw.cache.keys import Key
    from apsperf_mw.drivers.base import AsyncDriver, Driver, LocalDriver
    from apsperf_mw.drivers.faces import Waits
    from apsperf_mw.faults import Faults

    Verb = Callable[..., Awaitable[Any]]


class Store(Protocol):
    """A driver as functions see it; what goes wrong is raised."""

    waits: Waits

    async def read(self, key: Key) -> Result | None:
        """The result under the key."""

    async def write(self, key: Key, result: Result) -> None:
        """Keep a result until it is of no more use."""

    async def erase(self, key: Key) -> None:
        """Forget a key."""


class LocalStore:
    """An in-process driver: no call waits."""

    def __init__(self, driver: LocalDriver, waits: Waits) -> None:
        self.waits = waits
        self._driver = driver

    def peek(self, key: Key) -> Result | None:
        """The result under the key, at once."""
        slot = self._driver.find(key)
        if slot is None:
            return None
        slot.visited = True
        return slot.value if type(slot.value) is Result else None

    def put(self, key: Key, result: Result) -> None:
        """Keep a result, at once; one that does not fit is not kept."""
        size = result.size_bytes + OVERHEAD_BYTES + len(frame(key))
        self._driver.keep(key, result, size, result.stale_until - monotonic())

    async def read(self, key: Key) -> Result | None:
        """As `peek`."""
        return self.peek(key)

    async def write(self, key: Key, result: Result) -> None:
        """As `put`."""
        self.put(key, result)

    async def erase(self, key: Key) -> None:
        """Forget a key."""
        self._driver.drop(key)


class FarStore:
    """A driver that holds bytes, by three verbs that may wait."""

    def __init__(self, get: Verb, put: Verb, drop: Verb, waits: Waits, faults: Faults) -> None:
        self.waits = waits
        self._get = get
        self._put = put
        self._drop = drop
        self._faults = faults

    async def read(self, key: Key) -> Result | None:
        """The result under the key; a frame that does not parse is a miss, counted."""
        value = await self._get(frame(key))
        if value is None:
            return None
        result = thawed(value, monotonic(), time())
        if result is None:
            self._faults.counts["a stored frame"] += 1
        return result

    async def write(self, key: Key, result: Result) -> None:
        """Keep a result."""
        assert result.form != KEPT
        now = monotonic()
        await self._put(frame(key), frozen(result, now, time()), result.stale_until - now)

    async def erase(self, key: Key) -> None:
        """Forget a key."""
        await self._drop(frame(key))


def thread_store(driver: Driver | AsyncDriver, faults: Faults, name: str) -> Store:
    """The store of a plain function; `DriverError` for a driver that only suspends."""
    from apsperf_mw.runtime.threads import Waits

    if driver.local:
        return LocalStore(driver, Waits())  # type: ignore[arg-type]
    if not hasattr(driver, "get"):
        raise DriverError(
            f"{type(driver).__name__} has only an async face: {name} must be an async function, "
            "or the driver one with get, set and delete"
        )
    return _blocking(driver, inline, inline, Waits(), faults)  # type: ignore[arg-type]


def task_store(driver: Driver | AsyncDriver, faults: Faults) -> Store:
    """The store of an async function; a driver that blocks is called in worker threads."""
    from apsperf_mw.runtime.loop import Waits, hop

    if driver.local:
        return LocalStore(driver, Waits())  # type: ignore[arg-type]
    if driver.suspends:
        far: Any = driver
        return FarStore(far.aget, far.aset, far.adelete, Waits(), faults)
    if driver.blocks:
        return _blocking(driver, partial(quickly, driver), hop, Waits(), faults)  # type: ignore[arg-type]
    return _blocking(driver, inline, inline, Waits(), faults)  # type: ignore[arg-type]


def _blocking(driver: Driver, reads: Verb, writes: Verb, waits: Waits, faults: Faults) -> FarStore:
    put, drop = partial(writes, driver.set), partial(writes, driver.delete)
    return FarStore(partial(reads, driver.get), put, drop, waits, faults)


async def quickly(driver: Driver, get: Callable[[bytes], bytes | None], key: bytes) -> bytes | None:
    """Read at once where the driver can, else in a worker thread."""
    from apsperf_mw.runtime.loop import hop

    value = driver.quick_get(key)
    return await hop(get, key) if value is LATER else value


async def inline(call: Callable[..., Any], *args: Any) -> Any:
    """Call at once, in the thread that asks."""
    return call(*args)
