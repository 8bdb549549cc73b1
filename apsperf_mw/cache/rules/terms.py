"""On what terms a response may be stored: the rules of RFC 9111 §3 and the rows that make it safe.

`terms_of` looks only at fields that speak of caching, so that its result holds for all responses
that say the same; the flow remembers it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.cache.screen import AUTHORIZATION, COOKIE, FORWARDING, GUARDED, ORIGIN, RANGE
from apsperf_mw.http.fields import (
    CacheControl,
    connection_names,
    parse_cache_control,
    parse_vary,
)
from apsperf_mw.http.status import HEURISTICALLY_CACHEABLE, UNDERSTOOD
from apsperf_mw.http.targeted import TARGETS, parse_targeted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apsperf_mw.cache.policy import Rule
    from apsperf_mw.exchange import Header
    from apsperf_mw.settings import CacheSettings, Settings

# Status codes that a route's rule may store: final, and alike for every client.
RULE_STATUSES = frozenset({200, 203, 204, 300, 301, 308})
# What is not there is kept for a time of its own.
NEGATIVE_STATUSES = frozenset({404, 410})
# Heuristically cacheable codes (RFC 9110 §15.1); other errors are kept for seconds at most.
LASTING_ERRORS = frozenset({404, 405, 410, 414, 501})
# Answers about a stored response (RFC 9111 §4.3.3).
NEVER = frozenset({304})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT"})
# Trusted fields by which an app makes the URL that it believes to be asked for.
OF_URLS = frozenset(FORWARDING) - {"forwarded"}
PRIVATE_WITHIN = b'detail="private"'
NO_NAMES: frozenset[bytes] = frozenset()


class Asked(Struct, frozen=True):
    """Who asked: what of the request and its route the terms depend on."""

    flags: int
    method: str
    status: int
    rule: Rule | None
    private: bool


class Policy(Struct, eq=False):
    """What a response says of caching, read for the rules."""

    asked: Asked
    fields: dict[bytes, list[bytes]]
    control: CacheControl
    vary: tuple[bytes, ...] | None
    settings: Settings
    targeted: bool


class Terms(Struct, frozen=True, gc=False):
    """What the rules make of a policy; `refusal` is empty where the response may be stored.

    `lifetime_s` is None where the response leaves it to Expires, `ruled_s` for responses that
    say nothing. `strict` ones are never served stale (RFC 9111 §4.2.4). `expires` is whether
    Expires counts.
    """

    refusal: str
    open_to: int = 0
    vary: tuple[bytes, ...] = ()
    dropped: frozenset[bytes] = NO_NAMES
    lifetime_s: float | None = None
    ruled_s: float = 0.0
    most_s: float = math.inf
    heuristic: bool = False
    expires: bool = True
    revalidates: bool = False
    strict: bool = False
    immutable: bool = False
    stale_while_revalidate_s: float = 0.0
    stale_if_error_s: float = 0.0


def terms_of(asked: Asked, fields: Sequence[Header], settings: Settings) -> Terms:
    """The terms that these fields, with lower-case names, and the route's rule set."""
    policy = policy_of(asked, fields, settings)
    control = policy.control
    reason = refusal(policy)
    if reason:
        return Terms(reason)
    assert policy.vary is not None
    return Terms(
        "",
        open_to(policy),
        policy.vary,
        connection_names(policy.fields.get(b"connection", ())),
        explicit_s(control),
        ruled_s(policy),
        most_s(policy),
        heuristic(policy),
        not policy.targeted,
        control.no_cache or bool(control.no_cache_fields),
        strict(control),
        control.immutable,
        stale_while_revalidate_s(policy),
        stale_if_error_s(policy),
    )


def policy_of(asked: Asked, fields: Sequence[Header], settings: Settings) -> Policy:
    """The fields read: a targeted one takes the place of Cache-Control and Expires."""
    named: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        named.setdefault(name, []).append(value)
    targeted = next(filter(None, (parse_targeted(named.get(name, ())) for name in TARGETS)), None)
    control = targeted or parse_cache_control(named.get(b"cache-control", ()))
    vary = varied_names(named.get(b"vary", ()), asked.rule, settings)
    return Policy(asked, named, control, vary, settings, targeted is not None)


def keyed_names(settings: CacheSettings) -> tuple[str, ...]:
    """The request's fields that are part of every key.

    Of trusted ones those that stand for a part of the URL: an app may read them.
    """
    trusted = (name for name in settings.trusted_headers if name.lower() in OF_URLS)
    return (*settings.key_headers, *trusted)


def varied_names(
    lines: Sequence[bytes], rule: Rule | None, settings: Settings
) -> tuple[bytes, ...] | None:
    """What the response varies on, with what rule and settings add; None for all.

    A name with a colon is a rule's own selector, and no field.
    """
    ruled = rule.vary if rule is not None else ()
    fields = [name.encode() for name in (*keyed_names(settings.cache), *ruled) if ":" not in name]
    names = parse_vary((*lines, *fields)) if lines or fields else ()
    selectors = [name.encode() for name in ruled if ":" in name]
    return tuple(sorted({*names, *selectors})) if selectors and names is not None else names


def explicit_s(control: CacheControl) -> float | None:
    """The lifetime that the directives give (RFC 9111 §4.2.1)."""
    return control.max_age if control.s_maxage is None else control.s_maxage


def ruled_s(policy: Policy) -> float:
    """What the route's rule gives responses that say nothing themselves."""
    rule, status, settings = policy.asked.rule, policy.asked.status, policy.settings
    if rule is None:
        return 0.0
    own = rule.seconds(status, settings.ttl)
    if own is not None:
        return own
    if status in NEGATIVE_STATUSES:
        return float(settings.ttl.negative)
    return rule.lifetime_s(settings.ttl) if status in RULE_STATUSES else 0.0


def most_s(policy: Policy) -> float:
    """A passing error is kept for seconds, whatever it says."""
    status = policy.asked.status
    passing = status >= 400 and status not in LASTING_ERRORS
    return policy.settings.cache.error_ttl_s if passing else math.inf


def heuristic(policy: Policy) -> bool:
    """Whether a lifetime may be guessed (RFC 9111 §4.2.2)."""
    if not policy.settings.cache.heuristic:
        return False
    return policy.asked.status in HEURISTICALLY_CACHEABLE or policy.control.public


def strict(control: CacheControl) -> bool:
    """Whether staleness is forbidden in a shared cache (RFC 9111 §4.2.4, §5.2.2.10)."""
    return (
        control.must_revalidate
        or control.proxy_revalidate
        or control.s_maxage is not None
        or control.no_cache
        or bool(control.no_cache_fields)
    )


def stale_while_revalidate_s(policy: Policy) -> float:
    """For how long a stale response may be served while it is fetched anew (RFC 5861 §3)."""
    said = policy.control.stale_while_revalidate
    if said is None and policy.asked.rule is not None and not _says_lifetime(policy):
        said = int(policy.asked.rule.stale_while_revalidate_s)
    return float(said or 0)


def stale_if_error_s(policy: Policy) -> float:
    """For how long a stale response may stand in for an error (RFC 5861 §4)."""
    said = policy.control.stale_if_error
    if said is None and policy.settings.cache.stale_on_error:
        return math.inf
    return float(said or 0)


def _says_lifetime(policy: Policy) -> bool:
    return explicit_s(policy.control) is not None or b"expires" in policy.fields


def says_shared(policy: Policy) -> bool:
    """Whether the response says itself that it is for everybody."""
    control = policy.control
    return control.public or control.s_maxage is not None


def open_to(policy: Policy) -> int:
    """The guarded request flags under which the stored response may be used."""
    asked, shared = policy.asked, says_shared(policy)
    ruled = asked.rule is not None and asked.rule.shared
    cookies = shared or policy.targeted or ruled or policy.settings.cache.share_with_cookie
    # RFC 9111 §3.5: must-revalidate gives leave too, for what was asked with Authorization.
    authorized = shared or (asked.flags & AUTHORIZATION and policy.control.must_revalidate)
    # A middleware may say nothing of CORS, not even Vary, to who does not ask from a page.
    told = b"access-control-allow-origin" in policy.fields or b"origin" in (policy.vary or ())
    return (
        (COOKIE if cookies else 0) | (AUTHORIZATION if authorized else 0) | (ORIGIN if told else 0)
    )


def reflects_origin(policy: Policy) -> bool:
    """Whether the response names one CORS origin without varying on it."""
    allowed = policy.fields.get(b"access-control-allow-origin", ())
    return any(origin != b"*" for origin in allowed) and b"origin" not in (policy.vary or ())


def private(policy: Policy) -> bool:
    """Whether it is for one user; a qualified form counts in full (RFC 9111 §5.2.2.7)."""
    if policy.control.private or policy.control.private_fields:
        return True
    # A suite within has refused it as private, whatever it says to others.
    return any(PRIVATE_WITHIN in line for line in policy.fields.get(b"cache-status", ()))


def no_store(policy: Policy) -> bool:
    """Whether no-store forbids it; must-understand overrides it (RFC 9111 §5.2.2.3)."""
    control = policy.control
    return control.no_store and not (control.must_understand and policy.asked.status in UNDERSTOOD)


def not_understood(policy: Policy) -> bool:
    """Whether must-understand forbids storing this status (RFC 9111 §5.2.2.3)."""
    return policy.control.must_understand and policy.asked.status not in UNDERSTOOD


def guarded(policy: Policy) -> bool:
    """Whether the request had a guard (cookie, authorization, origin) that it is not open to."""
    return bool(policy.asked.flags & GUARDED & ~open_to(policy))


def sets_cookie(policy: Policy) -> bool:
    """Whether the response is for whoever gets its cookie."""
    return b"set-cookie" in policy.fields and not policy.settings.cache.store_set_cookie


def not_final(policy: Policy) -> bool:
    """Whether the status says that this is no response to keep; a part is one if asked for."""
    status = policy.asked.status
    ranged = bool(policy.asked.flags & RANGE)
    if status in (206, 416) and ranged != (status == 206):
        return True  # a part that was not asked for, and what tells of one that cannot be had
    return status < 200 or status in NEVER


# Each with where it is written.
REFUSALS: tuple[tuple[str, Callable[[Policy], bool], str], ...] = (
    ("no-store", no_store, "RFC 9111 §5.2.2.5"),
    ("must-understand", not_understood, "RFC 9111 §5.2.2.3"),
    ("private", lambda p: private(p) or p.asked.private, "RFC 9111 §5.2.2.7"),
    ("set-cookie", sets_cookie, "house rule; RFC 9111 §7.3"),
    ("method", lambda p: p.asked.method != "GET", "RFC 9111 §3"),
    ("status", not_final, "RFC 9111 §3"),
    ("cors", reflects_origin, "house rule; Fetch, CORS protocol and HTTP caches"),
    # The settings' key_headers may be too many as well.
    ("vary", lambda p: p.vary is None, "RFC 9111 §4.1"),
    ("guarded", guarded, "RFC 9111 §3.5; house rule for cookies"),
)

# Refusals that tell of this one request or moment, not of what the URL gives at other times.
PASSING = frozenset({"method", "status", "request", "uses"})


def refusal(policy: Policy) -> str:
    """Why the response is not stored, or an empty string where it may be."""
    return next((reason for reason, refuses, _ in REFUSALS if refuses(policy)), "")
