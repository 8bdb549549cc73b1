"""Which keys are past their time, without looking at all of them."""

from __future__ import annotations

from heapq import heappop, heappush
from math import frexp, inf, ldexp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from apsperf_mw.drivers.base import Slot

    Bucket = dict[int, Hashable]

# A bucket is as wide as between a 32nd and a 16th of what is left to its first key, and no
# narrower than `NARROWEST_S`: so that there are at most some hundreds.
FINENESS = 5
LEAST = 2
NARROWEST_S = 2.0 ** (LEAST - FINENESS)
# Nobody waits for what lasts longer.
FOREVER_S = 1e9


class Expiry:
    """Keys in buckets by their deadline; a key is found at most a 16th of its time too late.

    A slot is in the bucket that ends when it is `due`, under its number. One that got more time
    stays there, and is put on when that end comes.

    After Varghese and Lauck, Hashed and Hierarchical Timing Wheels (1987).
    """

    def __init__(self) -> None:
        # When there may be something to take.
        self.first = inf
        self._buckets: dict[float, Bucket] = {}
        self._ends: list[float] = []
        # The bucket at hand, the deadlines that belong there, and the least time left for which
        # it is not too wide: what comes one after the other with one TTL shares it.
        self._bucket: Bucket = {}
        self._from = self._to = self._least_s = inf

    def add(self, key: Hashable, slot: Slot, now: float) -> None:
        """Note when a slot's time is over."""
        deadline = slot.deadline
        if not self._from <= deadline < self._to or deadline - now < self._least_s:
            if deadline - now > FOREVER_S:
                slot.due = inf
                return
            self._choose(deadline, deadline - now)
        slot.due = self._to
        self._bucket[slot.number] = key

    def drop(self, slot: Slot) -> None:
        """Forget a slot."""
        bucket = self._buckets.get(slot.due)
        if bucket is not None:
            bucket.pop(slot.number, None)

    def take(self, slots: Mapping[Hashable, Slot], now: float) -> Hashable | None:
        """A key that is past its time, which is to be dropped; None where none is."""
        while self._ends and self._ends[0] <= now:
            bucket = self._buckets[self._ends[0]]
            while bucket:
                number, key = bucket.popitem()
                slot = slots[key]
                if slot.deadline <= now:
                    bucket[number] = key
                    return key
                self.add(key, slot, now)
            self._close(heappop(self._ends))
        self.first = self._ends[0] if self._ends else inf
        return None

    def _choose(self, deadline: float, left_s: float) -> None:
        """Have the bucket of this deadline at hand."""
        width_s = ldexp(1.0, max(frexp(left_s)[1], LEAST) - FINENESS)
        self._from = deadline // width_s * width_s
        self._to = end = self._from + width_s
        self._least_s = width_s * 16 if width_s > NARROWEST_S else 0.0
        if end not in self._buckets:
            self._buckets[end] = {}
            heappush(self._ends, end)
            self.first = min(self.first, end)
        self._bucket = self._buckets[end]

    def _close(self, end: float) -> None:
        del self._buckets[end]
        if end == self._to:
            self._from = self._to = inf
