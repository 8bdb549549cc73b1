"""Waits for tasks of asyncio and trio, woken from any thread."""

from __future__ import annotations

import asyncio
import sys
import weakref
from contextvars import Context
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

T = TypeVar("T")
# Threads of a loop at most that are left to calls which may hang.
MOST_HANGING = 4
Join = "Callable[[Callable[[], None]], Any]"
# This thread's running loop, or None: `get_running_loop` takes ten times as long to say that.
running_loop = asyncio._get_running_loop


def under_trio() -> bool:
    """Whether trio runs the current task."""
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)  # another thread may import it
    return lowlevel is not None and lowlevel.in_trio_run()


class Waits:
    """How a task waits: it gives the loop back, and may be woken by a thread or another loop."""

    blocks = False

    async def wait(self, join: Callable[[Callable[[], None]], Any], timeout_s: float) -> bool:
        """Suspend until the callable handed to `join` is called; False if the time runs out."""
        if under_trio():
            return await _trio_wait(join, timeout_s)
        return await _asyncio_wait(join, timeout_s)

    def shield(self) -> AbstractContextManager[object]:
        """What is awaited inside goes on when the task is cancelled."""
        from anyio import CancelScope

        return CancelScope(shield=True)


async def _asyncio_wait(join: Callable[[Callable[[], None]], Any], timeout_s: float) -> bool:
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[bool] = loop.create_future()

    def resolve(value: bool) -> None:
        if not woken.done():
            woken.set_result(value)

    def wake() -> None:
        loop.call_soon_threadsafe(resolve, True)

    join(wake)
    alarm = loop.call_later(max(timeout_s, 0.0), resolve, False)
    try:
        return await woken
    finally:
        alarm.cancel()


async def _trio_wait(join: Callable[[Callable[[], None]], Any], timeout_s: float) -> bool:
    import trio

    token = trio.lowlevel.current_trio_token()
    woken = trio.Event()
    join(lambda: token.run_sync_soon(woken.set))
    with trio.move_on_after(max(timeout_s, 0.0)):
        await woken.wait()
    return woken.is_set()


async def never() -> None:
    """Suspend until the task is cancelled."""
    from anyio import sleep_forever

    await sleep_forever()


async def hop(call: Callable[..., T], *args: Any) -> T:
    """Run a blocking call in a worker thread of the current loop."""
    from anyio import to_thread

    return await to_thread.run_sync(call, *args)


async def hop_within(call: Callable[[], T], timeout_s: float) -> T:
    """Run a call that may hang in one of a few threads of its kind; `TimeoutError` if it does.

    A thread whose call hangs is left to it, and counts no more: what calls must bound that.
    """
    from anyio import CapacityLimiter, fail_after, to_thread

    limiter = _hanging().get(None)
    if limiter is None:
        limiter = CapacityLimiter(MOST_HANGING)
        _hanging().set(limiter)
    with fail_after(timeout_s):
        return await to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)


@cache
def _hanging() -> Any:
    """What limits such threads, for each loop."""
    from anyio.lowlevel import RunVar

    return RunVar("apsperf_mw.hanging")


async def within(what: Awaitable[T], timeout_s: float) -> T:
    """Await it; `TimeoutError` if that takes longer."""
    from anyio import fail_after

    with fail_after(timeout_s):
        return await what


def complete(what: Awaitable[T], timeout_s: float) -> T:
    """Await it in a loop made for it, from a thread that runs none."""
    return asyncio.run(within(what, timeout_s))


class Beat:
    """Looks every so often how late the running loop of asyncio is, and how its threads wait.

    `lag` and `wait` are told in seconds; what they return does not matter. The beat ends with the
    loop, or where `goes_on` says so.
    """

    def __init__(
        self,
        every_s: float,
        lag: Callable[[float], object],
        wait: Callable[[float], object],
        goes_on: Callable[[], bool],
    ) -> None:
        self._every_s = every_s
        self._lag = lag
        self._wait = wait
        self._goes_on = goes_on
        # Each loop with what limits its worker threads, or None where nobody uses any.
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any]
        self._loops = weakref.WeakKeyDictionary()
        self._probes: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Look at the running loop, unless that is done; without one, or under trio, nothing."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        known = self._loops.get(loop, self)
        if known is None or known is self:
            self._loops[loop] = _limiter()
        if known is self:
            due = loop.time() + self._every_s
            # The request that comes first is over long before.
            loop.call_later(self._every_s, self._look, loop, due, context=Context())

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if not self._goes_on():
            self._loops.pop(loop, None)
            return
        now = loop.time()
        self._lag(max(now - due, 0.0))
        limiter = self._loops.get(loop)
        if limiter is not None and limiter.borrowed_tokens:
            task = loop.create_task(self._probe(loop))
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)
        loop.call_later(self._every_s, self._look, loop, now + self._every_s)

    async def _probe(self, loop: asyncio.AbstractEventLoop) -> None:
        """Worker threads are in use: see how long one more has to wait for its turn."""
        from anyio import to_thread

        began = loop.time()
        await to_thread.run_sync(int)
        self._wait(loop.time() - began)


def _limiter() -> Any:
    """What limits the worker threads of the running loop."""
    if "anyio" not in sys.modules:
        return None
    from anyio import to_thread

    return to_thread.current_default_thread_limiter()


def in_own_loop(run: Callable[[], Awaitable[T]]) -> T:
    """What it comes to in a loop and a thread of its own; blocks, also where a loop runs here."""
    from asyncio import run as run_loop
    from concurrent.futures import ThreadPoolExecutor

    async def awaited() -> T:
        return await run()

    with ThreadPoolExecutor(1, "apsperf-loop") as threads:
        return threads.submit(lambda: run_loop(awaited())).result()
