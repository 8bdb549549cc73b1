"""The policies written down in the plainest way, to compare with."""

from __future__ import annotations

from collections import OrderedDict


class PlainLRU:
    """Evicts what was used longest ago."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.order: OrderedDict[int, None] = OrderedDict()

    def ask(self, key: int) -> bool:
        hit = key in self.order
        if not hit and len(self.order) >= self.most:
            self.order.popitem(last=False)
        self.order[key] = None
        self.order.move_to_end(key)
        return hit

    def drop(self, key: int) -> None:
        self.order.pop(key, None)


class PlainSieve:
    """SIEVE as the paper has it: oldest first in the list, the hand a place in it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.queue: list[int] = []
        self.visited: set[int] = set()
        self.hand = 0

    def ask(self, key: int) -> bool:
        if key in self.queue:
            self.visited.add(key)
            return True
        if len(self.queue) >= self.most:
            self._evict()
        self.queue.append(key)
        return False

    def drop(self, key: int) -> None:
        if key in self.queue:
            place = self.queue.index(key)
            del self.queue[place]
            self.visited.discard(key)
            if place < self.hand:
                self.hand -= 1
            self._wrap()

    def _evict(self) -> None:
        while self.queue[self.hand] in self.visited:
            self.visited.discard(self.queue[self.hand])
            self.hand += 1
            self._wrap()
        del self.queue[self.hand]
        self._wrap()

    def _wrap(self) -> None:
        if self.hand >= len(self.queue):
            self.hand = 0


class PlainGDSF:
    """Greedy-dual by frequency, cost and size; ranks are corrected when what ranks lowest was used.

    Remembers the uses of all that ever went.
    """

    def __init__(self, most: int, costs: list[float]) -> None:
        self.most = most
        self.costs = costs
        self.clock = 0.0
        self.rank: dict[int, tuple[float, int]] = {}
        self.uses: dict[int, int] = {}
        self.used: set[int] = set()
        self.arrivals = 0

    def ask(self, key: int) -> bool:
        self.uses[key] = self.uses.get(key, 0) + 1
        if key in self.rank:
            self.used.add(key)
            return True
        if len(self.rank) >= self.most:
            self._evict()
        self.arrivals += 1
        self.rank[key] = self.clock + self._worth(key), self.arrivals
        return False

    def _evict(self) -> None:
        while True:
            key = min(self.rank, key=self.rank.__getitem__)
            if key not in self.used:
                break
            self.used.discard(key)
            self.rank[key] = self.clock + self._worth(key), self.rank[key][1]
        self.clock = self.rank.pop(key)[0]

    def _worth(self, key: int) -> float:
        return self.uses[key] * self.costs[key] / 1.0
