"""The memory driver: bounded by bytes and entries, read without a lock."""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING, Self

from cachetools import Cache

from apsperf_mw.drivers.base import LocalDriver, Slot
from apsperf_mw.drivers.urls import url_options
from apsperf_mw.runtime.forks import watch
from apsperf_mw.runtime.threads import RLock

if TYPE_CHECKING:
    from collections.abc import Hashable
    from contextlib import AbstractContextManager

DEFAULT_MAX_BYTES = 64 * 1024 * 1024
DEFAULT_MAX_ENTRIES = 65_536
# What the mapping itself takes for one key, measured on CPython 3.11.
SLOT_BYTES = 360


class SecondChance(Cache):  # type: ignore[type-arg]
    """Evicts the oldest entry that was not read since it was last passed over.

    Source: Corbató, A Paging Experiment with the Multics System (1968). A read sets one flag
    and takes no lock; expired entries go first when they are met.
    """

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        super().__init__(max_bytes, getsizeof=lambda slot: slot.size_bytes)
        self.queue: OrderedDict[Hashable, Slot] = OrderedDict()
        self.evictions = 0
        self._max_entries = max_entries

    def __setitem__(self, key: Hashable, slot: Slot) -> None:
        if key in self.queue:
            del self[key]
        # What is too large is refused below, and must not cost another entry its place.
        while len(self.queue) >= self._max_entries and slot.size_bytes <= self.maxsize:
            self.popitem()
        super().__setitem__(key, slot)
        self.queue[key] = slot

    def __delitem__(self, key: Hashable) -> None:
        super().__delitem__(key)
        del self.queue[key]

    def popitem(self) -> tuple[Hashable, Slot]:
        """Evict one entry; `KeyError` when there is none."""
        if not self.queue:
            raise KeyError("the cache is empty")
        key, slot = self._oldest_unread()
        del self[key]
        self.evictions += 1
        return key, slot

    def _oldest_unread(self) -> tuple[Hashable, Slot]:
        """Pass over what was read since the last time; each is passed over once."""
        now = monotonic()
        while True:
            key, slot = next(iter(self.queue.items()))
            if not slot.visited or slot.deadline <= now:
                return key, slot
            slot.visited = False
            self.queue.move_to_end(key)


class MemoryDriver(LocalDriver):
    """Keeps objects in this process. Reads take no lock; writes are serialised."""

    def __init__(
        self, max_bytes: int = DEFAULT_MAX_BYTES, max_entries: int = DEFAULT_MAX_ENTRIES
    ) -> None:
        self._lock = RLock()
        self._cache = SecondChance(max_bytes, max_entries)
        # Bound at once: the shortest way from a key to what is kept.
        self.find = self._cache.queue.get  # type: ignore[assignment,method-assign]
        watch(self)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """`memory://?max_bytes=67108864&max_entries=65536`; both may be left out."""
        return cls(**url_options(url, ("max_bytes", "max_entries")))

    def find(self, key: Hashable) -> Slot | None:
        """What is kept under the key, even past its time; the reader sets `visited`."""
        return self._cache.queue.get(key)

    def keep(self, key: Hashable, value: object, size_bytes: int, ttl_s: float) -> bool:
        """Keep an object; what does not fit at all is declined, and an older value is dropped."""
        if ttl_s <= 0:
            self.drop(key)
            return False
        slot = Slot(value, size_bytes + SLOT_BYTES, monotonic() + ttl_s)
        with self._lock:
            try:
                self._cache[key] = slot
            except ValueError:  # larger than the whole cache
                return False
        return True

    def drop(self, key: Hashable) -> bool:
        """Forget a key; whether there was one."""
        with self._lock:
            return self._cache.pop(key, None) is not None

    def get(self, key: bytes) -> bytes | None:
        """The value, or None where there is none or its time is over."""
        slot = self.find(key)
        if slot is None or slot.deadline <= monotonic():
            return None
        slot.visited = True
        value: bytes = slot.value
        return value

    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value; False where it is larger than the whole cache."""
        return self.keep(key, value, len(key) + len(value), ttl_s)

    def add(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none."""
        with self._lock:
            return self.get(key) is None and self.set(key, value, ttl_s)

    def delete(self, key: bytes) -> bool:
        """Forget a key; whether there was one whose time was not over."""
        with self._lock:
            was = self.get(key) is not None
            return self.drop(key) and was

    def clear(self, prefix: bytes = b"") -> None:
        """Forget everything, objects too, or the bytes under a prefix; counters stay."""
        with self._lock:
            for key in list(self._cache):
                if not prefix or (isinstance(key, bytes) and key.startswith(prefix)):
                    del self._cache[key]

    def exclusive(self) -> AbstractContextManager[object]:
        """Other threads do not write meanwhile; reentrant."""
        return self._lock

    def before_fork(self) -> None:
        """No fork comes in the midst of a write."""
        self._lock.acquire()

    def after_fork(self) -> None:
        """Let writes go on."""
        self._lock.release()

    def close(self) -> None:
        """Forget everything."""
        self.clear()

    def stats(self) -> dict[str, int]:
        """`entries`, `size_bytes` (as counted, overhead included) and `evictions`."""
        cache = self._cache
        return {
            "entries": len(cache.queue),
            "size_bytes": int(cache.currsize),
            "evictions": cache.evictions,
        }
