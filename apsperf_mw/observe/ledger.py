"""Finished requests between their end and their being counted."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.observe.record import Finished, Measured

# Past this many the thread is woken, while they are still in the processor's cache; past the
# second bound, for it may hang in an export, each request counts some itself, so that memory
# stays bounded.
CROWDED = 512
FULL = 8192
SLICE = 64


class Ledger:
    """Appending is all that a request pays; a thread counts later.

    What is measured beside requests is dropped where too much of it waits.

    Nothing is lost between threads: a deque's append and popleft are atomic. `lock` is held
    while requests are counted.
    """

    def __init__(self, crowded: Callable[[], None]) -> None:
        self.lock = Lock()
        self.crowded = crowded
        self.pending: deque[Finished] = deque()
        self._measured: deque[Measured] = deque(maxlen=FULL)
        self.measure: Callable[[Measured], None] = self._measured.append
        self.count: Callable[[list[Finished]], None] | None = None
        self.count_measured: Callable[[list[Measured]], None] | None = None

    def add(self, request: Finished) -> None:
        """Note one finished request."""
        self.pending.append(request)
        if len(self.pending) > CROWDED:
            self.relieve()

    def relieve(self) -> None:
        """Past `CROWDED`: have some counted."""
        self.crowded()
        if len(self.pending) > FULL:
            self.drain(SLICE)

    def drain(self, most: int | None = None, *, wait: bool = False) -> None:
        """Count what is pending; if another thread does it already, let it, or wait for it."""
        if self.count is None or not self.lock.acquire(blocking=wait):
            return
        try:
            pending = len(self.pending)
            take = self.pending.popleft
            batch = [take() for _ in range(pending if most is None else min(most, pending))]
            if batch:
                self.count(batch)
            if self._measured and self.count_measured is not None:
                take_measured = self._measured.popleft
                self.count_measured([take_measured() for _ in range(len(self._measured))])
        finally:
            self.lock.release()

    def forget(self, crowded: Callable[[], None]) -> None:
        """Drop what is pending: in a forked child it belongs to the parent."""
        self.lock = Lock()
        self.crowded = crowded
        self.pending.clear()
        self._measured.clear()
