"""Copies of what a shared store holds, in this process, and when they may be read.

A copy is good while the store tells this process of every change: `live_until` says until when
that is known. A copy that was read before a change was heard of is never kept after it: whoever
reads from the store marks the key first, and a change voids the mark.
"""

from __future__ import annotations

from os import getpid
from typing import TYPE_CHECKING, NamedTuple

from apsperf_mw.runtime.forks import watch
from apsperf_mw.runtime.threads import RLock

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from apsperf_mw.drivers.memory import MemoryDriver

# Names of copies are forgotten when there are so many more of them than copies.
SPARE_NAMES = 1024


# A key of the store, or where one of its spaces stands.
Name = bytes | tuple[str, bytes]


class Void(NamedTuple):
    """What has changed in the store, or may have; all of it where `everything` is set."""

    keys: tuple[bytes, ...] = ()
    spaces: tuple[bytes, ...] = ()
    everything: bool = False


ALL = Void(everything=True)


class Mark:
    """A read from the store that is under way, by one or more."""

    __slots__ = ("name", "readers", "void")

    def __init__(self, name: Name, *, void: bool) -> None:
        self.name = name
        self.readers = 0
        self.void = void


class Near:
    """The copies. They are named by the store's keys, and may lie under others in `memory`.

    `live_until` is on the monotonic clock; past it nothing here may be served. Reading takes no
    lock: look into `memory`, and compare.
    """

    def __init__(self, memory: MemoryDriver) -> None:
        self.memory = memory
        self.live_until = 0.0
        self._open = False
        self._lock = RLock()
        self._marks: dict[Name, Mark] = {}
        self._under: dict[Name, Hashable] = {}
        self._heed: list[Callable[[Void], None]] = []
        self._pid = getpid()
        watch(self)

    def on_void(self, heed: Callable[[Void], None]) -> None:
        """Hand on what is heard of the store, in the thread that hears; `heed` must not raise."""
        self._heed.append(heed)

    def begin(self, name: Name) -> Mark:
        """A read from the store begins; it must end in `end`."""
        with self._lock:
            mark = self._marks.get(name)
            if mark is None:
                mark = Mark(name, void=not self._open)
                if self._open:
                    self._marks[name] = mark
            mark.readers += 1
        return mark

    def keep(self, mark: Mark, key: Hashable, value: object, size_bytes: int, ttl_s: float) -> bool:
        """Keep what was read, under a key of the reader's; False where it changed meanwhile."""
        with self._lock:
            if mark.void or not self.memory.keep(key, value, size_bytes, ttl_s):
                return False
            if key != mark.name:
                self._under[mark.name] = key
                self._prune()
        return True

    def end(self, mark: Mark) -> None:
        """The read is over."""
        with self._lock:
            mark.readers -= 1
            if not mark.readers and self._marks.get(mark.name) is mark:
                del self._marks[mark.name]

    def forget(self, names: Iterable[Name]) -> None:
        """These have changed, or are about to."""
        with self._lock:
            for name in names:
                mark = self._marks.pop(name, None)
                if mark is not None:
                    mark.void = True
                self.memory.drop(name)
                under = self._under.pop(name, None)
                if under is not None:
                    self.memory.drop(under)

    def forget_all(self) -> None:
        """Anything may have changed."""
        with self._lock:
            for mark in self._marks.values():
                mark.void = True
            self._marks.clear()
            self._under.clear()
            self.memory.clear()

    def heard(self, void: Void) -> None:
        """The store tells of changes."""
        if void.everything:
            self.forget_all()
        else:
            self.forget(void.keys)
            self.forget(map(stand_name, void.spaces))
        for heed in self._heed:
            heed(void)

    def opened(self, live_until: float) -> None:
        """From now on every change is heard of; what was begun earlier is not kept."""
        self.forget_all()
        self._open = True
        self.live_until = live_until

    def lost(self) -> None:
        """Changes are not heard of any more."""
        was, self._open = self._open, False
        self.live_until = 0.0
        if was:
            self.heard(ALL)

    def before_fork(self) -> None:
        """Nothing: its lock may wait for that of the memory, which is held by then."""

    def after_fork(self) -> None:
        """A child hears nothing yet."""
        if self._pid != getpid():
            self._pid = getpid()
            self._lock = RLock()  # a thread of the parent's may have held it
            self._open = False
            self.live_until = 0.0
            self._marks = {}
            self._under = {}
            self.memory.clear()

    def _prune(self) -> None:
        """Copies are evicted without a word."""
        memory = self.memory
        if len(self._under) > memory.stats()["entries"] + SPARE_NAMES:
            kept = self._under.items()
            self._under = {name: key for name, key in kept if memory.find(key) is not None}


def stand_name(space: bytes) -> Name:
    """The name of where a space stands, beside those of values."""
    return ("stand", space)
