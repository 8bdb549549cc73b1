"""Where the variants of a URL stand: an entry under its key, or a fork that leads to them."""

from __future__ import annotations

import math
from os import urandom
from time import monotonic
from typing import TYPE_CHECKING

from msgspec.structs import replace

from apsperf_mw.cache.entry import Entry, Fork
from apsperf_mw.cache.parts import combined
from apsperf_mw.http.normal import first_choice

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.cache.entry import Values
    from apsperf_mw.cache.faces import Face
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.settings import CacheSettings

# What was learned of forks is forgotten all at once past this many URLs.
MOST_LEARNED = 4096
# A fork outlives its variants; each new one renews it.
# Where these names alone select, a variant is also found by its own language. The mark cannot
# begin a value of the field.
BY_LANGUAGE = (b"accept-language",)
FORK_TTL_S = 86_400.0
# Not every store takes less.
LEAST_TTL_S = 1.0


class Shelf:
    """Finds and keeps entries with regard to Vary (RFC 9111 §4.1).

    A URL whose responses vary has a `Fork` under its key. Its names are the union of all that its
    responses varied on, so that a variant found by them matches its own Vary too.
    """

    def __init__(
        self,
        settings: CacheSettings,
        values: Callable[[Exchange, tuple[bytes, ...]], Values],
        good: Callable[[Key, Entry], bool],
    ) -> None:
        self._values = values
        self._good = good
        self._max_variants = settings.max_variants
        self._keep_stale_s = settings.keep_stale_s
        self.learned: dict[Key, tuple[bytes, ...]] = {}

    def names(self, key: Key) -> tuple[bytes, ...]:
        """The field names that this URL was last seen to vary on."""
        return self.learned.get(key, ()) if self.learned else ()

    async def find(self, x: Exchange, face: Face, key: Key) -> Entry | None:
        """The entry that this request selects."""
        record = await face.read(key)
        if isinstance(record, Fork):
            self._learn(key, record.names)
            fork = record
            record = await face.read(fork.key(key, self._values(x, fork.names)))
            if record is None and fork.names == BY_LANGUAGE:
                record = await self._find_language(x, face, key, fork)
        return record if isinstance(record, Entry) else None

    async def _find_language(
        self, x: Exchange, face: Face, key: Key, fork: Fork
    ) -> Entry | Fork | None:
        """The variant in the language that the request wants most, whatever else it would take."""
        wanted = first_choice(b",".join(x.fields(b"accept-language")))
        return None if wanted is None else await face.read(fork.key(key, (b"=" + wanted,)))

    async def find_part(self, face: Face, key: Key) -> Entry | None:
        """The part that is stored of a URL's body."""
        record = await face.read(part_key(key))
        return record if isinstance(record, Entry) else None

    async def keep(self, x: Exchange, key: Key, entry: Entry, face: Face) -> None:
        """Keep the entry, in a fork where responses of its URL vary."""
        ttl_s = keeps_s(entry, self._keep_stale_s)
        if entry.span is not None:
            held = await self.find_part(face, key)
            if held is not None and not self._good(key, held):
                held = None
            entry = combined(held, entry)
            if entry.span is not None:
                await face.write(part_key(key), entry, ttl_s)
                return
        found = await face.read(key)
        if not isinstance(found, Fork) and not entry.vary:
            await face.write(key, entry, ttl_s)
            return
        fork = grown(found if isinstance(found, Fork) else None, entry.vary)
        values = self._values(x, fork.names)
        fork, crowded = self._joined(fork, values)
        for crowd in crowded:
            await face.erase(fork.key(key, crowd))
        self._learn(key, fork.names)
        await face.write(fork.key(key, values), entry, ttl_s)
        if fork.names == BY_LANGUAGE and (language := language_of(entry)) is not None:
            await face.write(fork.key(key, (b"=" + language,)), entry, ttl_s)
        await face.write(key, fork, max(FORK_TTL_S, ttl_s))

    async def drop(self, x: Exchange, key: Key, entry: Entry, face: Face) -> None:
        """Forget the variant that this request selects, and no other one."""
        found = await face.read(key)
        if not isinstance(found, Fork):
            await face.erase(key)
            return
        await face.erase(found.key(key, self._values(x, found.names)))
        if found.names == BY_LANGUAGE and (language := language_of(entry)) is not None:
            await face.erase(found.key(key, (b"=" + language,)))

    def _joined(self, fork: Fork, values: Values) -> tuple[Fork, tuple[Values, ...]]:
        """The fork with this variant as its youngest, and the oldest ones over the limit."""
        others = tuple(known for known in fork.variants if known != values)
        over = max(len(others) + 1 - self._max_variants, 0)
        return Fork(fork.names, fork.stamp, (*others[over:], values)), others[:over]

    def _learn(self, key: Key, names: tuple[bytes, ...]) -> None:
        if len(self.learned) >= MOST_LEARNED:
            self.learned = {}
        self.learned[key] = names


def language_of(entry: Entry) -> bytes | None:
    """The one language that the entry says it is in."""
    said = [value for name, value in entry.headers if name.lower() == b"content-language"]
    return said[0].strip().lower() if len(said) == 1 and b"," not in said[0] else None


def part_key(key: Key) -> Key:
    """Where the part that is stored of a URL's body stands; no variant's key has that form."""
    return (key, "part")


def kept_s(entry: Entry, keep_stale_s: float) -> float:
    """How long an entry is of use: fresh, then served stale, or as what the app is asked about."""
    until, error_until = entry.fresh_until, entry.error_until
    lasting = error_until == math.inf
    if lasting or entry.etag is not None or entry.last_modified is not None:
        until += keep_stale_s
    if entry.stale_until > until:
        until = entry.stale_until
    if error_until > until and not lasting:
        until = error_until
    return until - monotonic()


def keeps_s(entry: Entry, keep_stale_s: float) -> float:
    """As `kept_s`, in a form that every store takes."""
    return max(kept_s(entry, keep_stale_s), LEAST_TTL_S)


def faded(entry: Entry, keep_stale_s: float, now: float) -> Entry:
    """A stale entry as what it still is, for a store in this process does not drop it in time."""
    if now < entry.fresh_until + keep_stale_s:
        return entry
    until = 0.0 if math.isinf(entry.error_until) else entry.error_until
    return replace(entry, etag=None, last_modified=None, error_until=until)


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
