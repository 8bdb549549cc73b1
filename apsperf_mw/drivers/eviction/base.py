"""What all eviction policies share: the bounds, the counts, and that the expired go first."""

from __future__ import annotations

from abc import abstractmethod
from time import monotonic
from typing import TYPE_CHECKING

from cachetools import Cache

from apsperf_mw.drivers.eviction.expiry import Expiry

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from apsperf_mw.drivers.base import Slot


class Eviction(Cache):  # type: ignore[type-arg]
    """A mapping of keys to slots that never holds more than so many bytes and entries.

    What is past its time goes before anything else; then the policy chooses. Reads take no lock:
    a reader looks into `slots` and marks what it finds by `slot.hits += 1` and `slot.used = now`.
    Writers take turns. A value is put in the place of an older one at once, so that no reader
    misses both.

    A policy is a subclass, called with the two bounds. It is told of entries that are new
    (`enter`), put in the place of another (`renew`) or gone (`forget`), and asked which goes next
    (`victim`).
    """

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
        self._count = 0
        self._timer = timer
        self._expiry = Expiry()

    @abstractmethod
    def enter(self, key: Hashable, slot: Slot) -> None:
        """A new entry is about to be placed; its `number` is greater than any before."""

    @abstractmethod
    def victim(self) -> Hashable:
        """The key that is evicted next; there is one."""

    def renew(self, slot: Slot, old: Slot) -> None:
        """A slot is about to be placed over an older one, whose number it has got."""

    def forget(self, key: Hashable, slot: Slot) -> None:
        """An entry is gone, evicted or removed."""

    def tidy(self) -> None:
        """Entries went that `victim` had not named: drop notes of them where there are many."""

    def place(self, key: Hashable, slot: Slot, now: float) -> bool:
        """Keep a slot; False, and an older one is dropped, where it is larger than all the room."""
        slots = self.slots
        old = slots.get(key)
        grown = slot.size_bytes
        if old is not None:
            grown -= old.size_bytes
        elif len(slots) >= self.max_entries and grown <= self.max_bytes:
            self._evict(now)
        if self.size_bytes + grown > self.max_bytes:
            if not self._make_room(key, slot.size_bytes, now):
                return False
            old = slots.get(key)
            grown = slot.size_bytes if old is None else slot.size_bytes - old.size_bytes
        slot.used = now
        self.stores += 1
        self.size_bytes += grown
        if old is None:
            self._count = slot.number = self._count + 1
            self._expiry.add(key, slot, now)
            self.enter(key, slot)
        else:
            self._renew(key, slot, old, now)
        slots[key] = slot
        return True

    def remove(self, key: Hashable) -> bool:
        """Forget a key; whether there was one."""
        if key not in self.slots:
            return False
        self._take_out(key)
        self.tidy()
        return True

    def shed(self, share: float, now: float) -> int:
        """Evict this share of the bytes, as for something new; how many that were."""
        before = self.size_bytes
        while self.slots and self.size_bytes > before * (1 - share):
            self._evict(now)
        return before - self.size_bytes

    def hits(self) -> int:
        """How often anything was read; goes through all entries."""
        return self._past_hits + sum([slot.hits for slot in list(self.slots.values())])

    def _make_room(self, key: Hashable, size_bytes: int, now: float) -> bool:
        """Evict until it fits; the key's older value may be among what goes."""
        slots = self.slots
        if size_bytes > self.max_bytes:
            self.remove(key)
            return False
        while slots:
            old = slots.get(key)
            held = 0 if old is None else old.size_bytes
            if self.size_bytes - held + size_bytes <= self.max_bytes:
                break
            self._evict(now)
        return True

    def _renew(self, key: Hashable, slot: Slot, old: Slot, now: float) -> None:
        """Have the slot take on what was noted of an older one, and count as used since."""
        self._past_hits += old.hits
        slot.number = old.number
        slot.due = old.due
        slot.seen = -1
        if slot.deadline < old.deadline:
            self._expiry.drop(old)
            self._expiry.add(key, slot, now)
        self.renew(slot, old)

    def _evict(self, now: float) -> tuple[Hashable, Slot]:
        expiry = self._expiry
        key = expiry.take(self.slots, now) if expiry.first <= now else None
        if key is None:
            key = self.victim()
            self.evictions += 1
            return key, self._take_out(key)
        self.expired += 1
        slot = self._take_out(key)
        self.tidy()
        return key, slot

    def _take_out(self, key: Hashable) -> Slot:
        slot = self.slots.pop(key)
        self.size_bytes -= slot.size_bytes
        self._past_hits += slot.hits
        self._expiry.drop(slot)
        self.forget(key, slot)
        return slot

    # The mapping, as `cachetools.Cache` has it.

    def __getitem__(self, key: Hashable) -> Slot:
        return self.slots[key]

    def __setitem__(self, key: Hashable, slot: Slot) -> None:
        if not self.place(key, slot, self._timer()):
            raise ValueError("value too large")

    def __delitem__(self, key: Hashable) -> None:
        if not self.remove(key):
            raise KeyError(key)

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
