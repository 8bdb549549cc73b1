"""SIEVE: a queue in order of arrival, and a hand that spares what was used since it last came."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING

from apsperf_mw.drivers.eviction.base import SPARE_NOTES, Eviction

if TYPE_CHECKING:
    from collections.abc import Hashable

    from apsperf_mw.drivers.base import Slot

# Entries that the hand passes for one eviction at most, so that it takes no longer than a
# millisecond.
MOST_PASSED = 2000


class Sieve(Eviction):
    """Evicts the oldest that was not used since the hand passed it; what it spares stays in place.

    The queue is kept in two: what the hand has passed, and what is ahead of it, where new entries
    arrive at the end. As soon as nothing is ahead the hand is back at the oldest.

    Zhang and others, SIEVE is Simpler than LRU (NSDI 2024).
    """

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        super().__init__(max_bytes, max_entries)
        self._ahead: deque[tuple[Hashable, int]] = deque()
        self._passed: deque[tuple[Hashable, int]] = deque()
        self._numbers = count(1)

    def note(self, key: Hashable, slot: Slot, old: Slot | None) -> None:
        """Queue a new entry; an overwrite keeps its place, and is a use."""
        if old is not None:
            slot.number = old.number
            slot.seen = -1
            return
        if len(self._ahead) + len(self._passed) > 2 * len(self.slots) + SPARE_NOTES:
            self._compact()
        slot.number = number = next(self._numbers)
        self._ahead.append((key, number))

    def victim(self) -> Hashable:
        """The first that the hand meets which was not used."""
        slots = self.slots
        passed = 0
        while True:
            key, number = ticket = self._ahead.popleft()
            slot = slots.get(key)
            if slot is not None and slot.number == number:
                if slot.hits == slot.seen or passed >= MOST_PASSED:
                    self._wrap()
                    return key
                slot.seen = slot.hits
                passed += 1
                self._passed.append(ticket)
            self._wrap()

    def clear_notes(self) -> None:
        """Empty the queue."""
        self._ahead.clear()
        self._passed.clear()

    def _wrap(self) -> None:
        if not self._ahead:
            self._ahead, self._passed = self._passed, self._ahead

    def _compact(self) -> None:
        for queue in (self._passed, self._ahead):
            good = [each for each in queue if self._is_good(*each)]
            queue.clear()
            queue.extend(good)
        self._wrap()

    def _is_good(self, key: Hashable, number: int) -> bool:
        slot = self.slots.get(key)
        return slot is not None and slot.number == number
