"""How long a stale entry is left alone whose fetching anew came to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apsperf_mw.cache.entry import Values
    from apsperf_mw.cache.keys import Key

FIRST_REST_S = 1.0
LONGEST_REST_S = 60.0
# Forgotten all at once past this many.
MOST_RESTS = 4096


class Rests:
    """The rests of variants: each attempt that is not ended by a success doubles the next one."""

    def __init__(self, most: int = MOST_RESTS) -> None:
        self._most = most
        self._until: dict[tuple[Key, Values], tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._until)

    def may(self, key: Key, values: Values, now: float) -> bool:
        """Whether an attempt may begin."""
        rest = self._until.get((key, values))
        return rest is None or now >= rest[0]

    def begin(self, key: Key, values: Values, now: float) -> None:
        """An attempt begins; unless `end` is called, the next one may not before its rest."""
        _, rest_s = self._until.get((key, values), (now, FIRST_REST_S))
        if len(self._until) >= self._most:
            self._until = {}
        self._until[key, values] = (now + rest_s, min(2 * rest_s, LONGEST_REST_S))

    def end(self, key: Key, values: Values) -> None:
        """An attempt has succeeded, or another fetch has."""
        if self._until:
            self._until.pop((key, values), None)
