"""Finished requests between their end and their being counted."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.observe.record import Batch, Finished, Measured

# Past this many the thread is woken, while they are still in the processor's cache; past the
# second bound, for it may hang in an export, each request counts some itself, so that memory
# stays bounded.
CROWDED = 512
FULL = 8192
SLICE = 64
# Batches of what is measured beside requests that wait at most; each is of some hundreds.
MOST_BATCHES = 256


class Ledger:
    """Appending is all that a request pays; a thread counts later.

    What is measured beside requests is dropped where too much of it waits: one by one, or many at
    once in `batches`, which the `givers` are asked for before anything is counted.

    Nothing is lost between threads: a deque's append and popleft are atomic. `lock` is held
    while requests are counted.
    """

    def __init__(self, crowded: Callable[[], None]) -> None:
        self.lock = Lock()
        self.crowded = crowded
        self.pending: deque[Finished] = deque()
        self._measured: deque[Measured] = deque(maxlen=FULL)
        self.measure: Callable[[Measured], None] = self._measured.append
        self.batches: deque[Batch] = deque(maxlen=MOST_BATCHES)
        self.givers: list[Callable[[], object]] = []
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
            if self.count_measured is not None:
                self._drain_measured(self.count_measured)
        finally:
            self.lock.release()

    def _drain_measured(self, count: Callable[[list[Measured]], None]) -> None:
        for give in self.givers:
            give()
        take, take_batch = self._measured.popleft, self.batches.popleft
        if self._measured:
            count([take() for _ in range(len(self._measured))])
        for _ in range(len(self.batches)):
            name, values, attributes = take_batch()
            count([(name, value, attributes) for value in values])

    def forget(self, crowded: Callable[[], None]) -> None:
        """Drop what is pending: in a forked child it belongs to the parent."""
        self.lock = Lock()
        self.crowded = crowded
        self.pending.clear()
        self._measured.clear()
        self.batches.clear()
