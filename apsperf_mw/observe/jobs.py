"""What the exporter's thread does at intervals besides exporting."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable


class Job(Struct, eq=False):
    """Something that is done at an interval."""

    interval_s: float
    run: Callable[[], None]
    due: float = 0.0


class Jobs:
    """All of them; each is done at the start too."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def add(self, interval_s: float, run: Callable[[], None]) -> None:
        """One more."""
        self._jobs.append(Job(interval_s, run))

    @property
    def shortest_s(self) -> float:
        """The shortest interval."""
        return min((job.interval_s for job in self._jobs), default=float("inf"))

    def run(self, attempt: Callable[[str, Callable[[], None]], object]) -> None:
        """Do what is due; `attempt` calls it, and bears its faults."""
        now = monotonic()
        for job in self._jobs:
            if now >= job.due:
                job.due = now + job.interval_s
                attempt("a sampler", job.run)

    def begin_anew(self) -> None:
        """All of it is due."""
        for job in self._jobs:
            job.due = 0.0
