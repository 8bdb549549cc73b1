"""How a shell reaches a driver: one async form over blocking, async and in-process drivers."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any, Protocol

from apsperf_mw.cache.codec import FRAME_VERSION, PLAIN, BadFrame, is_packed
from apsperf_mw.cache.keys import frame
from apsperf_mw.drivers.base import LATER
from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from apsperf_mw.cache.codec import Codec
    from apsperf_mw.cache.entry import Record
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.drivers.base import AsyncDriver, Driver, LocalDriver
    from apsperf_mw.faults import Faults

    MakeFace = Callable[[Driver | AsyncDriver, Faults, str, Codec], "Face"]
    Join = Callable[[Callable[[], None]], Any]


# A packed frame of this size may take a millisecond to unpack.
HEAVY_BYTES = 16_384


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
        slot.visited = True
        record: Record = slot.value
        return record

    def put(self, key: Key, record: Record, ttl_s: float) -> None:
        """Keep a record, at once; one that does not fit is not kept."""
        self._driver.keep(key, record, record.size_bytes + key_bytes(key), ttl_s)

    async def read(self, key: Key) -> Record | None:
        """As `peek`."""
        return self.peek(key)

    async def write(self, key: Key, record: Record, ttl_s: float) -> None:
        """As `put`."""
        self.put(key, record, ttl_s)

    async def erase(self, key: Key) -> None:
        """Forget a key."""
        self._driver.drop(key)


class FarFace:
    """A driver that holds bytes: where a suite's records are in it, and in what form."""

    def __init__(
        self, driver: Any, waits: Waits, faults: Faults, namespace: str, codec: Codec
    ) -> None:
        self.waits = waits
        self._prefix = prefix_of(namespace)
        self._driver = driver
        self._faults = faults
        self._codec = codec

    def _key(self, key: Key) -> bytes:
        return self._prefix + frame(key)

    def _frozen(self, record: Record) -> bytes:
        """The record's frame, its instants on the wall clock."""
        return self._codec.encode(record, time() - monotonic())

    def _thawed(self, value: bytes | None) -> Record | None:
        """The record of a frame, its instants on this process's monotonic clock.

        What is not one is a miss, counted by why.
        """
        if value is None:
            return None
        now = monotonic()
        try:
            return self._codec.decode(value, time() - now, now)
        except BadFrame as why:
            self._faults.counts[f"a stored frame: {why}"] += 1
            return None


class BlockingFace(FarFace):
    """A driver's blocking face, called by the thread that serves the request."""

    async def read(self, key: Key) -> Record | None:
        """The record under the key."""
        return self._thawed(self._driver.get(self._key(key)))

    async def write(self, key: Key, record: Record, ttl_s: float) -> None:
        """Keep a record."""
        self._driver.set(self._key(key), self._frozen(record), ttl_s)

    async def erase(self, key: Key) -> None:
        """Forget a key."""
        self._driver.delete(self._key(key))


class HoppingFace(FarFace):
    """A driver's blocking face for a loop: what is not quick is called in worker threads."""

    async def read(self, key: Key) -> Record | None:
        """The record under the key; a small value of a quick driver is read at once."""
        name = self._key(key)
        value = self._driver.quick_get(name)
        if value is LATER:
            record: Record | None = await _hop(self._get, name)
            return record
        return self._thawed(value)

    async def write(self, key: Key, record: Record, ttl_s: float) -> None:
        """Keep a record."""
        await _hop(self._set, self._key(key), record, ttl_s)

    async def erase(self, key: Key) -> None:
        """Forget a key."""
        await _hop(self._driver.delete, self._key(key))

    def _get(self, name: bytes) -> Record | None:
        return self._thawed(self._driver.get(name))

    def _set(self, name: bytes, record: Record, ttl_s: float) -> None:
        self._driver.set(name, self._frozen(record), ttl_s)


class AsyncFace(FarFace):
    """A driver's own async face; what takes long to pack or unpack is left to a thread."""

    async def read(self, key: Key) -> Record | None:
        """The record under the key."""
        value = await self._driver.aget(self._key(key))
        if value is not None and len(value) > HEAVY_BYTES and is_packed(value):
            record: Record | None = await _hop(self._thawed, value)
            return record
        return self._thawed(value)

    async def write(self, key: Key, record: Record, ttl_s: float) -> None:
        """Keep a record."""
        if self._codec.is_slow_to_encode(record):
            value = await _hop(self._frozen, record)
        else:
            value = self._frozen(record)
        await self._driver.aset(self._key(key), value, ttl_s)

    async def erase(self, key: Key) -> None:
        """Forget a key."""
        await self._driver.adelete(self._key(key))


async def _hop(call: Callable[..., Any], *args: Any) -> Any:
    from apsperf_mw.runtime.loop import hop

    return await hop(call, *args)


def prefix_of(namespace: str) -> bytes:
    """What keeps the entries of one app, and of one version of their form, apart in a store."""
    return b"apsperf:%d:" % FRAME_VERSION + frame((namespace,))


def thread_face(
    driver: Driver | AsyncDriver, faults: Faults, namespace: str = "", codec: Codec = PLAIN
) -> Face:
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
    return BlockingFace(driver, Waits(), faults, namespace, codec)


def loop_face(
    driver: Driver | AsyncDriver, faults: Faults, namespace: str = "", codec: Codec = PLAIN
) -> Face:
    """The face for requests that are served by tasks of an event loop."""
    from apsperf_mw.runtime.loop import Waits

    if driver.local:
        return LocalFace(driver, Waits())  # type: ignore[arg-type]
    if driver.suspends:
        return AsyncFace(driver, Waits(), faults, namespace, codec)
    face = HoppingFace if driver.blocks else BlockingFace
    return face(driver, Waits(), faults, namespace, codec)


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
