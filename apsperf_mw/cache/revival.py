"""Stale entries that answer after all: still good by the app's word, or in place of its failure."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING

from apsperf_mw.cache.flights import Outcome
from apsperf_mw.cache.making import made
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.rules.answer import read, stored_headers
from apsperf_mw.cache.rules.renewal import matches, validators
from apsperf_mw.cache.rules.reuse import STALE_STATUSES, stands_in

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence
    from typing import Any

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.flow import Cache
    from apsperf_mw.cache.rules.answer import Head
    from apsperf_mw.drivers.faces import Face
    from apsperf_mw.exchange import Exchange, Header

    Later = Coroutine[Any, Any, None] | None

# What a client may have asked by itself; ours take its place (RFC 9111 §4.3.1).
CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})


def questions(x: Exchange) -> list[Header]:
    """The fields that ask the app whether the stale entry is still good; empty where not asked."""
    if x.stale is None or x.flight is None:
        return []
    return validators(x.stale)


def revive(cache: Cache, x: Exchange, headers: Iterable[Sequence[bytes]]) -> Entry | None:
    """The entry that answers in place of the app's response, or None: the response counts."""
    entry = x.stale
    if entry is None or x.flight is None:
        return None
    if x.status == 304:
        return _renewed(cache, x, entry, read(headers))
    return fallback(x, f"error {x.status}") if x.status in STALE_STATUSES else None


def fallback(x: Exchange, detail: str) -> Entry | None:
    """The stale entry in place of a failure of the app, if it may (RFC 5861 §4)."""
    entry = x.stale
    if entry is None or x.flight is None or not stands_in(entry, monotonic()):
        return None
    x.result, x.detail, x.template = "stale", detail, entry.route
    return entry


def land(cache: Cache, x: Exchange, entry: Entry, face: Face) -> Later:
    """End the flight of a revived entry: store it where it was renewed."""
    flight, x.flight = x.flight, None
    if flight is None:
        return None
    if x.result == "revalidated":
        if entry.fresh_until > entry.born or entry.strict or entry.etag or entry.last_modified:
            return cache.keep(x, flight, entry, face)
        cache.flights.land(flight, Outcome.UNCACHEABLE)
        return cache.erase(flight.key, face)
    cache.flights.land(flight, Outcome.STALE, entry)
    return None


def heed_head(cache: Cache, x: Exchange, headers: Iterable[Sequence[bytes]], face: Face) -> Later:
    """Bring a stale entry up to date by the answer to a HEAD, or forget it (RFC 9111 §4.3.5)."""
    entry = x.stale
    if x.method != "HEAD" or entry is None or x.key is None or x.status != 200:
        return None
    said = read(headers)
    if not matches(entry, said):
        return cache.erase(x.key, face)
    renewed = _updated(cache, x, entry, said, cache.tags.clock)
    if renewed is None:
        return cache.erase(x.key, face)
    return cache.shelf.keep(x, x.key, renewed, face)


def _renewed(cache: Cache, x: Exchange, entry: Entry, said: Head) -> Entry:
    """The entry that a 304 is about, brought up to date."""
    assert x.flight is not None
    x.result, x.template = "revalidated", entry.route
    renewed = _updated(cache, x, entry, said, x.flight.began)
    if renewed is not None:
        return renewed
    # It is good for this request, by the app's word, and for no other.
    cache.drop(x, Outcome.UNCACHEABLE)
    return entry


def _updated(cache: Cache, x: Exchange, entry: Entry, said: Head, began: int) -> Entry | None:
    plan = x.plan or Plan()
    answer = cache.maker.renewed(x, entry, said, plan, time())
    if answer.terms.refusal:
        return None
    return made(x, answer, stored_headers(answer), entry.body, began, monotonic())
