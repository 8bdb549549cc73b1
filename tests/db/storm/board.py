"""What is certain of each subject, in memory that all processes of a cell share.

A subject is a row, or rows, whose version only grows. A version's place holds the time from which
nobody may begin a read that shows an older one: that of its commit, and what others are promised.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import NamedTuple

from msgspec import Struct, field

KEYS = 8
CHILD, BULK, WIDE = KEYS, KEYS + 1, KEYS + 2
SUBJECTS = KEYS + 3
BULK_ROWS = 60
# What is written to be rolled back: nobody may ever see it.
NEVER = 100_000_000
FLAGS = 64
OVER = 0
# So many versions that nobody has told of are looked past.
GAP = 16
MOST_TOLD = 20


class Mark(NamedTuple):
    """A moment, and what this process itself has committed by then."""

    at: float
    own: tuple[int, ...]


class Tally(Struct):
    """What came of a process's operations."""

    reads: int = 0
    writes: int = 0
    failed: int = 0
    stale: int = 0
    late_s: float = 0.0
    told: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Those of another as well."""
        for name in ("reads", "writes", "failed", "stale"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.late_s = max(self.late_s, other.late_s)
        self.told += other.told
        for name, count in other.faults.items():
            self.faults[name] = self.faults.get(name, 0) + count


class Board:
    """Of one process; `bound_s` is what is promised to other processes."""

    def __init__(self, path: Path, most: int, bound_s: float) -> None:
        self.most = most
        self.bound_s = bound_s
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._times = memoryview(self._memory).cast("d")
        self._own = [0] * SUBJECTS
        self._lock = Lock()
        self.tally = Tally()

    @staticmethod
    def make(path: Path, most: int) -> None:
        """The memory: a file with holes for so many versions of each."""
        with path.open("wb") as file:
            file.truncate(8 * (FLAGS + SUBJECTS * most))

    def raise_flag(self, number: int) -> None:
        """Say something to the other processes."""
        self._times[number] = 1.0

    def is_raised(self, number: int) -> bool:
        """Whether somebody has said it."""
        return bool(self._times[number])

    def mark(self) -> Mark:
        """Now."""
        own = tuple(self._own)
        return Mark(monotonic(), own)

    def wrote(self, subject: int, version: int) -> None:
        """The commit of a version has come back."""
        with self._lock:
            self._own[subject] = max(self._own[subject], version)
        self._times[self._place(subject, version)] = monotonic() + self.bound_s

    def found(self, subject: int, version: int, bound_s: float) -> None:
        """A version is there of which nobody may have told, who may have died; others so soon."""
        place = self._place(subject, version)
        self._times[place] = self._times[place] or monotonic() + bound_s

    def _place(self, subject: int, version: int) -> int:
        assert version < self.most, "more versions than there is room for"
        return FLAGS + subject * self.most + version

    def saw(self, mark: Mark, subject: int, version: int | None, how: str) -> None:
        """A read that began at the mark has shown this version."""
        tally = self.tally
        if version is None or not 0 <= version < NEVER:
            self._tell(f"{how}: subject {subject} is {version}: nobody has committed that")
            return
        since = self._since(subject, version)
        if since <= mark.at or version < mark.own[subject]:
            late_ms = (mark.at - since) * 1000
            self._tell(f"{how}: {subject} is {version}, {mark.own[subject]} is own; {late_ms} ms")
        elif since - self.bound_s < mark.at:
            tally.late_s = max(tally.late_s, mark.at - since + self.bound_s)

    def _since(self, subject: int, version: int) -> float:
        """Since when the version is old."""
        first = FLAGS + subject * self.most + version + 1
        last = min(first + GAP, FLAGS + (subject + 1) * self.most)
        return min(filter(None, self._times[first:last].tolist()), default=float("inf"))

    def _tell(self, what: str) -> None:
        with self._lock:
            self.tally.stale += 1
            if len(self.tally.told) < MOST_TOLD:
                self.tally.told.append(what)

    def count(self, *, wrote: bool = False, fault: BaseException | None = None) -> None:
        """An operation is over."""
        with self._lock:
            if fault is not None:
                name = type(fault).__name__
                self.tally.failed += 1
                self.tally.faults[name] = self.tally.faults.get(name, 0) + 1
            elif wrote:
                self.tally.writes += 1
            else:
                self.tally.reads += 1
