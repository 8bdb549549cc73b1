"""How often was used what has been evicted."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

# A cell of 32 bits: a mark of the key, the period in which it was evicted, its uses.
COUNT_BITS, PERIOD_BITS, MARK_BITS = 8, 8, 16
MOST = (1 << COUNT_BITS) - 1
PERIODS = (1 << PERIOD_BITS) - 1
LEAST_CELLS = 256


class Ghosts:
    """Remembers the uses of evicted keys in a table of 4 to 8 cells for each entry, 4 bytes each.

    A key has one cell, which the next key that falls on it takes over. What is remembered is
    halved with each period, in which as many keys are evicted as the table has cells.
    """

    def __init__(self) -> None:
        self._cells = array("I")
        self._mask = 0
        self._kept = 0

    def keep(self, key: Hashable, uses: int, entries: int) -> None:
        """Remember an evicted key; `entries` is how many there are."""
        if len(self._cells) < 4 * entries or not self._mask:
            self._grow(4 * entries)
        self._kept += 1
        place = hash(key)
        mark = (place >> 40) & 0xFFFF
        period = (self._kept // len(self._cells)) & PERIODS
        self._cells[place & self._mask] = (mark << 16) | (period << 8) | min(uses, MOST)

    def recall(self, key: Hashable) -> int:
        """The uses of a key that was evicted, as far as they are remembered; else 0."""
        if not self._mask:
            return 0
        place = hash(key)
        cell = self._cells[place & self._mask]
        if cell >> 16 != (place >> 40) & 0xFFFF:
            return 0
        age = ((self._kept // len(self._cells)) - (cell >> 8)) & PERIODS
        return (cell & MOST) >> age

    def _grow(self, least: int) -> None:
        """A larger table; what the smaller one remembered is forgotten."""
        cells = 1 << max(least - 1, LEAST_CELLS - 1).bit_length()
        self._cells = array("I", bytes(4 * cells))
        self._mask = cells - 1
        self._kept = 0
