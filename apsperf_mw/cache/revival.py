"""Stale entries that answer after all: still good by the app's word, or in place of its failure."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING

from apsperf_mw.cache.flights import Outcome
from apsperf_mw.cache.intake import refuses_storing
from apsperf_mw.cache.making import entry_of
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.rules.answer import read
from apsperf_mw.cache.rules.renewal import matches, outdated, validators
from apsperf_mw.cache.rules.reuse import STALE_STATUSES, stands_in
from apsperf_mw.http.fields import clean_headers

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence
    from typing import Any

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.faces import Face
    from apsperf_mw.cache.flow import Cache
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.cache.rules.answer import Head
    from apsperf_mw.exchange import Exchange, Header

    Later = Coroutine[Any, Any, None] | None

# An entry that gathers more tags than this, 304 by 304, is fetched anew.
MOST_TAGS = 1000
# What a client may have asked by itself; ours take its place (RFC 9111 §4.3.1).
CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})

# What a request of our own never takes over, though responses vary on it.
PERSONAL = CONDITIONS | {b"authorization", b"cookie", b"if-range", b"range"}


def questions(x: Exchange) -> list[Header]:
    """The fields that ask the app whether the stale entry is still good; empty where not asked."""
    if x.stale is None or x.flight is None:
        return []
    return validators(x.stale)


def revive(cache: Cache, x: Exchange, headers: Iterable[Sequence[bytes]]) -> Entry | None:
    """The entry that answers in place of the app's response, or None: the response counts."""
    entry = x.stale
    if entry is None:
        return None
    if x.status == 304:
        # Where there was nothing to ask by, the client asked, and of what it holds itself.
        asked = x.flight is not None and validators(entry)
        return _renewed(cache, x, entry, read(headers)) if asked else None
    return fallback(cache, x, f"error {x.status}") if x.status in STALE_STATUSES else None


def fallback(cache: Cache, x: Exchange, detail: str) -> Entry | None:
    """The stale entry in place of a failure of the app, if it may (RFC 5861 §4)."""
    entry = x.stale
    if entry is None or x.key is None or not stands_in(entry, monotonic()):
        return None
    if not cache.good(x.key, entry):
        return None  # purged meanwhile
    x.result, x.detail, x.template = "stale", detail, entry.route
    return entry


def in_doubt(x: Exchange) -> Entry | None:
    """The entry to give where reading the app's 304 to our own question has failed."""
    entry = x.stale
    if entry is None or x.method != "GET" or x.status != 304 or not validators(entry):
        return None
    x.result, x.template = "revalidated", entry.route
    return entry


def land(cache: Cache, x: Exchange, entry: Entry, face: Face) -> Later:
    """End the flight of a revived entry: store it where it was renewed."""
    flight, x.flight = x.flight, None
    if flight is None:
        return None
    if x.result != "revalidated":
        cache.flights.land(flight, Outcome.STALE, entry)
        return None
    if entry is not x.stale and not refuses_storing(x):
        return cache.keep(x, flight, entry, face)
    cache.flights.land(flight, Outcome.UNCACHEABLE)
    return cache.shelf.drop(x, flight.key, entry, face) if entry is x.stale else None


def heed_head(cache: Cache, x: Exchange, headers: Iterable[Sequence[bytes]], face: Face) -> Later:
    """Bring an entry up to date by the answer to a HEAD, or outdate it (RFC 9111 §4.3.5)."""
    entry = x.stale
    if x.method != "HEAD" or entry is None or x.key is None or x.status != 200:
        return None
    return _heed(cache, x, x.key, entry, read(headers), face)


async def _heed(cache: Cache, x: Exchange, key: Key, entry: Entry, said: Head, face: Face) -> None:
    found = await cache.shelf.find(x, face, key)
    if found is None or found.body != entry.body or abs(found.born - entry.born) > 1:
        return  # void or replaced since it was looked up
    if not matches(found, said):
        await cache.shelf.keep(x, key, outdated(found), face)
        return
    renewed, storable = _updated(cache, x, found, said, found.began)
    if not storable:
        await cache.shelf.drop(x, key, found, face)
    elif cache.good(key, renewed) and not refuses_storing(x):
        cache.rests.end(key, renewed.values)
        await cache.shelf.keep(x, key, renewed, face)


def _renewed(cache: Cache, x: Exchange, entry: Entry, said: Head) -> Entry:
    """The entry that a 304 is about, brought up to date.

    Where it may not be kept it takes the place of `x.stale`: it is good for this request alone.
    """
    assert x.flight is not None
    x.result, x.template = "revalidated", entry.route
    renewed, storable = _updated(cache, x, entry, said, x.flight.began)
    if not storable:
        x.stale = renewed
    return renewed


def _updated(cache: Cache, x: Exchange, entry: Entry, said: Head, began: int) -> tuple[Entry, bool]:
    """The entry with the newer fields, and whether it may be kept so."""
    plan = x.plan or Plan()
    answer = cache.maker.renewed(x, entry, said, plan, time())
    refused = answer.terms.refusal or plan.kept_out or len(answer.tags) > MOST_TAGS
    storable = not refused and clean_headers(answer.headers)
    values = cache.selection.values(x, answer.terms.vary)
    renewed = entry_of(x, answer, entry.body, began, monotonic(), values)
    renewed.made_s = max(renewed.made_s, entry.made_s)  # what it takes to make it whole
    return renewed, storable
