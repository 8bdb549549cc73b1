"""The caches that are compared: ours as it is shipped, and those of other packages."""

from __future__ import annotations

from importlib.util import find_spec
from operator import itemgetter
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import cachetools

from apsperf_mw.drivers.memory import SLOT_BYTES, MemoryDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    Get = Callable[[Hashable], object]
    Put = Callable[[Hashable, int, float], object]

FOREVER_S = 1e8
BOUNDLESS = 1 << 60
THEIRS = ("theine", "cachebox")


class Cache(NamedTuple):
    """`get(key)` gives None where there is nothing; `put(key, size_bytes, fill_s)` keeps."""

    get: Get
    put: Put


def ours(policy: str, room: int, *, by_bytes: bool) -> Cache:
    """The memory driver, read as the suite reads it; what it adds to a size is taken off."""
    entries = BOUNDLESS if by_bytes else room
    driver = MemoryDriver(room if by_bytes else BOUNDLESS, entries, policy)
    find, keep = driver.find, driver.keep

    def get(key: Hashable) -> object:
        slot = find(key)
        if slot is None:
            return None
        slot.hits += 1
        slot.used = monotonic()
        return slot

    def put(key: Hashable, size_bytes: int, fill_s: float) -> None:
        keep(key, None, size_bytes - SLOT_BYTES, FOREVER_S, fill_s)

    return Cache(get, put)


def of_cachetools(kind: str, room: int, *, by_bytes: bool) -> Cache:
    """One of cachetools'; a value is its size."""
    make: Callable[..., Any] = getattr(cachetools, kind)
    options = {"ttl": FOREVER_S} if kind == "TTLCache" else {}
    size = itemgetter(0) if by_bytes else None
    cache = make(room, getsizeof=size, **options)

    def put(key: Hashable, size_bytes: int, fill_s: float) -> None:  # noqa: ARG001
        if not by_bytes or size_bytes <= room:
            cache[key] = (size_bytes,)

    return Cache(cache.get, put)


def of_theine(kind: str, room: int, *, by_bytes: bool) -> Cache:  # noqa: ARG001
    """Theine's W-TinyLFU, which knows no bytes."""
    import theine

    cache: Any = theine.Cache(room)

    def get(key: Hashable) -> object:
        return cache.get(key)[0]

    def put(key: Hashable, size_bytes: int, fill_s: float) -> None:  # noqa: ARG001
        cache.set(key, True)

    return Cache(get, put)


def of_cachebox(kind: str, room: int, *, by_bytes: bool) -> Cache:  # noqa: ARG001
    """One of cachebox's, in Rust; bounded by entries."""
    import cachebox

    cache = getattr(cachebox, kind)(room)

    def put(key: Hashable, size_bytes: int, fill_s: float) -> None:  # noqa: ARG001
        cache[key] = True

    return Cache(cache.get, put)


class Contender(NamedTuple):
    """A cache by its name in the tables; `make` is given `kind`, the room and its unit."""

    name: str
    make: Callable[..., Cache]
    kind: str
    knows_bytes: bool = True

    def cache(self, room: int, *, by_bytes: bool) -> Cache:
        """An empty cache with so much room."""
        return self.make(self.kind, room, by_bytes=by_bytes)


BASE = Contender("LRU", of_cachetools, "LRUCache")
OURS = tuple(Contender(name, ours, name) for name in ("gdsf", "lru", "sieve"))
OTHERS = (
    Contender("LFU", of_cachetools, "LFUCache"),
    Contender("TTL", of_cachetools, "TTLCache"),
    Contender("theine", of_theine, "", knows_bytes=False),
    Contender("cachebox LFU", of_cachebox, "LFUCache", knows_bytes=False),
)


def contenders() -> tuple[Contender, ...]:
    """All that are installed: cachetools' LRU first, then ours, then the others."""
    there = [each for each in OTHERS if each.name.partition(" ")[0] not in missing()]
    return (BASE, *OURS, *there)


def missing() -> list[str]:
    """The packages that are not installed."""
    return [name for name in THEIRS if find_spec(name) is None]
