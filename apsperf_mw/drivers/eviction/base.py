"""What all eviction policies share: the bounds, the counts, and who goes first."""

from __future__ import annotations

from abc import abstractmethod
from time import monotonic
from typing import TYPE_CHECKING

from cachetools import Cache

from apsperf_mw.drivers.eviction.expiry import Expiry

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from apsperf_mw.drivers.base import Slot

# Notes of keys that are no more are swept out when there are more of them than of live ones.
SPARE_NOTES = 64


class Eviction(Cache):  # type: ignore[type-arg]
    """A mapping of keys to slots that never holds more than so many bytes and entries.

    What is past its time goes before anything else; then the policy chooses. Reads take no lock:
    a reader looks into `slots` and marks what it finds by `slot.hits += 1` and `slot.used = now`.
    Writers take turns. A value is put in the place of an older one at once, so that no reader
    misses both.

    A policy says what it must note of a new entry (`note`), of one that has gone (`forget`), and
    which goes next (`victim`). A third party's is a subclass that is called with the two bounds.
    """

    # What one key takes beside its value, in bytes; the most that any of ours takes on CPython.
    slot_bytes = 512

    def __init__(
        self, max_bytes: int, max_entries: int, timer: Callable[[], float] = monotonic
    ) -> None:
        super().__init__(max_bytes)
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self.slots: dict[Hashable, Slot] = {}
        self.size_bytes = 0
        self.evictions = 0
        self.expired = 0
        self.stores = 0
        self._past_hits = 0
        self._timer = timer
        self._expiry = Expiry()

    def note(self, key: Hashable, slot: Slot, old: Slot | None) -> None:
        """An entry is about to be placed, it may be over an older one of its key."""

    def forget(self, key: Hashable, slot: Slot) -> None:
        """An entry has been evicted or removed."""

    @abstractmethod
    def victim(self) -> Hashable:
        """The key that is evicted next; there is one."""

    def clear_notes(self) -> None:
        """Nothing is kept any more: forget what was noted."""

    def place(self, key: Hashable, slot: Slot, now: float) -> bool:
        """Keep a slot; False, and an older one is dropped, where it is larger than all the room."""
        slots = self.slots
        old = slots.get(key)
        grown = slot.size_bytes if old is None else slot.size_bytes - old.size_bytes
        if self.size_bytes + grown > self.max_bytes or (
            old is None and len(slots) >= self.max_entries
        ):
            if not self._make_room(key, slot.size_bytes, now):
                return False
            old = slots.get(key)
            grown = slot.size_bytes if old is None else slot.size_bytes - old.size_bytes
        slot.used = now
        self.stores += 1
        if old is None:
            self._expiry.add(key, slot.deadline, now)
        else:
            self._past_hits += old.hits
            if slot.deadline < old.deadline:  # a later one is found when the earlier comes
                self._expiry.add(key, slot.deadline, now)
        self.note(key, slot, old)
        slots[key] = slot
        self.size_bytes += grown
        return True

    def hits(self) -> int:
        """How often anything was read; counts every entry."""
        return self._past_hits + sum([slot.hits for slot in list(self.slots.values())])

    def _make_room(self, key: Hashable, size_bytes: int, now: float) -> bool:
        """Evict until it fits; the key's older value may be among what goes."""
        slots = self.slots
        if size_bytes > self.max_bytes:
            if key in slots:
                self._remove(key)
            return False
        while slots:
            old = slots.get(key)
            held, count = (0, 0) if old is None else (old.size_bytes, 1)
            fits = self.size_bytes - held + size_bytes <= self.max_bytes
            if fits and len(slots) - count < self.max_entries:
                break
            self._evict(now)
        return True

    def _evict(self, now: float) -> tuple[Hashable, Slot]:
        expiry = self._expiry
        if expiry.noted > 2 * len(self.slots) + SPARE_NOTES:
            expiry.rebuild(self.slots, now)
        key = expiry.take(self.slots, now) if expiry.first <= now else None
        if key is None:
            key = self.victim()
            self.evictions += 1
        else:
            self.expired += 1
        return key, self._remove(key)

    def _remove(self, key: Hashable) -> Slot:
        slot = self.slots.pop(key)
        self.size_bytes -= slot.size_bytes
        self._past_hits += slot.hits
        self.forget(key, slot)
        if not self.slots:
            self._expiry.clear()
            self.clear_notes()
        return slot

    # The mapping, as `cachetools.Cache` has it.

    def __getitem__(self, key: Hashable) -> Slot:
        return self.slots[key]

    def __setitem__(self, key: Hashable, slot: Slot) -> None:
        if not self.place(key, slot, self._timer()):
            raise ValueError("value too large")

    def __delitem__(self, key: Hashable) -> None:
        self._remove(key)

    def __contains__(self, key: object) -> bool:
        return key in self.slots

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.slots)

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def currsize(self) -> int:
        """The bytes that the slots say they take."""
        return self.size_bytes

    def popitem(self) -> tuple[Hashable, Slot]:
        """Evict one entry; `KeyError` when there is none."""
        if not self.slots:
            raise KeyError(f"{type(self).__name__} is empty")
        return self._evict(self._timer())
