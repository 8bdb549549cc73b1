"""What tasks of asyncio need of their loop: time limits, things of one loop, places in a queue."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
    from types import TracebackType

T = TypeVar("T")

# An alarm that comes so much too late says that the loop was held, not that nobody answered.
LATE_S = 0.02


class time_limit:  # noqa: N801 - a context, named as asyncio names its own
    """`TimeoutError` for what takes longer; where the loop itself was held, once more as long.

    So what has come while the loop was held is read, and not taken for lost.
    """

    __slots__ = ("_again", "_alarm", "_due", "_fired", "_loop", "_seconds", "_task")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._fired = False
        self._again = False

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._alarm.cancel()
        if self._fired and self._task is not None:
            others = self._task.uncancel()  # cancelled by somebody else, too
            if kind is asyncio.CancelledError and not others:
                raise TimeoutError from fault

    def _set(self) -> None:
        self._due = self._loop.time() + self._seconds
        self._alarm = self._loop.call_at(self._due, self._fire)

    def _fire(self) -> None:
        if not self._again and self._loop.time() - self._due > LATE_S:
            self._again = True
            self._set()
        elif self._task is not None:
            self._fired = True
            self._task.cancel()


class PerLoop(Generic[T]):
    """One thing for each loop that asks, ended when the loop shuts down."""

    def __init__(self, make: Callable[[], T], end: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._end = end
        self._kept: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None, None]]
        ] = WeakKeyDictionary()

    def get(self) -> T:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        return self._begin(loop) if kept is None else kept[0]

    async def end(self) -> None:
        """End the running loop's; another is made when next asked for."""
        kept = self._kept.pop(asyncio.get_running_loop(), None)
        if kept is not None:
            await kept[1].aclose()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> T:
        for known in self._kept.keyrefs():  # other threads have loops too
            other = known()
            if other is not None and other.is_closed():
                self._kept.pop(other, None)
        thing = self._make()
        # A loop that shuts down closes the generators that were begun in it.
        keeper = self._keep(loop, thing)
        with suppress(StopIteration):
            keeper.__anext__().send(None)
        self._kept[loop] = (thing, keeper)
        return thing

    async def _keep(self, loop: asyncio.AbstractEventLoop, thing: T) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._kept.pop(loop, None)
            await self._end(thing)


class Places:
    """So many at a time, in one loop; the others wait for their turn."""

    def __init__(self, most: int) -> None:
        self._turns = asyncio.Semaphore(most)

    async def take(self, timeout_s: float) -> bool:
        """Wait for a place; False if the time runs out."""
        if not self._turns.locked():
            return await self._turns.acquire()
        try:
            with time_limit(timeout_s):
                return await self._turns.acquire()
        except TimeoutError:
            return False

    def free(self) -> None:
        """Let the next one in."""
        self._turns.release()


async def all_of(awaitables: Iterable[Awaitable[object]]) -> None:
    """Wait for all at once; what one of them raises is nobody's concern."""
    await asyncio.gather(*awaitables, return_exceptions=True)
