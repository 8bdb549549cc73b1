"""Where the variants of a URL stand: an entry under its key, or a fork that leads to them."""

from __future__ import annotations

from os import urandom
from time import monotonic
from typing import TYPE_CHECKING

from apsperf_mw.cache.entry import Entry, Fork, values_of

if TYPE_CHECKING:
    from apsperf_mw.cache.entry import Values
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.drivers.faces import Face
    from apsperf_mw.exchange import Exchange

# What was learned of forks is forgotten all at once past this many URLs.
MOST_LEARNED = 4096
# A fork outlives its variants; each new one renews it.
FORK_TTL_S = 86_400.0


class Shelf:
    """Finds and keeps entries with regard to Vary (RFC 9111 §4.1).

    A URL whose responses vary has a `Fork` under its key. Its names are the union of all that its
    responses varied on, so that a variant found by them matches its own Vary too.
    """

    def __init__(self, max_variants: int) -> None:
        self._max_variants = max_variants
        self._learned: dict[Key, tuple[bytes, ...]] = {}

    def names(self, key: Key) -> tuple[bytes, ...]:
        """The field names that this URL was last seen to vary on."""
        return self._learned.get(key, ()) if self._learned else ()

    async def find(self, x: Exchange, face: Face, key: Key) -> Entry | None:
        """The entry that this request selects."""
        record = await face.read(key)
        if isinstance(record, Fork):
            self._learn(key, record.names)
            record = await face.read(record.key(key, values_of(x, record.names)))
        return record if isinstance(record, Entry) else None

    async def keep(self, x: Exchange, key: Key, entry: Entry, face: Face) -> None:
        """Keep the entry, in a fork where responses of its URL vary."""
        ttl_s = entry.fresh_until - monotonic()
        found = await face.read(key)
        if not isinstance(found, Fork) and not entry.vary:
            await face.write(key, entry, ttl_s)
            return
        fork = grown(found if isinstance(found, Fork) else None, entry.vary)
        values = values_of(x, fork.names)
        fork, crowded = self._joined(fork, values)
        for crowd in crowded:
            await face.erase(fork.key(key, crowd))
        self._learn(key, fork.names)
        await face.write(fork.key(key, values), entry, ttl_s)
        await face.write(key, fork, FORK_TTL_S)

    def _joined(self, fork: Fork, values: Values) -> tuple[Fork, tuple[Values, ...]]:
        """The fork with this variant as its youngest, and the oldest ones over the limit."""
        others = tuple(known for known in fork.variants if known != values)
        over = max(len(others) + 1 - self._max_variants, 0)
        return Fork(fork.names, fork.stamp, (*others[over:], values)), others[:over]

    def _learn(self, key: Key, names: tuple[bytes, ...]) -> None:
        if len(self._learned) >= MOST_LEARNED:
            self._learned = {}
        self._learned[key] = names


def grown(fork: Fork | None, names: tuple[bytes, ...]) -> Fork:
    """The fork, or a new one where it does not cover these names yet."""
    if fork is None:
        return Fork(names, stamp())
    if set(names) <= set(fork.names):
        return fork
    return Fork(tuple(sorted({*fork.names, *names})), stamp())


def stamp() -> int:
    """A number that no other fork has had, in this process or another."""
    return int.from_bytes(urandom(7))
