"""SIEVE: a queue in order of arrival, and a hand that spares what was used since it last came."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from apsperf_mw.drivers.eviction.base import Eviction

if TYPE_CHECKING:
    from collections.abc import Hashable

    from apsperf_mw.drivers.base import Slot

    Ticket = tuple[int, Hashable]

# Entries that the hand passes for one eviction at most, so that it takes no longer than a
# millisecond.
MOST_PASSED = 1000
# Tickets of entries that are no more are sorted out when there are more of them than good ones.
SPARE_TICKETS = 64


class Sieve(Eviction):
    """Evicts the oldest that was not used since the hand passed it; what it spares stays in place.

    The queue is kept in two: what the hand has passed, and what is ahead of it, where new entries
    arrive at the end. As soon as nothing is ahead the hand is back at the oldest.

    Zhang and others, SIEVE is Simpler than LRU (NSDI 2024).
    """

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        super().__init__(max_bytes, max_entries)
        self._ahead: deque[Ticket] = deque()
        self._passed: deque[Ticket] = deque()

    def enter(self, key: Hashable, slot: Slot) -> None:
        """Queue a new entry."""
        self._ahead.append((slot.number, key))

    def victim(self) -> Hashable:
        """The first that the hand meets which was not used."""
        left = MOST_PASSED
        while True:
            number, key = ticket = self._ahead.popleft()
            slot = self.slots.get(key)
            if slot is not None and slot.number != number:
                slot = None
            spared = slot is not None and slot.hits != slot.seen and left > 0
            if slot is not None and spared:
                left -= 1
                slot.seen = slot.hits
                self._passed.append(ticket)
            if not self._ahead:
                self._ahead, self._passed = self._passed, self._ahead
            if slot is not None and not spared:
                return key

    def tidy(self) -> None:
        """Sort out the tickets where most are of entries that are no more."""
        if len(self._ahead) + len(self._passed) <= 2 * len(self.slots) + SPARE_TICKETS:
            return
        self._ahead, self._passed = (
            deque(filter(self._is_good, queue)) for queue in (self._ahead, self._passed)
        )
        if not self._ahead:
            self._ahead, self._passed = self._passed, self._ahead

    def _is_good(self, ticket: Ticket) -> bool:
        slot = self.slots.get(ticket[1])
        return slot is not None and slot.number == ticket[0]
