"""How often a route's requests ask for the same again. Pure: the time is a parameter.

Requests are sampled by their keys, so that all requests for a key are seen or none: what is kept
of a key is when it was asked for last (spatial sampling, as in SHARDS: Waldspurger and others,
FAST 2015). Past a fixed number of keys the share of keys that is sampled is halved, and a request
counts for as many as it stands for. By chance the sample has more or less of the most popular keys
than its share; all requests are counted, so the difference is known, and it is made of repeats.
What remains is the error of a sample of so many keys: about three points of a hundred.
"""

from __future__ import annotations

# Keys kept of one route.
MOST_KEYS = 512
# Seconds within which a request repeats another: the lifetime classes' defaults.
WINDOWS_S = (300.0, 1800.0, 86_400.0)
_SPACE = 1 << 32
_MIX = 0x9E3779B97F4A7C15


class Repeats:
    """The share of requests that would have been answered from a cache of some lifetime."""

    def __init__(self) -> None:
        self._below = _SPACE
        self._last: dict[int, float] = {}
        self._count = 0
        self._all = 0.0
        self._repeated = [0.0] * len(WINDOWS_S)

    def add(self, key: int, now: float) -> None:
        """Take a request's key, and when it came."""
        self._count += 1
        place = (key * _MIX >> 16) & (_SPACE - 1)
        if place >= self._below:
            return
        stands_for = _SPACE / self._below
        self._all += stands_for
        last = self._last.get(place)
        if last is not None:
            for at, window_s in enumerate(WINDOWS_S):
                if now - last <= window_s:
                    self._repeated[at] += stands_for
        self._last[place] = now
        if len(self._last) > MOST_KEYS:
            self._thin_out()

    def share(self, window_s: float) -> float:
        """The share of requests that repeat one of the last so many seconds."""
        if not self._count:
            return 0.0
        more = self._count - self._all
        return min(max((self._repeated[WINDOWS_S.index(window_s)] + more) / self._count, 0.0), 1.0)

    def _thin_out(self) -> None:
        while len(self._last) > MOST_KEYS // 2:
            self._below //= 2
            self._last = {place: last for place, last in self._last.items() if place < self._below}
