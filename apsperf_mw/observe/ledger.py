"""Finished requests between their end and their being counted."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.observe.series import Finished

# Past this many a request counts them itself, so that memory stays bounded.
MOST_PENDING = 4096


class Ledger:
    """Appending is all that a request pays; a thread counts later.

    Nothing is lost between threads: a deque's append and popleft are atomic.
    """

    def __init__(self) -> None:
        self._pending: deque[Finished] = deque()
        self._lock = Lock()
        self._append = self._pending.append
        self.count: Callable[[list[Finished]], None] | None = None

    def add(self, request: Finished) -> None:
        """Note one finished request."""
        self._append(request)
        if len(self._pending) > MOST_PENDING:
            self.drain()

    def drain(self) -> None:
        """Count what is pending; if another thread does it already, let it."""
        if self.count is None or not self._lock.acquire(blocking=False):
            return
        try:
            take = self._pending.popleft
            batch = [take() for _ in range(len(self._pending))]
            if batch:
                self.count(batch)
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Drop what is pending: in a forked child it belongs to the parent."""
        self._lock = Lock()
        self._pending.clear()
