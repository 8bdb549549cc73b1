"""Whether the process takes requests."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.errors import SettingError
from apsperf_mw.ops.signals import ends
from apsperf_mw.runtime.step import step
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from apsperf_mw.faults import Faults

    Call = Callable[[Callable[[], Any], float], Awaitable[Any]]

SHUTTING_DOWN = "shutting down"
# Seconds that a check takes at most, unless it is given others.
CHECK_S = 5.0
LONGEST_S = 86_400.0


class Check:
    """One of the program's checks; no call is begun while another has hung for its time."""

    def __init__(self, ask: Callable[[], object], timeout_s: float) -> None:
        from inspect import iscoroutinefunction  # it brings much in with it

        self.ask = ask
        self.timeout_s = timeout_s
        self.is_async = any(map(iscoroutinefunction, (ask, getattr(ask, "__call__", None))))  # noqa: B004
        self._lock = Lock()
        self._since: dict[object, float] = {}

    def asked(self, most: int | None = None) -> object:
        """The check's answer, or what is to be awaited for it.

        `TimeoutError` where an earlier call hangs, or `most` are under way.
        """
        call, now = object(), monotonic()
        with self._lock:
            first = min(self._since.values(), default=now)
            if now - first > self.timeout_s or len(self._since) == most:
                raise TimeoutError("an earlier call has not come back")
            self._since[call] = now
        try:
            return self.ask()
        finally:
            with self._lock:
                del self._since[call]


class Health:
    """Ready until it is told to drain, and while every check of the program's says so."""

    def __init__(self, faults: Faults) -> None:
        self.draining = False
        self._faults = faults
        self._checks: dict[str, Check] = {}

    def check(self, name: str, ask: Callable[[], object], timeout_s: float = CHECK_S) -> None:
        """Ask this too, plain or async: what gives False, raises or lasts too long is not ready."""
        if not 0 < timeout_s <= LONGEST_S:
            raise SettingError(f"timeout_s: {timeout_s!r} given; accepted: seconds to {LONGEST_S}")
        self._checks[name] = Check(ask, timeout_s)

    def drain(self) -> None:
        """Take no more requests from now on."""
        self.draining = True

    def reason(self) -> str:
        """Why the process is not ready, or nothing where it is; blocks."""
        return step(self._reason(_call_here, _complete_here))

    async def areason(self) -> str:
        """As `reason`; what is not async is asked in a worker thread."""
        from apsperf_mw.runtime.loop import MOST_HANGING, hop_within, within

        return await self._reason(hop_within, within, MOST_HANGING)

    async def _reason(
        self,
        call: Call,
        wait: Callable[[Any, float], Awaitable[Any]],
        most: int | None = None,
    ) -> str:
        from inspect import isawaitable

        if self.draining or ends():
            return SHUTTING_DOWN
        for name, check in list(self._checks.items()):
            try:
                answer = (
                    check.ask()
                    if check.is_async
                    else await call(partial(check.asked, most), check.timeout_s)
                )
                if isawaitable(answer):
                    answer = await wait(answer, check.timeout_s)
                if answer is False:
                    return name
            except Exception as fault:
                self._faults.note(f"the readiness check {name}", fault)
                return name
        return ""


async def _call_here(call: Callable[[], Any], timeout_s: float) -> Any:  # noqa: ARG001
    return call()


async def _complete_here(what: Awaitable[Any], timeout_s: float) -> Any:
    from apsperf_mw.runtime.loop import complete

    return complete(what, timeout_s)
