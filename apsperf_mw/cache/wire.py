"""The head of a response served from an entry, in both shells' forms.

A head holds for one second of age and is kept on the entry; nobody else ever gets the kept tuple
in a form that can be changed.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from apsperf_mw.http.status import forward_status, hit_status, key_parameter
from apsperf_mw.http.targeted import OURS_ALONE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Exchange, Header
    from apsperf_mw.http.status import Forward

# What a 304 leaves out: fields that describe the body it does not have (RFC 9110 §15.4.5).
BODY_NAMES = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-range",
    "content-type",
)
# Of each form by itself: Python may be told to refuse a comparison of bytes with text.
BODY_FIELDS: dict[type, frozenset[bytes | str]] = {
    bytes: frozenset(map(str.encode, BODY_NAMES)),
    str: frozenset(BODY_NAMES),
}
T = TypeVar("T", bytes, str)
STATUS = b"cache-status"


def scope_head(entry: Entry, now: float, *, say: bool) -> tuple[Header, ...]:
    """Make the head for an ASGI response anew; with `say`, Cache-Status is its last field."""
    age = int(now - entry.born)
    head = tuple((name.lower(), value) for name, value in _head(entry, age, now, say=say))
    # One assignment, so that threads see a second with its head or the one before.
    entry.scope_wire = (entry.born + age + 1, head)
    return head


def environ_head(entry: Entry, now: float, *, say: bool) -> tuple[tuple[str, str], ...]:
    """Make the head for a WSGI response anew; with `say`, Cache-Status is its last field."""
    age = int(now - entry.born)
    head = as_text(_head(entry, age, now, say=say))
    entry.environ_wire = (entry.born + age + 1, head)
    return head


def as_text(headers: tuple[Header, ...]) -> tuple[tuple[str, str], ...]:
    """The fields as WSGI wants them (PEP 3333): text of Latin-1."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


said = lru_cache(maxsize=256)(as_text)
"""As `as_text`, for the few that we add again and again."""


def as_bytes(headers: Iterable[tuple[str, str]]) -> list[Header]:
    """The fields as the cache reads them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def without_body(headers: tuple[tuple[T, T], ...]) -> tuple[tuple[T, T], ...]:
    """The fields that a 304 bears, of either form of a head."""
    return tuple(field for field in headers if field[0].lower() not in BODY_FIELDS[type(field[0])])


def slim(entry: Entry, head: tuple[tuple[T, T], ...]) -> tuple[tuple[T, T], ...]:
    """A head of the entry's as a 304 bears it, kept for as long as the head holds."""
    source, kept = entry.slim_wire
    if source is not head:
        kept = without_body(head)
        entry.slim_wire = (head, kept)
    return kept  # type: ignore[return-value]


def served_status(x: Exchange, entry: Entry, now: float) -> Header:
    """The Cache-Status of what is served from an entry, but for a plain hit."""
    ttl_s = math.floor(entry.fresh_until - now)
    if x.result == "collapsed":
        reason: Forward = "uri-miss" if x.stale is None and ttl_s >= 0 else "stale"
        return (STATUS, forward_status(reason, ttl_s=ttl_s, collapsed=True))
    if x.result == "revalidated":
        stored = entry is not x.stale
        return (STATUS, forward_status("stale", status=304, ttl_s=ttl_s, stored=stored))
    if x.result == "stale" and x.detail:  # in place of a failure
        return (STATUS, forward_status("stale", status=x.status or None, detail=x.detail))
    return (STATUS, hit_status(ttl_s))


def app_status(x: Exchange, *, stored: bool) -> Header:
    """The Cache-Status of a response that the app made."""
    reason: Forward = "uri-miss" if x.stale is None else "stale"
    return (STATUS, _app_status(x.result, x.detail, reason, stored))


def with_key(status: Header, key: Key) -> Header:
    """The Cache-Status that also says under which key."""
    return (status[0], status[1] + shown(key))


def shown(key: Key) -> bytes:
    """The key as Cache-Status shows it: readable, as the URL that it is of (RFC 9211 §2.8)."""
    if len(key) != 6:
        return key_parameter(f"{key[0]!s}://{key[1]!s}, a long URL")
    scheme, host, root, _, raw, query = map(str, key)
    way = raw if raw.startswith(root) else root + raw
    return key_parameter(f"{scheme}://{host}{way}" + (f"?{query}" if query else ""))


def _head(entry: Entry, age: int, now: float, *, say: bool) -> tuple[Header, ...]:
    kept = [field for field in entry.headers if field[0].lower() != OURS_ALONE]
    told = (*kept, (b"age", b"%d" % max(age, 0)))  # RFC 9111 §5.1
    return (*told, (STATUS, hit_status(int(entry.fresh_until - now)))) if say else told


@lru_cache(maxsize=256)
def _app_status(result: str, detail: str, reason: Forward, stored: bool) -> bytes:
    if result == "bypass":
        if detail == "method":
            return forward_status("method")
        return forward_status("bypass", detail=detail)
    if detail == "collapsed":
        return forward_status(reason) + b"; collapsed=?0"  # RFC 9211 §2.7: waited in vain
    return forward_status(reason, stored=stored, detail=detail)
