"""Exponential histograms: buckets whose bounds are powers, for values of any size. Pure.

By OpenTelemetry's data model: bucket `index` holds what is above `base ** index`, up to
`base ** (index + 1)`, where `base` is 2 to the power of 2 to the power of minus `scale`.
"""

from __future__ import annotations

from collections import Counter
from math import ceil, log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apsperf_mw.observe.series import Exemplar

# Eight buckets for each doubling: a value is off by less than 5 % of itself.
SCALE = 3
# Where they are more, every two become one.
MOST_BUCKETS = 160
MOST_EXEMPLARS = 8


class Powers:
    """Counts by bucket; what is not above zero is counted apart."""

    __slots__ = ("count", "counts", "exemplars", "highest", "lowest", "scale", "total", "zeros")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.lowest = float("inf")
        self.highest = float("-inf")
        self.scale = SCALE
        self.zeros = 0
        self.counts: Counter[int] = Counter()
        self.exemplars: dict[int, Exemplar] = {}

    def add(self, values: list[float]) -> None:
        """Count a batch."""
        self.count += len(values)
        self.total += sum(values)
        self.lowest = min(self.lowest, *values)
        self.highest = max(self.highest, *values)
        steps = 2**self.scale
        above = [value for value in values if value > 0]
        self.zeros += len(values) - len(above)
        self.counts.update([ceil(log2(value) * steps) - 1 for value in above])
        while self.counts and max(self.counts) - min(self.counts) >= MOST_BUCKETS:
            self._widen()

    def place(self, value: float) -> int:
        """The range of values that have one trace."""
        return ceil(log2(value)) if value > 0 else 0

    def show(self, place: int, exemplar: Exemplar) -> None:
        """Keep a value's trace for its range."""
        if place in self.exemplars or len(self.exemplars) < MOST_EXEMPLARS:
            self.exemplars[place] = exemplar

    def dense(self) -> tuple[int, list[int]]:
        """The first bucket's index, and the counts from there on."""
        if not self.counts:
            return 0, []
        first, last = min(self.counts), max(self.counts)
        return first, [self.counts[index] for index in range(first, last + 1)]

    def _widen(self) -> None:
        self.scale -= 1
        wider: Counter[int] = Counter()
        for index, count in self.counts.items():
            wider[index >> 1] += count
        self.counts = wider
