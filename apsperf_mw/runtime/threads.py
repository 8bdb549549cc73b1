"""Locks and waits for threads."""

from __future__ import annotations

import threading
import weakref
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

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

    def shield(self) -> AbstractContextManager[object]:
        """Nothing cancels a thread."""
        return nullcontext()


class Gate:
    """Opened once; whoever waits goes on."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        """Let everybody through."""
        self._event.set()

    def wait(self, timeout_s: float) -> bool:
        """Whether the gate was opened in time."""
        return self._event.wait(timeout_s)


class Ticking(Protocol):
    """What a pulse drives."""

    def tick(self) -> None:
        """Do what is due; must not raise."""


class Pulse:
    """A daemon thread that calls an owner's `tick`, and does not keep the owner alive."""

    def __init__(self, owner: Ticking, most_s: float) -> None:
        self._owner = weakref.ref(owner)
        self._most_s = most_s
        self._wakes = threading.Event()
        self._stopped = False

    def start(self, period_s: float) -> None:
        """Tick now, and then at this period, but at least every `most_s`."""
        self._stopped = False
        threading.Thread(
            target=_beat,
            args=(self._owner, self._wakes, min(period_s, self._most_s), lambda: self._stopped),
            name="apsperf",
            daemon=True,
        ).start()

    def wake(self) -> None:
        """Tick soon."""
        self._wakes.set()

    def stop(self) -> None:
        """End the thread; a tick under way is finished first."""
        self._stopped = True
        self._wakes.set()


def _beat(
    owner: weakref.ref[Ticking],
    wakes: threading.Event,
    period_s: float,
    stopped: Callable[[], bool],
) -> None:
    while not stopped():
        alive = owner()
        if alive is None:
            return
        alive.tick()
        del alive  # the owner may be collected while the thread sleeps
        wakes.wait(period_s)
        wakes.clear()
