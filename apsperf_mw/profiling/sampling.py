"""Looks at all threads at an interval, for a bounded time."""

from __future__ import annotations

import sys
from time import monotonic, process_time, time
from typing import TYPE_CHECKING, NamedTuple

from apsperf_mw.profiling.owners import owner
from apsperf_mw.profiling.stacks import Stacks, stack_of
from apsperf_mw.runtime.threads import Gate, Lock, current_thread_id, start_daemon, thread_names

if TYPE_CHECKING:
    from apsperf_mw.cache.policy import Plan

NO_ROUTE = "(no request)"
WAITING = "(waiting)"
# Threads of ours, which nobody asks about.
OWN = "apsperf"
_alone = Lock()


class Profile(NamedTuple):
    """What was seen, and when; `cut` says that it was ended by its bound."""

    stacks: Stacks
    started: float
    duration_s: float
    cpu_s: float
    interval_s: float
    about: str
    cut: bool = False


class Sampler:
    """One profile at a time in a process: of one request, or of all threads by route."""

    def __init__(self, interval_s: float, max_s: float, only: Plan | None = None) -> None:
        self._interval_s = interval_s
        self._max_s = max_s
        self._only = only
        self._stacks = Stacks()
        self._end = Gate()
        self._over = Gate()
        self._cut = False

    def start(self) -> bool:
        """Begin; False where another profile is under way."""
        if not _alone.acquire(blocking=False):
            return False
        self._started, self._began, self._cpu = time(), monotonic(), process_time()
        try:
            start_daemon(self._look_on, f"{OWN}-profile")
        except BaseException:
            _alone.release()
            raise
        return True

    def stop(self, about: str) -> Profile:
        """End it; what was seen."""
        self._end.open()
        self._over.wait(5.0)
        return Profile(
            self._stacks,
            self._started,
            monotonic() - self._began,
            process_time() - self._cpu,
            self._interval_s,
            about,
            self._cut,
        )

    def _look_on(self) -> None:
        try:
            deadline = self._began + self._max_s
            while not self._end.wait(self._interval_s):
                if monotonic() > deadline:
                    self._cut = True
                    return
                self._look(current_thread_id())
        finally:
            _alone.release()
            self._over.open()

    def _look(self, me: int) -> None:
        names = thread_names()
        seen = False
        for thread, frame in sys._current_frames().items():
            name = names.get(thread, "")
            if thread == me or name.startswith(OWN):
                continue
            plan = owner(frame)
            if self._only is None:
                route = NO_ROUTE if plan is None else plan.route or NO_ROUTE
                self._stacks.add(stack_of(frame, route))
            elif plan is self._only:
                seen = True
                self._stacks.add(stack_of(frame, self._only.route or NO_ROUTE))
        if self._only is not None and not seen:
            self._stacks.add(stack_of(None, WAITING))
