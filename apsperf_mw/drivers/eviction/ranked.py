"""Policies that evict what ranks lowest: LRU by the last use, GDSF by worth."""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from apsperf_mw.drivers.eviction.base import Eviction
from apsperf_mw.drivers.eviction.ghosts import Ghosts

if TYPE_CHECKING:
    from collections.abc import Hashable

    from apsperf_mw.drivers.base import Slot

    Ticket = tuple[float, int, Hashable]

# Entries ranked anew for one eviction at most, so that it takes no longer than a millisecond.
MOST_RANKED = 500
# Tickets of entries that are no more are sorted out when there are more of them than good ones.
SPARE_TICKETS = 64


class Ranked(Eviction):
    """Evicts what ranks lowest; entries used since they were ranked are ranked anew when met.

    The heap holds one ticket for each entry, and some of entries that are no more; a ticket is
    good if its entry has the ticket's number. An overwrite takes the older entry's ticket on.
    """

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        super().__init__(max_bytes, max_entries)
        self.lowest = 0.0  # the rank of what was named as a victim last
        self._heap: list[Ticket] = []

    def rank(self, slot: Slot) -> float:
        """Where an entry stands now."""
        raise NotImplementedError

    def enter(self, key: Hashable, slot: Slot) -> None:
        """Give the entry a ticket."""
        heappush(self._heap, (self.rank(slot), slot.number, key))

    def victim(self) -> Hashable:
        """What ranks lowest; its ticket is taken off."""
        heap, slots = self._heap, self.slots
        left = MOST_RANKED
        while True:
            _, number, key = heap[0]
            slot = slots.get(key)
            if slot is None or slot.number != number:
                heappop(heap)
            elif slot.hits != slot.seen and left:
                left -= 1
                slot.seen = slot.hits
                heapreplace(heap, (self.rank(slot), number, key))
            else:
                self.lowest = heappop(heap)[0]
                return key

    def tidy(self) -> None:
        """Sort out the tickets where most are of entries that are no more."""
        if len(self._heap) > 2 * len(self.slots) + SPARE_TICKETS:
            self._heap[:] = [each for each in self._heap if self._is_good(each)]
            heapify(self._heap)

    def _is_good(self, ticket: Ticket) -> bool:
        slot = self.slots.get(ticket[2])
        return slot is not None and slot.number == ticket[1]


class LRU(Ranked):
    """Evicts what was not used for longest."""

    def rank(self, slot: Slot) -> float:
        """The instant of the last use."""
        return slot.used


class GDSF(Ranked):
    """Evicts what is worth least: uses times the cost to make it anew, for its share of the room.

    An entry ranks at the clock plus its worth; the clock is `lowest`, the rank of what went last,
    so that what is used no more sinks. The size counts as the share of the bound that it takes
    more of. How often was used what has gone is remembered for a while.

    Cherkasova, Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy
    (1998), on Cao and Irani's GreedyDual-Size (1997).
    """

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        super().__init__(max_bytes, max_entries)
        self._least_bytes = max_bytes / max_entries
        self._ghosts = Ghosts()

    def rank(self, slot: Slot) -> float:
        """The clock plus the worth."""
        size: float = slot.size_bytes
        if size < self._least_bytes:
            size = self._least_bytes
        return self.lowest + (slot.uses + slot.hits) * slot.cost_s / size

    def enter(self, key: Hashable, slot: Slot) -> None:
        """Count this use with those that are remembered."""
        slot.uses = uses = self._ghosts.recall(key) + 1
        size: float = slot.size_bytes
        if size < self._least_bytes:
            size = self._least_bytes
        heappush(self._heap, (self.lowest + uses * slot.cost_s / size, slot.number, key))

    def renew(self, slot: Slot, old: Slot) -> None:
        """Count this use with those of the older value."""
        slot.uses = old.uses + old.hits + 1

    def forget(self, key: Hashable, slot: Slot) -> None:
        """Remember how often it was used: it may come again."""
        self._ghosts.keep(key, slot.uses + slot.hits, len(self.slots))
