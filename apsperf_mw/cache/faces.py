"""How a shell reaches a driver: one async form over blocking, async and in-process drivers."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeGuard

from apsperf_mw.cache.far import AsyncFace, BlockingFace, HoppingFace
from apsperf_mw.cache.near import NearbyAsync, NearbyBlocking
from apsperf_mw.cache.sizes import key_bytes
from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from apsperf_mw.cache.codec import Codec
    from apsperf_mw.cache.entry import Record
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.cache.ledger import Ledger
    from apsperf_mw.drivers.base import AsyncDriver, Driver, LocalDriver
    from apsperf_mw.faults import Faults

    MakeFace = Callable[[Driver | AsyncDriver, Faults, str, Codec, Ledger], "Face"]
    Join = Callable[[Callable[[], None]], Any]


class Waits(Protocol):
    """How the shell's kind of request waits: a thread blocks, a task suspends."""

    blocks: bool

    async def wait(self, join: Join, timeout_s: float) -> bool:
        """Wait until what is handed to `join` is called; False if the time runs out."""
        ...

    def shield(self) -> AbstractContextManager[object]:
        """What is awaited inside is not cancelled."""
        ...


class Face(Protocol):
    """A driver as the cache sees it."""

    waits: Waits

    @property
    def shared(self) -> bool:
        """Whether other processes fill it too."""
        ...

    async def read(self, key: Key) -> Record | None:
        """The record under the key."""

    async def write(self, key: Key, record: Record, ttl_s: float) -> None:
        """Keep a record for at most `ttl_s`."""

    async def erase(self, key: Key) -> None:
        """Forget a key."""


class SharedFace(Face, Protocol):
    """A driver that other processes fill too."""

    async def lease(self, key: Key, ttl_s: float, token: bytes) -> bytes | None:
        """As `Driver.lease`."""

    async def commit(self, key: Key, token: bytes, record: Record, ttl_s: float) -> bool:
        """As `Driver.commit`."""
        ...

    async def release(self, key: Key, token: bytes) -> bool:
        """As `Driver.release`."""
        ...

    async def bar(self, key: Key, ttl_s: float) -> None:
        """Let who waits for the key know that its response is not kept."""

    async def barred(self, key: Key) -> bool:
        """Whether that was said lately."""
        ...


def is_shared(face: Face) -> TypeGuard[SharedFace]:
    """Whether other processes fill the store too."""
    return face.shared


class LocalFace:
    """An in-process driver: records are kept as they are, and no call waits."""

    shared: ClassVar[bool] = False

    def __init__(self, driver: LocalDriver, waits: Waits) -> None:
        self.waits = waits
        self.driver = driver

    def peek(self, key: Key) -> Record | None:
        """The record under the key, at once."""
        slot = self.driver.find(key)
        if slot is None:
            return None
        slot.hits += 1
        slot.used = monotonic()
        record: Record = slot.value
        return record

    def put(self, key: Key, record: Record, ttl_s: float) -> None:
        """Keep a record, at once; one that does not fit is not kept."""
        try:
            size_bytes = record.size_bytes + len("".join(key))  # type: ignore[arg-type]
        except TypeError:  # a variant's, or one with a digest in it
            size_bytes = record.size_bytes + key_bytes(key)
        self.driver.keep(key, record, size_bytes, ttl_s, record.made_s)

    async def read(self, key: Key) -> Record | None:
        """As `peek`."""
        return self.peek(key)

    async def write(self, key: Key, record: Record, ttl_s: float) -> None:
        """As `put`."""
        self.put(key, record, ttl_s)

    async def erase(self, key: Key) -> None:
        """Forget a key."""
        self.driver.drop(key)


def thread_face(
    driver: Driver | AsyncDriver, faults: Faults, namespace: str, codec: Codec, ledger: Ledger
) -> Face:
    """The face for requests that are served by threads.

    Raises `DriverError` for a driver that only suspends.
    """
    from apsperf_mw.runtime.threads import Waits

    if not hasattr(driver, "get"):
        raise DriverError(
            f"{type(driver).__name__} has only an async face; what threads serve, as suite.wsgi() "
            "does, needs a driver with get, set and delete"
        )
    if driver.local:
        return LocalFace(driver, Waits())  # type: ignore[arg-type]
    face = NearbyBlocking if hasattr(driver, "near") else BlockingFace
    return face(driver, Waits(), faults, namespace, codec, ledger)


def loop_face(
    driver: Driver | AsyncDriver, faults: Faults, namespace: str, codec: Codec, ledger: Ledger
) -> Face:
    """The face for requests that are served by tasks of an event loop."""
    from apsperf_mw.runtime.loop import Waits

    if driver.local:
        return LocalFace(driver, Waits())  # type: ignore[arg-type]
    if driver.suspends:
        suspending = NearbyAsync if hasattr(driver, "near") else AsyncFace
        return suspending(driver, Waits(), faults, namespace, codec, ledger)
    face = HoppingFace if driver.blocks else BlockingFace
    return face(driver, Waits(), faults, namespace, codec, ledger)
