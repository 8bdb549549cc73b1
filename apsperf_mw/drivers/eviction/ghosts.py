"""How often was used what has been evicted."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

# A cell of 32 bits: 16 of the key's hash, the period in which it was evicted, its uses.
MARK = 0xFFFF0000
PERIODS = 0xFF
MOST = 0xFF
LEAST_CELLS = 256


class Ghosts:
    """Remembers the uses of evicted keys in a table of 4 to 8 cells for each entry, 4 bytes each.

    A key has one cell, which the next key that falls on it takes over. What is remembered is
    halved with each period, in which as many keys are evicted as the table has cells.
    """

    def __init__(self) -> None:
        self._cells = array("I")
        self._size = self._bits = 0
        self._mask = -1  # of a hash: the place in the table
        self._kept = 0

    def keep(self, key: Hashable, uses: int, entries: int) -> None:
        """Remember an evicted key; `entries` is how many there are."""
        if 4 * entries >= self._size:
            self._grow(4 * entries)
        self._kept = kept = self._kept + 1
        place = hash(key)
        count = min(MOST, uses)
        period = (kept >> self._bits) & PERIODS
        self._cells[place & self._mask] = ((place >> 24) & MARK) | (period << 8) | count

    def recall(self, key: Hashable) -> int:
        """The uses of a key that was evicted, as far as they are remembered; else 0."""
        if not self._kept:
            return 0
        place = hash(key)
        cell = self._cells[place & self._mask]
        if (cell ^ (place >> 24)) & MARK:
            return 0
        age = ((self._kept >> self._bits) - (cell >> 8)) & PERIODS
        return (cell & MOST) >> age

    def _grow(self, least: int) -> None:
        """A larger table; what the smaller one remembered is forgotten."""
        self._bits = max(least, LEAST_CELLS - 1).bit_length()
        self._size = 1 << self._bits
        self._mask = self._size - 1
        self._cells = array("I", bytes(4 * self._size))
        self._kept = 0
