"""Work that nobody waits for: daemon threads up to a bound, and tasks of asyncio and trio."""

from __future__ import annotations

import threading
import weakref
from contextvars import Context
from functools import partial
from os import getpid
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    Run = Callable[[], None]
    AsyncRun = Callable[[], Coroutine[Any, Any, None]]
    Failed = Callable[[BaseException], None]

MOST_THREADS = 4
MOST_TASKS = 64
# A thread that has nothing to do for this long ends; the next run starts one.
LINGER_S = 10.0


class Background:
    """Runs one owner's work; when too much is under way it declines instead of queueing.

    Each run has an empty context: the request that asked for it may be over by then, and what is
    made for all must not depend on it. What a run raises goes to `failed`, which must not raise;
    a task that is cancelled because its loop ends has not failed.
    """

    def __init__(
        self, failed: Failed, most_threads: int = MOST_THREADS, most_tasks: int = MOST_TASKS
    ) -> None:
        self._failed = failed
        self._most_threads = most_threads
        self._most_tasks = most_tasks
        self._closed = False
        self._tasks: set[object] = set()
        self._hire_crew()

    def __len__(self) -> int:
        """How many runs are under way."""
        return self._crew.load + len(self._tasks)

    def spawn_thread(self, run: Run) -> bool:
        """Have a daemon thread call `run`; False where all are busy, or none can be started."""
        if self._pid != getpid():  # a forked child has none of its parent's threads
            self._hire_crew()
        return not self._closed and self._crew.take(run)

    def spawn_task(self, run: AsyncRun, lost: Run | None = None) -> bool:
        """Start a task of the loop that runs the caller; False where there are too many.

        `lost` is called where the task is cancelled, even before it began.
        """
        if self._closed or self._crowded():
            return False
        from apsperf_mw.runtime.loop import under_trio

        if under_trio():
            self._start_trio(run, lost or _nothing)
        else:
            self._start_asyncio(run, lost or _nothing)
        return True

    def close(self) -> None:
        """Take no more work; what is under way is finished."""
        self._closed = True
        self._crew.dismiss()

    def _hire_crew(self) -> None:
        self._pid = getpid()
        self._crew = Crew(self._failed, self._most_threads)
        weakref.finalize(self, self._crew.dismiss).atexit = False

    def _crowded(self) -> bool:
        if len(self._tasks) >= self._most_tasks:
            # A loop may have been closed without an end to its tasks.
            self._tasks.difference_update(filter(_is_lost, list(self._tasks)))
        return len(self._tasks) >= self._most_tasks

    def _start_asyncio(self, run: AsyncRun, lost: Run) -> None:
        from asyncio import get_running_loop

        task = Context().run(get_running_loop().create_task, run())
        self._tasks.add(task)
        task.add_done_callback(partial(self._asyncio_ended, lost))

    def _asyncio_ended(self, lost: Run, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            lost()
        elif (fault := task.exception()) is not None:
            self._failed(fault)

    def _start_trio(self, run: AsyncRun, lost: Run) -> None:
        import trio

        mark = object()
        self._tasks.add(mark)
        try:
            spawn = trio.lowlevel.spawn_system_task
            spawn(self._run_under_trio, run, lost, mark, context=Context())
        except BaseException:
            self._tasks.discard(mark)
            raise

    async def _run_under_trio(self, run: AsyncRun, lost: Run, mark: object) -> None:
        """What a system task raises would end the whole of trio."""
        try:
            await run()
        except BaseException as fault:
            failure = _without_cancelled(fault)
            if failure is None:
                lost()
            else:
                self._failed(failure)
        finally:
            self._tasks.discard(mark)


class Crew:
    """The threads of one `Background` in one process; knows nothing of what owns it."""

    def __init__(self, failed: Failed, most: int) -> None:
        self.load = 0
        self._failed = failed
        self._most = most
        self._lock = threading.Lock()
        self._threads = 0
        self._linger_s = LINGER_S
        # A simple queue may be put to from anywhere, even from a collection in the midst of it.
        self._orders: SimpleQueue[Run | None] = SimpleQueue()

    def take(self, run: Run) -> bool:
        """Give the run to an idle thread or a new one; False where there is neither."""
        with self._lock:
            if self.load >= self._most or not self._manned():
                return False
            self.load += 1
        self._orders.put(run)
        return True

    def dismiss(self) -> None:
        """End the threads once they are idle; takes no lock, since collections call it."""
        self._linger_s = 0.0
        for _ in range(self._most):
            self._orders.put(None)

    def _manned(self) -> bool:
        """Whether there is a thread for one run more."""
        if self._threads > self.load:
            return True
        worker = threading.Thread(target=self._work, name="apsperf-background", daemon=True)
        try:
            worker.start()
        except RuntimeError:  # the system has no thread left, or the interpreter ends
            return False
        self._threads += 1
        return True

    def _work(self) -> None:
        while self._is_needed(run := self._next()):
            if run is not None:
                self._run(run)
                del run

    def _next(self) -> Run | None:
        try:
            return self._orders.get(timeout=self._linger_s)
        except Empty:
            return None

    def _is_needed(self, run: Run | None) -> bool:
        """Whether the thread goes on; what is promised to a thread is never left lying."""
        with self._lock:
            needed = run is not None or self._threads <= self.load
            if not needed:
                self._threads -= 1
        return needed

    def _run(self, run: Run) -> None:
        try:
            Context().run(run)
        except BaseException as fault:
            self._failed(fault)
        finally:
            with self._lock:
                self.load -= 1


def _nothing() -> None:
    """Nobody wants to know."""


def _is_lost(task: object) -> bool:
    loop = getattr(task, "get_loop", None)
    return loop is not None and loop().is_closed()


def _without_cancelled(fault: BaseException) -> BaseException | None:
    """What is left of it when cancellations, which are no failures, are taken out."""
    import trio

    if isinstance(fault, BaseExceptionGroup):
        return fault.split(trio.Cancelled)[1]
    return None if isinstance(fault, trio.Cancelled) else fault
