"""Which keys are past their time, without looking at all of them."""

from __future__ import annotations

from heapq import heappop, heappush
from math import frexp, inf, ldexp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from apsperf_mw.drivers.base import Slot

# A bucket is as wide as between a 32nd and a 16th of what is left to its first key, and no
# narrower than 2**LEAST / 32 seconds: so that there are at most some hundreds.
FINENESS = 5
LEAST = 2
# Nobody waits for what lasts longer.
FOREVER_S = 1e9


class Expiry:
    """Keys in buckets by their deadline; a key is found at most a 16th of its time too late.

    What a bucket holds is a hint: a key may have gone or got more time since, and is looked up
    when the bucket's end has come.

    After Varghese and Lauck, Hashed and Hierarchical Timing Wheels (1987).
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all keys."""
        self.noted = 0
        # When there may be something to take.
        self.first = inf
        self._buckets: dict[float, list[Hashable]] = {}
        self._ends: list[float] = []
        self._due: list[Hashable] = []

    def add(self, key: Hashable, deadline: float, now: float) -> None:
        """Note when a key's time is over."""
        left_s = deadline - now
        if left_s > FOREVER_S:
            return
        width_s = ldexp(1.0, max(frexp(left_s)[1], LEAST) - FINENESS)
        end = (deadline // width_s + 1.0) * width_s
        bucket = self._buckets.get(end)
        if bucket is None:
            bucket = self._open(end)
        bucket.append(key)
        self.noted += 1

    def take(self, slots: Mapping[Hashable, Slot], now: float) -> Hashable | None:
        """A key that is past its time; None where none is."""
        while self._due or self._ripe(now):
            key = self._due.pop()
            self.noted -= 1
            slot = slots.get(key)
            if slot is None:
                continue
            if slot.deadline <= now:
                return key
            self.add(key, slot.deadline, now)
        self.first = self._ends[0] if self._ends else inf
        return None

    def rebuild(self, slots: Mapping[Hashable, Slot], now: float) -> None:
        """Note each key once."""
        self.clear()
        for key, slot in slots.items():
            self.add(key, slot.deadline, now)

    def _ripe(self, now: float) -> bool:
        if not self._ends or self._ends[0] > now:
            return False
        self._due = self._buckets.pop(heappop(self._ends))
        return True

    def _open(self, end: float) -> list[Hashable]:
        bucket = self._buckets[end] = []
        heappush(self._ends, end)
        self.first = min(self.first, end)
        return bucket
