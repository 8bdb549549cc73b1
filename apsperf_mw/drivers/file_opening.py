"""How the file driver's database comes to hand: opened, again, or replaced by an empty one."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from diskcache.core import DBNAME

from apsperf_mw.drivers.file_connection import (
    is_busy,
    is_damage,
    is_ours,
    patiently,
)
from apsperf_mw.drivers.file_disk import ForeignRow, is_name
from apsperf_mw.drivers.file_place import inode, locked, prepare
from apsperf_mw.drivers.file_volume import Volume
from apsperf_mw.errors import DriverError
from apsperf_mw.runtime.forks import watch
from apsperf_mw.runtime.threads import RLock

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

ENDS = ("", "-wal", "-shm")
FAULTS = (sqlite3.Error, UnicodeDecodeError, ForeignRow)


class Opening:
    """The database of a directory, for all threads of this process, across forks and damage."""

    def __init__(
        self, directory: Path, most_bytes: int, timeout_s: float, counts: Counter[str]
    ) -> None:
        self._directory = directory
        self._path = str(directory / DBNAME)
        self._most_bytes = most_bytes
        self._timeout_s = timeout_s
        self._counts = counts
        self._gate = RLock()  # no connection is opened while it is held
        self._volume: Volume | None = None
        self._process = os.getpid()
        self.volume()  # what is wrong with the place is said at set-up
        watch(self)

    def run(self, call: Callable[Concatenate[Volume, P], T], *args: P.args, **more: P.kwargs) -> T:
        """Call with the open database; again where it is busy, was replaced, or is damaged."""
        deadline = monotonic() + self._timeout_s
        for attempt in count():
            volume = self.volume()
            try:
                return call(volume, *args, **more)
            except FAULTS as fault:
                if attempt and monotonic() >= deadline:
                    raise
                self._recover(volume, fault)
        raise AssertionError("unreachable")

    def at_hand(self) -> Volume | None:
        """The open database, if this thread can use it at once."""
        volume = self._volume
        if volume is None or inode(self._path) != volume.inode:
            return None
        return volume if volume.connected or volume.connected_now() else None

    def volume(self) -> Volume:
        """The open database; opened where it is not, or where another took its place."""
        volume = self._volume
        if volume is not None and inode(self._path) == volume.inode:
            return volume
        with self._gate:
            if self._volume is volume:
                self.close()
                self._volume = self._opened()
            assert self._volume is not None
            return self._volume

    def close(self) -> None:
        """Close all connections; the next call opens the database again."""
        with self._gate:
            volume, self._volume = self._volume, None
            if volume is not None:
                volume.close_all()

    def before_fork(self) -> None:
        """No connection crosses a fork: SQLite's locks do not."""
        self._gate.acquire()
        if self._volume is not None:
            self._volume.close_all()

    def after_fork(self) -> None:
        """A child begins anew: a lock of another thread's would never be released in it."""
        if os.getpid() != self._process:
            self._process = os.getpid()
            self._volume = None
        self._gate.release()

    def _opened(self) -> Volume:
        prepare(self._directory)
        with locked(self._directory, self._timeout_s):
            if not self._is_sound():
                self._empty()
            try:
                return self._made()
            except FAULTS as fault:
                if not is_damage(fault):
                    raise DriverError(f"{self._path} cannot be opened: {fault}") from fault
            self._empty()  # what it says of itself is good, and it is not
            return self._made()

    def _made(self) -> Volume:
        return patiently(
            self._timeout_s, Volume, self._directory, self._most_bytes, self._timeout_s, self._gate
        )

    def _recover(self, volume: Volume, fault: Exception) -> None:
        """Make another try worth while, or raise the fault."""
        if is_busy(fault):
            sleep(0.001)
        elif is_damage(fault):
            self._replace(volume)
        elif isinstance(fault, sqlite3.ProgrammingError):
            volume.close()  # a fork has closed it
        elif inode(self._path) == volume.inode:
            raise fault

    def _replace(self, volume: Volume) -> None:
        """Have a damaged database give way to an empty one, unless it has already."""
        with self._gate:
            volume.close_all()
            with locked(self._directory, self._timeout_s):
                if inode(self._path) == volume.inode:
                    self._empty()
            self._volume = None

    def _is_sound(self) -> bool:
        """Whether there is no database yet, or one of ours."""
        there = [mode for mode in map(_mode, (self._path + end for end in ENDS)) if mode]
        if not all(map(stat.S_ISREG, there)):
            return False
        if not os.path.lexists(self._path):
            return not there
        try:
            return patiently(self._timeout_s, is_ours, self._path)
        except FAULTS as fault:
            if is_busy(fault):  # nobody could say whose it is
                raise DriverError(f"{self._path} is locked by another process") from fault
            return not is_damage(fault)

    def _empty(self) -> None:
        """Remove the database with all that belongs to it; who has it open notices."""
        self._counts["resets"] += 1
        values = (path for path in self._directory.iterdir() if is_name(path.name))
        for path in (*(Path(self._path + end) for end in ENDS), *values):
            with suppress(FileNotFoundError):
                path.unlink()


def _mode(path: str) -> int:
    """What is at the path; 0 where nothing is: who closes the database last takes its log away."""
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return 0
