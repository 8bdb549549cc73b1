"""A response's head on its way into the cache, read in one pass."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.cache.rules.terms import LASTING_ERRORS, NO_NAMES
from apsperf_mw.http.dates import parse_http_date
from apsperf_mw.http.fields import HOP_BY_HOP, clean_names, parse_age
from apsperf_mw.http.targeted import OURS_ALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from apsperf_mw.cache.rules.terms import Terms
    from apsperf_mw.exchange import Header

    Noted = dict[bytes, list[bytes]]

# How a field is read: kept, noted by its name, part of what sets the terms, there by its value.
KEPT, NOTED, POLICY, VALUE = 1, 2, 4, 8
PLAIN = KEPT
FIELDS: dict[bytes, int] = {
    **dict.fromkeys(HOP_BY_HOP, 0),
    b"access-control-allow-origin": KEPT | POLICY | VALUE,
    b"cache-control": KEPT | POLICY | VALUE,
    b"cdn-cache-control": KEPT | POLICY | VALUE,
    b"cache-status": KEPT | POLICY | VALUE,
    b"vary": KEPT | POLICY | VALUE,
    OURS_ALONE: KEPT | POLICY | VALUE,
    b"connection": POLICY | VALUE,
    b"set-cookie": KEPT | POLICY,
    b"content-range": KEPT | NOTED,
    b"expires": KEPT | NOTED | POLICY,
    b"age": NOTED,  # counted anew
    b"content-length": KEPT | NOTED,
    b"date": KEPT | NOTED,
    b"etag": KEPT | NOTED,
    b"last-modified": KEPT | NOTED,
    b"cache-tag": KEPT | NOTED,
    b"surrogate-key": KEPT | NOTED,
}
# Noted fields that mean nothing but their value.
SIMPLY_NOTED = (b"etag", b"last-modified", b"content-length")
SIMPLE = frozenset(SIMPLY_NOTED)
HEURISTIC_SHARE = 0.1  # RFC 9111 §4.2.2


class Head(Struct, eq=False):
    """The fields to keep, those that set the terms (lower case), and those noted by name."""

    kept: list[Header]
    policy: list[Header]
    noted: Noted

    def first(self, name: bytes) -> bytes | None:
        """The noted field's first line."""
        lines = self.noted.get(name)
        return lines[0] if lines else None


class Form(Struct, frozen=True, eq=False, gc=False):
    """Where what stands in all heads that have these field names, in this order.

    Only of heads in which every field is kept, and nothing but these is noted. The position of
    what is not there is -1. `policy` picks the values that set the terms. `size_bytes` is that of
    the names.
    """

    names: tuple[bytes, ...]
    policy: Callable[[Sequence[bytes]], object]
    etag: int
    last_modified: int
    length: int
    size_bytes: int


class Answer(Struct, eq=False):
    """A response that may be stored: the fields to keep, its terms, its lifetime, its age.

    `length` is the announced one, or None. `added` is what a rule adds to the fields. `span` is
    what a part is of the whole. `size_bytes` is that of the headers, or 0: not counted.
    """

    terms: Terms
    status: int
    headers: tuple[Header, ...]
    length: int | None
    ttl_s: float
    age_s: float
    tags: tuple[str, ...] = ()
    etag: bytes | None = None
    last_modified: bytes | None = None
    added: tuple[Header, ...] = ()
    span: tuple[int, int, int] | None = None
    size_bytes: int = 0


def form_of(names: tuple[bytes, ...]) -> Form | None:
    """The form of a head by its names, or None where it is to be read field by field."""
    lower = [name.lower() for name in names]
    kinds = [FIELDS.get(name, PLAIN) for name in lower]
    policy = tuple(at for at, kind in enumerate(kinds) if kind & POLICY)
    plain = all(kind & KEPT for kind in kinds) and all(kinds[at] & VALUE for at in policy)
    noted = [name for name, kind in zip(lower, kinds, strict=True) if kind & NOTED]
    simple = SIMPLE.issuperset(noted) and len({*noted}) == len(noted)
    if not (plain and simple and clean_names(names)) or OURS_ALONE in lower:
        return None
    places = {name: at for at, name in enumerate(lower)}
    etag, last_modified, length = (places.get(name, -1) for name in SIMPLY_NOTED)
    picks = itemgetter(*policy) if policy else _nothing
    return Form(tuple(map(bytes, names)), picks, etag, last_modified, length, sum(map(len, names)))


def _nothing(values: Sequence[bytes]) -> object:  # noqa: ARG001
    """The policy of a head that says nothing."""
    return None


def read(headers: Iterable[Sequence[bytes]]) -> Head:
    """The head in one pass; what an app may still change is copied."""
    kept: list[Header] = []
    policy: list[Header] = []
    noted: Noted = {}
    for name, given in headers:
        value = given if type(given) is bytes else bytes(given)
        lower = name.lower()
        kind = FIELDS.get(lower, PLAIN)
        if kind & POLICY:
            policy.append((lower, value if kind & VALUE else b""))
        if kind & NOTED:
            noted.setdefault(lower, []).append(value)
        if kind & KEPT:
            kept.append((bytes(name), value))
    return Head(kept, policy, noted)


def lifetime_s(
    head: Head, terms: Terms, status: int, wall_now: float, most_guess_s: float
) -> float:
    """The freshness lifetime: what the response says, else the route's rule, else a guess, or 0."""
    said = said_lifetime_s(head, terms, wall_now)
    if said is None:
        said = terms.ruled_s
        if not said and terms.heuristic:
            said = guessed_s(head, wall_now, most_guess_s)
    if status >= 400 and status not in LASTING_ERRORS:
        return min(said, terms.most_s)
    return said


def said_lifetime_s(head: Head, terms: Terms, wall_now: float) -> float | None:
    """The explicit lifetime, or None where the response gives none (RFC 9111 §4.2.1)."""
    if terms.lifetime_s is not None:
        return terms.lifetime_s
    if not terms.expires or b"expires" not in head.noted:
        return None
    expires = head.noted[b"expires"]
    until = parse_http_date(expires[0], wall_now) if len(expires) == 1 else None
    if until is None:
        return 0.0  # RFC 9111 §5.3: an invalid date is in the past
    date = parse_http_date(head.first(b"date") or b"", wall_now)
    return max(until - (date if date is not None else wall_now), 0.0)


def guessed_s(head: Head, wall_now: float, most_s: float) -> float:
    """A tenth of the time since the last change (RFC 9111 §4.2.2)."""
    modified = parse_http_date(head.first(b"last-modified") or b"", wall_now)
    if modified is None:
        return 0.0
    date = parse_http_date(head.first(b"date") or b"", wall_now)
    since_s = (date if date is not None else wall_now) - modified
    return min(max(since_s * HEURISTIC_SHARE, 0.0), most_s)


def initial_age_s(noted: Noted, wall_now: float, delay_s: float = 0.0) -> float:
    """The age on arrival (RFC 9111 §4.2.3).

    What says an Age was got elsewhere, and was so old `delay_s` ago, when it was asked for. Else
    the app is the origin, and what it makes is new when it comes.
    """
    said = parse_age(noted[b"age"]) + max(delay_s, 0.0) if b"age" in noted else 0
    date = parse_http_date(noted[b"date"][0], wall_now) if b"date" in noted else None
    return said if date is None else max(said, int(wall_now) - date)


def stored_headers(
    head: Head, terms: Terms, stripped: frozenset[bytes] = NO_NAMES
) -> tuple[Header, ...]:
    """The fields to keep: without those that Connection names (RFC 9111 §3.1)."""
    dropped = terms.dropped | stripped
    if not dropped:
        return tuple(head.kept)
    return tuple([field for field in head.kept if field[0].lower() not in dropped])
