"""The cache's way where a driver keeps copies of a shared store in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.flow import Cache

if TYPE_CHECKING:
    from apsperf_mw.cache.entry import Record
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.drivers.base import AsyncDriver, Driver
    from apsperf_mw.drivers.near import Near
    from apsperf_mw.settings import Settings


class NearCache(Cache):
    """The cache on a driver that keeps copies in this process, while it hears of every change."""

    def __init__(self, settings: Settings, driver: Any) -> None:
        super().__init__(settings, driver)
        self._near: Near = driver.near
        self._peek = self._near.memory.find

    def at_hand(self, place: Key, key: Key, now: float) -> Record | None:
        """As `Cache.at_hand`, of the copies."""
        ledger = self.ledger
        if now >= self._near.live_until or ledger.news != ledger.seen:
            return None
        return super().at_hand(place, key, now)


def cache_of(settings: Settings, driver: Driver | AsyncDriver) -> Cache:
    """The cache that goes with the driver."""
    return NearCache(settings, driver) if hasattr(driver, "near") else Cache(settings, driver)
