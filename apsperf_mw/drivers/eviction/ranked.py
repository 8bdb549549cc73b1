"""Policies that evict what ranks lowest: LRU by the last use, GDSF by worth."""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import TYPE_CHECKING

from apsperf_mw.drivers.eviction.base import SPARE_NOTES, Eviction
from apsperf_mw.drivers.eviction.ghosts import Ghosts

if TYPE_CHECKING:
    from collections.abc import Hashable

    from apsperf_mw.drivers.base import Slot

    Ticket = tuple[float, int, Hashable]

# Entries ranked anew for one eviction at most, so that it takes no longer than a millisecond.
MOST_RANKED = 500


class Ranked(Eviction):
    """Evicts what ranks lowest; entries used since they were ranked are ranked anew when met.

    The heap holds one ticket for each entry, and some of entries that are no more; a ticket is
    good if its entry has the ticket's number. An overwrite takes the older entry's ticket on.
    """

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        super().__init__(max_bytes, max_entries)
        self._heap: list[Ticket] = []
        self._numbers = count(1)

    def rank(self, slot: Slot) -> float:
        """Where an entry stands now; called once its uses have changed."""
        raise NotImplementedError

    def note(self, key: Hashable, slot: Slot, old: Slot | None) -> None:
        """Give the entry a ticket."""
        if old is not None:
            slot.number = old.number
            slot.seen = -1
            return
        heap = self._heap
        if len(heap) > 2 * len(self.slots) + SPARE_NOTES:
            self._compact()
        slot.number = number = next(self._numbers)
        heappush(heap, (self.rank(slot), number, key))

    def victim(self) -> Hashable:
        """What ranks lowest."""
        heap, slots = self._heap, self.slots
        ranked = 0
        while True:
            _, number, key = heap[0]
            slot = slots.get(key)
            if slot is None or slot.number != number:
                heappop(heap)
                continue
            if slot.hits == slot.seen or ranked >= MOST_RANKED:
                return key
            slot.seen = slot.hits
            ranked += 1
            heapreplace(heap, (self.rank(slot), number, key))

    def clear_notes(self) -> None:
        """Forget all tickets."""
        self._heap.clear()

    def _compact(self) -> None:
        good = []
        for ticket in self._heap:
            slot = self.slots.get(ticket[2])
            if slot is not None and slot.number == ticket[1]:
                good.append(ticket)
        self._heap[:] = good
        heapify(self._heap)


class LRU(Ranked):
    """Evicts what was not used for longest."""

    def rank(self, slot: Slot) -> float:
        """The instant of the last use."""
        return slot.used


class GDSF(Ranked):
    """Evicts what is worth least: uses times the cost to make it anew, for its share of the room.

    An entry ranks at the clock plus its worth; the clock is the rank of what went last, so that
    what is used no more sinks. The size counts as the share of the bound that it takes more of.
    How often was used what has gone is remembered for a while.

    Cherkasova, Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy
    (1998), on Cao and Irani's GreedyDual-Size (1997).
    """

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        super().__init__(max_bytes, max_entries)
        self._clock = 0.0
        self._least_bytes = max_bytes / max_entries
        self._ghosts = Ghosts()

    def rank(self, slot: Slot) -> float:
        """The clock plus the worth."""
        size = slot.size_bytes
        share = size if size > self._least_bytes else self._least_bytes
        return self._clock + (slot.uses + slot.hits) * slot.cost_s / share

    def note(self, key: Hashable, slot: Slot, old: Slot | None) -> None:
        """Count this use with those that are remembered."""
        slot.uses = (self._ghosts.recall(key) if old is None else old.uses + old.hits) + 1
        super().note(key, slot, old)

    def forget(self, key: Hashable, slot: Slot) -> None:
        """Remember how often it was used: it may come again."""
        self._ghosts.keep(key, slot.uses + slot.hits, len(self.slots))

    def victim(self) -> Hashable:
        """What is worth least."""
        key = super().victim()
        self._clock = max(self._clock, self._heap[0][0])
        return key
