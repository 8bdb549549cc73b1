"""How a shell reaches a driver: one async form over blocking, async and in-process drivers."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any, Protocol

from apsperf_mw.cache.entry import FRAME_VERSION, decode, encode
from apsperf_mw.cache.keys import frame
from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from apsperf_mw.cache.entry import Record
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.drivers.base import AsyncDriver, Driver, LocalDriver
    from apsperf_mw.faults import Faults

    MakeFace = Callable[[Driver | AsyncDriver, Faults, str], "Face"]
    Join = Callable[[Callable[[], None]], Any]


class Waits(Protocol):
    """How the shell's kind of request waits: a thread blocks, a task suspends."""

    async def wait(self, join: Join, timeout_s: float) -> bool:
        """Wait until what is handed to `join` is called; False if the time runs out."""
        ...

    def shield(self) -> AbstractContextManager[object]:
        """What is awaited inside is not cancelled."""
        ...


class Face(Protocol):
    """A driver as the cache sees it."""

    waits: Waits

    async def read(self, key: Key) -> Record | None:
        """The record under the key."""

    async def write(self, key: Key, record: Record, ttl_s: float) -> None:
        """Keep a record for at most `ttl_s`."""

    async def erase(self, key: Key) -> None:
        """Forget a key."""


class LocalFace:
    """An in-process driver: records are kept as they are, and no call waits."""

    def __init__(self, driver: LocalDriver, waits: Waits) -> None:
        self.waits = waits
        self._driver = driver

    def peek(self, key: Key) -> Record | None:
        """The record under the key, at once."""
        slot = self._driver.find(key)
        if slot is None:
            return None
        slot.hits += 1
        slot.used = monotonic()
        record: Record = slot.value
        return record

    def put(self, key: Key, record: Record, ttl_s: float) -> None:
        """Keep a record, at once; one that does not fit is not kept."""
        size_bytes = record.size_bytes + key_bytes(key)
        self._driver.keep(key, record, size_bytes, ttl_s, record.made_s)

    async def read(self, key: Key) -> Record | None:
        """As `peek`."""
        return self.peek(key)

    async def write(self, key: Key, record: Record, ttl_s: float) -> None:
        """As `put`."""
        self.put(key, record, ttl_s)

    async def erase(self, key: Key) -> None:
        """Forget a key."""
        self._driver.drop(key)


class BlockingFace:
    """A driver's blocking face, called by the thread that serves the request."""

    def __init__(self, driver: Driver, waits: Waits, faults: Faults, namespace: str) -> None:
        self.waits = waits
        self._prefix = prefix_of(namespace)
        self._driver = driver
        self._faults = faults

    async def read(self, key: Key) -> Record | None:
        """The record under the key; a frame that does not parse is a miss, counted."""
        return thawed(await self._call(self._driver.get, self._prefix + frame(key)), self._faults)

    async def write(self, key: Key, record: Record, ttl_s: float) -> None:
        """Keep a record."""
        await self._call(self._driver.set, self._prefix + frame(key), frozen(record), ttl_s)

    async def erase(self, key: Key) -> None:
        """Forget a key."""
        await self._call(self._driver.delete, self._prefix + frame(key))

    async def _call(self, call: Callable[..., Any], *args: Any) -> Any:
        return call(*args)


class HoppingFace(BlockingFace):
    """A driver's blocking face, called in worker threads so that no call holds the loop."""

    async def _call(self, call: Callable[..., Any], *args: Any) -> Any:
        from apsperf_mw.runtime.loop import hop

        return await hop(call, *args)


class AsyncFace:
    """A driver's own async face."""

    def __init__(self, driver: AsyncDriver, waits: Waits, faults: Faults, namespace: str) -> None:
        self.waits = waits
        self._prefix = prefix_of(namespace)
        self._driver = driver
        self._faults = faults

    async def read(self, key: Key) -> Record | None:
        """The record under the key; a frame that does not parse is a miss, counted."""
        return thawed(await self._driver.aget(self._prefix + frame(key)), self._faults)

    async def write(self, key: Key, record: Record, ttl_s: float) -> None:
        """Keep a record."""
        await self._driver.aset(self._prefix + frame(key), frozen(record), ttl_s)

    async def erase(self, key: Key) -> None:
        """Forget a key."""
        await self._driver.adelete(self._prefix + frame(key))


def prefix_of(namespace: str) -> bytes:
    """What keeps the entries of one app, and of one version of their form, apart in a store."""
    return b"apsperf:%d:" % FRAME_VERSION + frame((namespace,))


def thread_face(driver: Driver | AsyncDriver, faults: Faults, namespace: str = "") -> Face:
    """The face for requests that are served by threads.

    Raises `DriverError` for a driver that only suspends.
    """
    from apsperf_mw.runtime.threads import Waits

    if not hasattr(driver, "get"):
        raise DriverError(
            f"{type(driver).__name__} has only an async face; suite.wsgi() needs a driver with "
            "get, set and delete"
        )
    if driver.local:
        return LocalFace(driver, Waits())  # type: ignore[arg-type]
    return BlockingFace(driver, Waits(), faults, namespace)  # type: ignore[arg-type]


def loop_face(driver: Driver | AsyncDriver, faults: Faults, namespace: str = "") -> Face:
    """The face for requests that are served by tasks of an event loop."""
    from apsperf_mw.runtime.loop import Waits

    if driver.local:
        return LocalFace(driver, Waits())  # type: ignore[arg-type]
    if driver.suspends:
        return AsyncFace(driver, Waits(), faults, namespace)  # type: ignore[arg-type]
    face = HoppingFace if driver.blocks else BlockingFace
    return face(driver, Waits(), faults, namespace)  # type: ignore[arg-type]


def key_bytes(key: Key) -> int:
    """What the text of a key takes: a client chooses host, path and the values of variants."""
    try:
        return len("".join(key))  # type: ignore[arg-type]
    except TypeError:  # a variant's, or one with a digest in it
        return sum(map(_part_bytes, key))


def _part_bytes(part: str | bytes | int | Key | None) -> int:
    if isinstance(part, tuple):
        return key_bytes(part)
    return len(part) if isinstance(part, str | bytes) else 0


def frozen(record: Record) -> bytes:
    """The record's frame, its instants on the wall clock."""
    return encode(record, time() - monotonic())


def thawed(value: bytes | None, faults: Faults) -> Record | None:
    """The record of a frame, its instants on this process's monotonic clock."""
    if value is None:
        return None
    now = monotonic()
    record = decode(value, time() - now, now)
    if record is None:
        faults.counts["a stored frame"] += 1
    return record
