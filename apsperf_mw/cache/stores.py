"""How functions reach a driver: results by key, in one async form that threads can step."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Protocol

from apsperf_mw.cache.faces import LocalFace
from apsperf_mw.cache.keys import frame
from apsperf_mw.cache.results import KEPT, OVERHEAD_BYTES, Result, frozen, thawed

if TYPE_CHECKING:
    from apsperf_mw.cache.faces import Face, Waits
    from apsperf_mw.cache.far import FarFace
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.drivers.base import LocalDriver
    from apsperf_mw.faults import Faults


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
        slot.hits += 1
        slot.used = monotonic()
        return slot.value if type(slot.value) is Result else None

    def put(self, key: Key, result: Result, cost_s: float = 0.0) -> None:
        """Keep a result that took so long, at once; one that does not fit is not kept."""
        size = result.size_bytes + OVERHEAD_BYTES + len(frame(key))
        self._driver.keep(key, result, size, result.stale_until - monotonic(), cost_s)

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
    """A driver outside the process, through a face of a suite's."""

    def __init__(self, face: FarFace, faults: Faults) -> None:
        self.waits = face.waits
        self._face = face
        self._faults = faults

    async def read(self, key: Key) -> Result | None:
        """The result under the key; a frame that does not parse is a miss, counted."""
        value = await self._face.value(key)
        if value is None:
            return None
        result = thawed(value, monotonic(), time(), self._face.epoch)
        if result is None:
            self._faults.counts["a stored frame"] += 1
        return result

    async def write(self, key: Key, result: Result) -> None:
        """Keep a result."""
        assert result.form != KEPT
        now = monotonic()
        value = frozen(result, now, time(), self._face.epoch)
        await self._face.keep(key, value, result.stale_until - now)

    async def erase(self, key: Key) -> None:
        """Forget a key."""
        await self._face.erase(key)


def store_of(face: Face, faults: Faults) -> Store:
    """The store of functions whose calls wait as those of the face do."""
    if isinstance(face, LocalFace):
        return LocalStore(face.driver, face.waits)
    return FarStore(face, faults)  # type: ignore[arg-type]
