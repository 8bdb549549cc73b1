"""What of the cache's way with a request needs no waiting: what is here, and the shortest miss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.entry import Fork
from apsperf_mw.cache.flights import Lane, Outcome
from apsperf_mw.cache.intake import Intake
from apsperf_mw.cache.screen import TRACED, UNPLAIN
from apsperf_mw.drivers.base import LocalDriver

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.cache.entry import Entry, Record
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.drivers.base import AsyncDriver, Driver, Slot
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.settings import Settings

    Peek = Callable[[Any], Slot | None]

NO_LANE: Lane = (0, ())


class Glance(Intake):
    """The part of the cache that looks at what an in-process driver has."""

    def __init__(self, settings: Settings, driver: Driver | AsyncDriver) -> None:
        super().__init__(settings)
        local = isinstance(driver, LocalDriver)
        self._peek: Peek = driver.find if local else _nothing  # type: ignore[union-attr]
        self._short = local and settings.cache.patience_s > 0

    def at_hand(self, place: Key, key: Key, now: float) -> Record | None:
        """What is at this place, fresh, and not purged by its URL's key; or the fork there.

        None says nothing.
        """
        slot = self._peek(place)
        if slot is None:
            return None
        entry: Any = slot.value
        if entry.fresh_until > now:
            tags = self.tags
            if (
                entry.began != tags.clock
                and (entry.tags or entry.began < tags.swept)
                and not tags.spares(key, entry)
            ):
                return None
        elif type(entry) is not Fork:  # which never is fresh itself
            return None
        slot.hits += 1
        slot.used = now
        found: Record = entry
        return found

    def variant(self, x: Exchange, fork: Fork) -> Entry | None:
        """As `at_hand`, of what the request selects."""
        assert x.key is not None
        place = fork.key(x.key, self.selection.values(x, fork.names))
        return self.at_hand(place, x.key, x.started)  # type: ignore[return-value]

    def glance(self, x: Exchange) -> Entry | None:
        """A fresh entry from an in-process driver, at once; None says nothing."""
        assert x.key is not None
        entry = self.at_hand(x.key, x.key, x.started)
        if isinstance(entry, Fork):
            entry = self.variant(x, entry)
        if entry is None or (x.flags and x.flags & UNPLAIN & ~entry.open_to):
            return None
        return as_hit(x, entry)

    def depart(self, x: Exchange) -> bool:
        """Take the lead at once: nothing is stored in this process, and nobody flies.

        False says nothing; ask `arrive` then. It is the shortest way of a miss.
        """
        key = x.key
        if (x.flags & ~TRACED) or x.method != "GET" or not self._short:
            return False
        assert key is not None
        learned, unstorable = self.shelf.learned, self._unstorable
        if (learned and key in learned) or (unstorable and (key, 0) in unstorable):
            return False
        flight = self.flights.lead(key, NO_LANE, self.tags.clock, x)
        if flight is None:
            return False
        try:
            free = self._peek(key) is None
        except BaseException:
            self.flights.land(flight, Outcome.FAILED)
            raise
        if not free:  # something is there, or landed in between
            self.flights.land(flight, Outcome.FAILED)
            return False
        x.result = "miss"
        x.flight = flight
        if self.admission is not None:
            self.admission.count(key)
        return True


def as_hit(x: Exchange, entry: Entry) -> Entry:
    """The entry, by which the request is a hit."""
    x.result = "hit"
    if entry.route:
        x.template = entry.route
    return entry


def _nothing(key: object) -> None:
    """The peek of drivers that are not in this process."""
