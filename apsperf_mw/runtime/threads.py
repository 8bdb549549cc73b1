"""Locks and waits for threads."""

from __future__ import annotations

import threading
import weakref
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

Lock = threading.Lock
RLock = threading.RLock
Semaphore = threading.Semaphore
current_thread_id = threading.get_ident


def start_daemon(run: Callable[[], None], name: str) -> None:
    """Have a thread run this; it does not keep the program from ending."""
    threading.Thread(target=run, name=name, daemon=True).start()


def thread_names() -> dict[int, str]:
    """The names of the threads that the interpreter knows, by their ids."""
    return {each.ident or 0: each.name for each in threading.enumerate()}


class Waits:
    """How a thread waits: `await` on it never suspends the coroutine, it blocks the thread."""

    blocks = True

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
    """What a pulse drives; neither method may raise."""

    def tick(self) -> None:
        """Do what is due."""

    def rest(self) -> None:
        """The pulse was stopped; this is its thread's last call."""


def load_fork_hooks() -> None:
    """Have the hooks for forks that executors bring; before any of our own that wait for a thread.

    If the thread came to import them while a fork waits for it, only half of them would run. They
    run last to first, and take a lock that an executor needs: ours must have waited by then.
    """
    import_module("concurrent.futures.thread")


class Pulse:
    """A daemon thread that calls an owner's `tick`, and ends when the owner is collected."""

    def __init__(self, owner: Ticking) -> None:
        # A simple queue may be put to from anywhere, even from a collection in the midst of it.
        self._wakes: SimpleQueue[object] = SimpleQueue()
        self._owner = weakref.ref(owner, self._wakes.put)
        self._still = Lock()
        self._stopped = False

    def start(self, period_s: float) -> None:
        """Tick now, and then at this period."""
        load_fork_hooks()
        threading.Thread(target=self._beat, args=(period_s,), name="apsperf", daemon=True).start()

    def wake(self) -> None:
        """Tick soon."""
        if self._wakes.empty():
            self._wakes.put(None)

    def stop(self) -> None:
        """End the thread for good; a tick under way is finished first."""
        self._stopped = True
        self.wake()

    def hold(self, timeout_s: float) -> bool:
        """Wait for the end of a tick and let none begin; the time may run out."""
        return self._still.acquire(timeout=timeout_s)

    def go_on(self) -> None:
        """Let ticks begin again; after a `hold` that came in time."""
        self._still.release()

    def _beat(self, period_s: float) -> None:
        while (owner := self._owner()) is not None:
            if self._stopped:
                owner.rest()
                return
            with self._still:
                owner.tick()
            del owner  # it may be collected while the thread sleeps
            with suppress(Empty):
                self._wakes.get(timeout=period_s)
