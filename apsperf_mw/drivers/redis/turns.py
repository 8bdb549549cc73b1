"""One at a time on the whole store, among those that ask for it: a lease that nobody commits."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from os import urandom
from random import uniform
from time import monotonic, sleep
from typing import TYPE_CHECKING

from apsperf_mw.drivers.redis import commands
from apsperf_mw.drivers.redis.scripts import RELEASE
from apsperf_mw.errors import DriverError
from apsperf_mw.runtime.threads import current_thread_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from apsperf_mw.drivers.redis.commands import Command, Reply

# Whoever dies with the turn keeps it for so long; others wait for it no longer than that.
HELD_S = 10.0
PLACE = commands.name(b"exclusive", b"}x")
PAUSE_S = (0.001, 0.01)


class Turns:
    """The turns of one driver; a thread or task that has its turn may take it again."""

    def __init__(self) -> None:
        self._depths: dict[int, int] = {}

    @contextmanager
    def take(self, call: Callable[[Command], Reply]) -> Iterator[None]:
        """Have the turn; `DriverError` where it does not come in time."""
        me, token, deadline = current_thread_id(), urandom(16), monotonic() + HELD_S
        if me not in self._depths:
            while not commands.was_kept(call(_want(token))):
                _be_in_time(deadline)
                sleep(uniform(*PAUSE_S))  # noqa: S311 - so that not all ask at once
        self._in(me)
        try:
            yield
        finally:
            if self._out(me):
                call(_leave(token))

    @asynccontextmanager
    async def atake(self, call: Callable[[Command], Awaitable[Reply]]) -> AsyncIterator[None]:
        """As `take`, for tasks."""
        import anyio

        me, token, deadline = anyio.get_current_task().id, urandom(16), monotonic() + HELD_S
        if me not in self._depths:
            while not commands.was_kept(await call(_want(token))):
                _be_in_time(deadline)
                await anyio.sleep(uniform(*PAUSE_S))  # noqa: S311 - so that not all ask at once
        self._in(me)
        try:
            yield
        finally:
            if self._out(me):
                with anyio.CancelScope(shield=True):
                    await call(_leave(token))

    def _in(self, me: int) -> None:
        self._depths[me] = self._depths.get(me, 0) + 1

    def _out(self, me: int) -> bool:
        """Whether that was the outermost."""
        self._depths[me] -= 1
        if self._depths[me]:
            return False
        del self._depths[me]
        return True


def _want(token: bytes) -> Command:
    taken = (b"SET", PLACE, token, b"NX", b"PX", int(HELD_S * 1000))
    return commands.Command(taken, PLACE)


def _leave(token: bytes) -> Command:
    return commands.evaluated(RELEASE, (PLACE,), token)


def _be_in_time(deadline: float) -> None:
    if monotonic() > deadline:
        raise DriverError(f"redis: the turn to be exclusive did not come within {HELD_S:g} s")
