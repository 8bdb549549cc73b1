"""Locks and waits for threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Lock = threading.Lock


class Waits:
    """How a thread waits: `await` on it never suspends the coroutine, it blocks the thread."""

    async def wait(self, join: Callable[[Callable[[], None]], Any], timeout_s: float) -> bool:
        """Block until the callable handed to `join` is called; False if the time runs out."""
        gate = threading.Lock()
        gate.acquire()
        join(gate.release)
        return gate.acquire(timeout=max(timeout_s, 0.0))
