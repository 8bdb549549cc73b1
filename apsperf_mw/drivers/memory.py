"""The memory driver: bounded by bytes and entries, read without a lock."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Self

from apsperf_mw.drivers.base import LocalDriver, Slot
from apsperf_mw.drivers.eviction import POLICIES, Eviction
from apsperf_mw.drivers.urls import url_texts, whole_number
from apsperf_mw.errors import DriverError, SettingError
from apsperf_mw.runtime.forks import watch
from apsperf_mw.runtime.threads import RLock
from apsperf_mw.strategies import strategy

if TYPE_CHECKING:
    from collections.abc import Hashable
    from contextlib import AbstractContextManager

DEFAULT_MAX_BYTES = 64 * 1024 * 1024
DEFAULT_MAX_ENTRIES = 65_536
DEFAULT_POLICY = "gdsf"
# What the mapping and the policy's notes take for one key at most, measured on CPython 3.11.
SLOT_BYTES = 640
# What it took to make a value, where nobody says; and what counts at least and at most.
USUAL_COST_S, LEAST_COST_S, MOST_COST_S = 0.01, 0.0001, 10.0


class MemoryDriver(LocalDriver):
    """Keeps objects in this process. Reads take no lock; writes are serialised.

    `policy` names what evicts: gdsf, lru, sieve, or an installed package's.
    """

    def __init__(
        self,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_entries: int = DEFAULT_MAX_ENTRIES,
        policy: str = DEFAULT_POLICY,
    ) -> None:
        self._lock = RLock()
        self._cache = policy_of(policy)(max_bytes, max_entries)
        # Bound at once: the shortest way from a key to what is kept.
        self.find = self._cache.slots.get  # type: ignore[assignment,method-assign]
        watch(self)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """`memory://?max_bytes=67108864&max_entries=65536&policy=gdsf`; all may be left out."""
        options = url_texts(url, ("max_bytes", "max_entries", "policy"))
        policy = options.pop("policy", DEFAULT_POLICY)
        numbers = {name: whole_number(url, name, value) for name, value in options.items()}
        try:
            return cls(**numbers, policy=policy)
        except SettingError as fault:
            raise DriverError(f"{url}: {fault}") from None

    def find(self, key: Hashable) -> Slot | None:
        """What is kept under the key, even past its time; the reader marks its use."""
        return self._cache.slots.get(key)

    def keep(
        self, key: Hashable, value: object, size_bytes: int, ttl_s: float, cost_s: float = 0.0
    ) -> bool:
        """Keep an object; what does not fit at all is declined, and an older value is dropped."""
        if ttl_s <= 0:
            self.drop(key)
            return False
        now = monotonic()
        if not LEAST_COST_S <= cost_s <= MOST_COST_S:
            cost_s = bounded(cost_s)
        slot = Slot(value, size_bytes + SLOT_BYTES, now + ttl_s, cost_s)
        with self._lock:
            return self._cache.place(key, slot, now)

    def drop(self, key: Hashable) -> bool:
        """Forget a key; whether there was one."""
        with self._lock:
            return self._cache.remove(key)

    def get(self, key: bytes) -> bytes | None:
        """The value, or None where there is none or its time is over."""
        slot = self.find(key)
        now = monotonic()
        if slot is None or slot.deadline <= now:
            return None
        slot.hits += 1
        slot.used = now
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
            for key in list(self._cache.slots):
                if not prefix or (isinstance(key, bytes) and key.startswith(prefix)):
                    self._cache.remove(key)

    def shed(self, share: float) -> int:
        """Give up this share of what is kept, the least worth first; the bytes that it held."""
        with self._lock:
            return self._cache.shed(share, monotonic())

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
        """`entries`, `size_bytes` (as counted, overhead included), and what came to pass.

        That is `hits`, `stores`, `evictions` of what was still good, and `expired` entries evicted.
        """
        cache = self._cache
        return {
            "entries": len(cache.slots),
            "size_bytes": cache.size_bytes,
            "evictions": cache.evictions,
            "expired": cache.expired,
            "stores": cache.stores,
            "hits": cache.hits(),
        }


def bounded(cost_s: float) -> float:
    """What it took to make a value, as far as it counts."""
    return min(max(cost_s, LEAST_COST_S), MOST_COST_S) if cost_s > 0.0 else USUAL_COST_S


def policy_of(name: str) -> type[Eviction]:
    """The eviction policy of this name, ours or an installed package's."""
    found = strategy("eviction", name, POLICIES)
    if isinstance(found, type) and issubclass(found, Eviction):
        return found
    raise SettingError(f"policy {name!r} is {found!r}; accepted: a subclass of Eviction")
