"""What the cache makes of a request: the screening, the key, and what is stored under it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from apsperf_mw.cache.rules.reuse import Use, use_of, wanted_use, wants_of
from apsperf_mw.cache.screen import (
    AUTHORIZATION,
    BODY,
    CONDITIONAL,
    COOKIE,
    CREDENTIAL,
    DIRECTIVES,
    FORWARDED,
    GUARDED,
    MALFORMED,
    PRECONDITION,
    RANGE,
    TRACED,
    table,
)
from apsperf_mw.explain.steps import HOUSE, Explanation, Step, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.flow import Cache
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.shell import Gate

FLAGS: dict[int, tuple[str, str, str]] = {
    COOKIE: ("cookie", "served and stored only what is open to cookies", HOUSE),
    AUTHORIZATION: ("authorization", "served and stored only with leave", "RFC 9111 §3.5"),
    CONDITIONAL: ("conditional", "may be answered by 304", "RFC 9110 §13.2.2"),
    RANGE: ("range", "may be answered by a part", "RFC 9110 §14.2"),
    DIRECTIVES: ("directives", "the client's own directives count", "RFC 9111 §5.2.1"),
    TRACED: ("traceparent", "no matter to the cache", HOUSE),
    BODY: ("body", "goes round the cache", HOUSE),
    PRECONDITION: ("precondition", "goes round the cache", "RFC 9110 §13.1"),
    CREDENTIAL: ("credential", "goes round the cache", HOUSE),
    FORWARDED: ("forwarded", "goes round the cache, for a client may have set it", HOUSE),
    MALFORMED: ("host", "more than one Host: goes round the cache", "RFC 9110 §7.2"),
}
DETOURS = BODY | PRECONDITION | CREDENTIAL | FORWARDED | MALFORMED
STOPS: dict[str, tuple[str, str]] = {
    "method": ("not a method that is cached", "RFC 9111 §2"),
    "host": ("not one of cache.hosts", HOUSE),
}


async def foreseen(gate: Gate, x: Exchange, url: str) -> Explanation:
    """What would become of the request; it is not sent, and changes nothing."""
    admitted = gate.admit(x)
    steps = list(screened(gate, x, admitted=admitted))
    if not admitted or x.key is None:
        return Explanation(url, "the app would be asked, and its response not stored", steps)
    entry = await gate.cache.shelf.find(x, gate.face, x.key)
    if x.wants is None and x.flags & DIRECTIVES:
        x.wants = wants_of(x.fields(b"cache-control"), x.fields(b"pragma"))
    found = list(judged(gate.cache, x, x.key, entry, monotonic()))
    stopped = any(step.stops for step in found)
    outcome = "the app would be asked" if stopped else "would be served from the cache"
    return Explanation(url, outcome, steps + found)


def screened(gate: Gate, x: Exchange, *, admitted: bool) -> Iterator[Step]:
    """What of the request decides whether the cache may answer it, and under which key."""
    if not gate.enabled:
        yield Step("request", "cache.enabled", "off", HOUSE, stops=True)
    yield Step("request", "method", shown(x.method), "RFC 9110 §9.2.3")
    for flag, (name, finding, source) in FLAGS.items():
        if x.flags & flag:
            named = ", ".join(_named(gate, x, flag))
            told = f"{finding}: {named}" if named else finding
            yield Step("request", name, told, source, stops=bool(flag & DETOURS))
    if not admitted and x.detail in STOPS:
        finding, source = STOPS[x.detail]
        yield Step("request", x.detail, finding, source, stops=True)
    if admitted and x.key is not None:
        yield Step("key", "key", shown(" ".join(map(str, x.key))), "RFC 9111 §2")


def _named(gate: Gate, x: Exchange, flag: int) -> Iterator[str]:
    """The names of the request's fields that raise this flag; their values may be secrets."""
    for name, raised in table(gate.cache.settings.cache).items():
        if raised == flag and x.fields(name.encode("latin-1")):
            yield name


def judged(cache: Cache, x: Exchange, key: Key, entry: Entry | None, now: float) -> Iterator[Step]:
    """What is stored for the request, and whether it may be used."""
    if entry is None:
        yield Step("lookup", "entry", "none is stored", "RFC 9111 §4", stops=True)
        return
    names = ", ".join(name.decode("latin-1") for name in entry.vary)
    said = f"status {entry.status}, {len(entry.body)} bytes"
    yield Step("lookup", "entry", said, "RFC 9111 §4")
    if names:
        yield Step("lookup", "variant", f"selected by {shown(names)}", "RFC 9111 §4.1")
    closed = x.flags & GUARDED & ~entry.open_to
    if closed:
        yield Step("lookup", "guarded", "not open to this request", "RFC 9111 §3.5", stops=True)
    yield _aged(x, entry, now)
    yield from _windows(entry, now)
    yield from _purged(cache, key, entry)


def _aged(x: Exchange, entry: Entry, now: float) -> Step:
    age_s, life_s = now - entry.born, entry.fresh_until - entry.born
    use = use_of(entry, now) if x.wants is None else wanted_use(entry, x.wants, now)
    finding = f"age {age_s:.0f} s of {life_s:.0f} s: {WORDS[use]}"
    return Step("lookup", "age", finding, "RFC 9111 §4.2", stops=use is Use.VALIDATE)


WORDS = {
    Use.FRESH: "fresh",
    Use.STALE: "stale, served while it is fetched anew",
    Use.VALIDATE: "stale, the app is asked",
}


def _windows(entry: Entry, now: float) -> Iterator[Step]:
    """For how long it may be served stale."""
    if entry.strict:
        yield Step("lookup", "strict", "never served stale", "RFC 9111 §4.2.4")
        return
    for name, until in (
        ("stale-while-revalidate", entry.stale_until),
        ("stale-if-error", entry.error_until),
    ):
        if until > entry.fresh_until:
            left = f"{max(until - now, 0):.0f} s left"
            section = "RFC 5861 §3" if name == "stale-while-revalidate" else "RFC 5861 §4"
            yield Step("lookup", name, left, section)


def _purged(cache: Cache, key: Key, entry: Entry) -> Iterator[Step]:
    tags = f" (tags: {shown(', '.join(entry.tags))})" if entry.tags else ""
    if cache.good(key, entry):
        yield Step("lookup", "purge", f"not purged{tags}", HOUSE)
        return
    hard = cache.tags.dead(key, entry)
    finding = "purged hard: not used" if hard else "purged: the app is asked whether it is good"
    yield Step("lookup", "purge", finding + tags, HOUSE, stops=True)
