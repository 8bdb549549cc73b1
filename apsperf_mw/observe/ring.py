"""Finished spans between their end and their export."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.observe.losses import Losses
    from apsperf_mw.observe.spans import ChildRecord, SpanRecord

    Record = SpanRecord | ChildRecord


class Ring:
    """Keeps at most `most` spans; further ones are dropped, and counted.

    Calls `crowded` while more than half of it is full.
    """

    def __init__(self, most: int, crowded: Callable[[], None], losses: Losses) -> None:
        self._most = most
        self._half = most // 2
        self._crowded = crowded
        self._waiting: deque[Record] = deque()
        self._losses = losses

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_crowded(self) -> bool:
        """Whether more than half of it is full."""
        return len(self._waiting) > self._half

    def keep(self, span: Record) -> None:
        """Keep a span, or drop it."""
        waiting = len(self._waiting)
        if waiting >= self._most:
            self._losses.drop(1)
            return
        self._waiting.append(span)
        if waiting >= self._half:
            self._crowded()

    def take(self, most: int) -> list[Record]:
        """The oldest spans; only one thread takes."""
        take = self._waiting.popleft
        return [take() for _ in range(min(most, len(self._waiting)))]
