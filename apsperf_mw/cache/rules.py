"""What may be stored, and for how long: RFC 9111 and the rows that make it safe. Pure.

`read` takes a response's head in once, as an `Answer`; `refusal` asks the rules that its fields
call for, and the first that says yes is the reason why the response is not stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.cache.screen import AUTHORIZATION, COOKIE, GUARDED
from apsperf_mw.http.dates import parse_http_date
from apsperf_mw.http.fields import (
    HOP_BY_HOP,
    CacheControl,
    clean_headers,
    connection_names,
    parse_age,
    parse_cache_control,
    parse_content_length,
    parse_vary,
)
from apsperf_mw.http.status import UNDERSTOOD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apsperf_mw.cache.policy import Plan
    from apsperf_mw.exchange import Header
    from apsperf_mw.settings import Settings

# Status codes that a route's rule may store: final, and alike for every client.
RULE_STATUSES = frozenset({200, 203, 204, 300, 301, 308})
# Heuristically cacheable codes (RFC 9110 §15.1); other errors are kept for seconds at most.
LASTING_ERRORS = frozenset({404, 405, 410, 414, 501})
# Never stored: interim, parts, and answers about a stored response (RFC 9111 §3.3, §4.3.3).
NEVER = frozenset({206, 304})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT"})

# Not stored: what ends at this hop, and the age, which is counted anew.
DROPPED = HOP_BY_HOP | {b"age"}

NOTED = frozenset(
    {
        b"access-control-allow-origin",
        b"age",
        b"cache-control",
        b"connection",
        b"content-length",
        b"content-range",
        b"date",
        b"etag",
        b"expires",
        b"last-modified",
        b"set-cookie",
        b"transfer-encoding",
        b"vary",
    }
)


class Answer(Struct, eq=False):
    """A response's head, read for the cache. `fields` are the noted ones by lower-case name."""

    flags: int
    method: str
    status: int
    headers: Sequence[Header]
    fields: dict[bytes, list[bytes]]
    control: CacheControl
    vary: tuple[bytes, ...] | None
    length: int | None
    plan: Plan
    settings: Settings
    wall_now: float
    ttl_s: float = 0.0
    age_s: float = 0.0

    def first(self, name: bytes) -> bytes | None:
        """The field's first line."""
        lines = self.fields.get(name)
        return lines[0] if lines else None


def read(
    flags: int,
    method: str,
    status: int,
    headers: Sequence[Header],
    plan: Plan,
    settings: Settings,
    wall_now: float,
) -> Answer:
    """The response's head as an `Answer`, with its lifetime and its age on arrival."""
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        noted = name.lower()
        if noted in NOTED:
            fields.setdefault(noted, []).append(value)
    answer = Answer(
        flags,
        method,
        status,
        headers,
        fields,
        parse_cache_control(fields.get(b"cache-control", ())),
        varied_names(fields.get(b"vary", ()), settings),
        parse_content_length(fields[b"content-length"]) if b"content-length" in fields else None,
        plan,
        settings,
        wall_now,
    )
    answer.ttl_s = lifetime_s(answer)
    answer.age_s = initial_age_s(answer)
    return answer


def varied_names(lines: Sequence[bytes], settings: Settings) -> tuple[bytes, ...] | None:
    """What the response varies on, with the fields that the settings add; None for all."""
    keyed = settings.cache.key_headers
    return parse_vary((*lines, *map(str.encode, keyed))) if lines or keyed else ()


def lifetime_s(answer: Answer) -> float:
    """The freshness lifetime: what the response says, else the route's rule, else 0."""
    said = said_lifetime_s(answer)
    if said is None:
        said = ruled_lifetime_s(answer)
    if answer.status >= 400 and answer.status not in LASTING_ERRORS:
        said = min(said, answer.settings.cache.error_ttl_s)
    return said


def said_lifetime_s(answer: Answer) -> float | None:
    """The explicit lifetime, or None where the response gives none (RFC 9111 §4.2.1)."""
    control = answer.control
    if control.s_maxage is not None:
        return control.s_maxage
    if control.max_age is not None:
        return control.max_age
    expires = answer.fields.get(b"expires")
    if not expires:
        return None
    until = parse_http_date(expires[0]) if len(expires) == 1 else None
    if until is None:
        return 0  # RFC 9111 §5.3: an invalid date is in the past
    date = parse_http_date(answer.first(b"date") or b"")
    return until - (date if date is not None else answer.wall_now)


def ruled_lifetime_s(answer: Answer) -> float:
    """What the route's `@cached` says, for responses that say nothing themselves."""
    ttl_s = answer.plan.ttl_s(answer.settings.ttl)
    return ttl_s if ttl_s is not None and answer.status in RULE_STATUSES else 0


def initial_age_s(answer: Answer) -> float:
    """The age on arrival (RFC 9111 §4.2.3); the app answers in-process, so without delay."""
    fields = answer.fields
    said = parse_age(fields[b"age"]) if b"age" in fields else 0
    date = parse_http_date(fields[b"date"][0]) if b"date" in fields else None
    return said if date is None else max(said, int(answer.wall_now) - date)


def says_shared(answer: Answer) -> bool:
    """Whether the response says itself that it is for everybody."""
    return answer.control.public or answer.control.s_maxage is not None


def open_to(answer: Answer) -> int:
    """The guarded request flags under which the stored response may be used."""
    shared = says_shared(answer)
    cookies = shared or answer.plan.shared or answer.settings.cache.share_with_cookie
    # RFC 9111 §3.5: must-revalidate gives leave too, for what was asked with Authorization.
    authorized = shared or (answer.flags & AUTHORIZATION and answer.control.must_revalidate)
    return (COOKIE if cookies else 0) | (AUTHORIZATION if authorized else 0)


def reflects_origin(answer: Answer) -> bool:
    """Whether the response names one CORS origin without varying on it."""
    allowed = answer.fields.get(b"access-control-allow-origin", ())
    return any(origin != b"*" for origin in allowed) and b"origin" not in (answer.vary or ())


def private(answer: Answer) -> bool:
    """Whether it is for one user; a qualified form counts in full (RFC 9111 §5.2.2.7)."""
    return answer.control.private or bool(answer.control.private_fields)


def no_store(answer: Answer) -> bool:
    """Whether no-store forbids it; must-understand overrides it (RFC 9111 §5.2.2.3)."""
    control = answer.control
    return control.no_store and not (control.must_understand and answer.status in UNDERSTOOD)


def not_understood(answer: Answer) -> bool:
    """Whether must-understand forbids storing this status (RFC 9111 §5.2.2.3)."""
    return answer.control.must_understand and answer.status not in UNDERSTOOD


def guarded(answer: Answer) -> bool:
    """Whether the request had a cookie or authorization that the response does not open to."""
    return bool(answer.flags & GUARDED & ~open_to(answer))


def wrong_length(answer: Answer) -> bool:
    """Whether the announced length is unreadable or over the limit."""
    length = answer.length
    return length is not None and not 0 <= length <= answer.settings.cache.max_entry_bytes


Refusals = tuple[tuple[str, "Callable[[Answer], bool]"], ...]

# Asked of every response.
ALWAYS: Refusals = (
    ("method", lambda a: a.method != "GET"),
    ("status", lambda a: a.status < 200 or a.status in NEVER),
    ("private", lambda a: a.plan.private),
    ("vary", lambda a: a.vary is None),  # the settings' key_headers may be too many as well
    ("guarded", guarded),
    ("no-lifetime", lambda a: a.ttl_s <= a.age_s),
    ("malformed", lambda a: not clean_headers(a.headers)),
)
# Asked where Cache-Control restricts.
BY_CONTROL: Refusals = (
    ("no-store", no_store),
    ("must-understand", not_understood),
    ("private", private),
    ("no-cache", lambda a: a.control.no_cache or bool(a.control.no_cache_fields)),
)
# Asked where the response has the field.
BY_FIELD: dict[bytes, tuple[str, Callable[[Answer], bool]]] = {
    b"set-cookie": ("set-cookie", lambda _: True),
    b"content-range": ("content-range", lambda _: True),
    b"access-control-allow-origin": ("cors", reflects_origin),
    b"content-length": ("length", wrong_length),
}

# Refusals that tell of this one request or moment, not of what the URL gives at other times.
PASSING = frozenset({"method", "status"})


def refusal(answer: Answer) -> str:
    """Why the response is not stored, or an empty string where it may be."""
    by_field = [BY_FIELD[name] for name in answer.fields if name in BY_FIELD]
    by_control = BY_CONTROL if answer.control.restricts else ()
    for reason, refuses in (*by_control, *by_field, *ALWAYS):
        if refuses(answer):
            return reason
    return ""


def stored_headers(answer: Answer) -> tuple[Header, ...]:
    """The fields to keep: without hop-by-hop ones, those named by Connection, and Age."""
    dropped = DROPPED
    if b"connection" in answer.fields:
        dropped = dropped | connection_names(answer.fields[b"connection"])
    # As bytes: what an app may still change is copied.
    kept = [field for field in answer.headers if field[0].lower() not in dropped]  # RFC 9111 §3.1
    return tuple([(bytes(name), bytes(value)) for name, value in kept])
