"""Faces of a driver that keeps copies in this process: records are kept there as they are."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.far import AsyncFace, BlockingFace, FarFace
from apsperf_mw.cache.sizes import key_bytes

if TYPE_CHECKING:
    from apsperf_mw.cache.entry import Record
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.cache.ledger import Ledger
    from apsperf_mw.drivers.near import Near, Void


class Nearby(FarFace):
    """Serves copies for as long as every change of the store is heard of."""

    def __init__(self, driver: Any, *more: Any) -> None:
        super().__init__(driver, *more)
        self._near: Near = driver.near
        heed(self._near, self._ledger, self._space)

    async def read(self, key: Key) -> Record | None:
        """The copy, or the record there is in the store."""
        near, ledger = self._near, self._ledger
        now = monotonic()
        in_step = now < near.live_until and ledger.news == ledger.seen
        slot = near.memory.find(key) if in_step else None
        if slot is None or now >= slot.deadline:
            return await self._fetch(key)
        slot.hits += 1
        slot.used = now
        record: Record = slot.value
        return record

    async def catch_up(self) -> None:
        """Ask the store only where it has not told of everything by itself."""
        near, ledger = self._near, self._ledger
        news = ledger.news
        if monotonic() < near.live_until and news == ledger.seen:
            return
        self._driver.listen()
        await FarFace.catch_up(self)
        ledger.seen = max(ledger.seen, news)

    async def _fetch(self, key: Key) -> Record | None:
        near, name = self._near, self._name(key)
        self._driver.listen()
        mark = near.begin(name)
        try:
            ledger, asked = self._ledger, monotonic()
            known, news = ledger.known, ledger.news
            held, look = await self._call_on(self._driver.far, "hold_look", name, self._space)
            await self._agree(known, look.generation, look.position)
            ledger.seen = max(ledger.seen, news)
            record = await self._thaw(name, held and held.value)
            if record is not None:
                size_bytes = record.size_bytes + key_bytes(key)
                near.keep(mark, key, record, size_bytes, held.ttl_s - (monotonic() - asked))
            return record
        finally:
            near.end(mark)


class NearbyBlocking(Nearby, BlockingFace):
    """For threads."""


class NearbyAsync(Nearby, AsyncFace):
    """For tasks."""


def heed(near: Near, ledger: Ledger, space: bytes) -> None:
    """Have the ledger know when the store's versions have moved."""

    def hear(void: Void) -> None:
        if void.everything or space in void.spaces:
            ledger.news += 1

    near.on_void(hear)
