"""What may be stored, for how long, and how old it is (RFC 9111 §3, §3.2, §4.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tests.model.dictionary import TARGETS, parse_targeted
from tests.model.grammar import (
    Directives,
    names_in,
    parse_age,
    parse_cache_control,
    parse_content_length,
    parse_vary,
)
from tests.model.messages import Abilities, Departures, Fields, House, Request, Response
from tests.model.spans import parse_content_range
from tests.model.times import parse_date

# RFC 9110 §15: final codes that stand alone. 206 and 304 belong to another response.
UNDERSTOOD = {
    *(200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308),
    *(400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417),
    *(421, 422, 426, 500, 501, 502, 503, 504, 505),
}
HEURISTICALLY_CACHEABLE = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}  # §15.1
RULED = {200, 203, 204, 300, 301, 308}  # what a route's rule speaks of: a house rule
OURS = "apsperf-cache-control"  # for this cache alone

# RFC 9111 §3.1, RFC 9110 §7.6.1: not stored. Trailer: no trailers are stored. Age is counted anew.
UNSTORED = {
    *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
    *("upgrade", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization", "age"),
}
# RFC 9111 §3.2: what a 304 leaves as it is, for it describes the stored bytes.
LEFT_BY_304 = {"content-length", "content-encoding", "content-range", "content-md5", "etag"}


@dataclass(frozen=True)
class Rules:
    """What holds for one cache."""

    can: Abilities
    house: House
    departs: Departures


@dataclass(frozen=True)
class Stored:
    """A stored response and what was known when it was stored or last refreshed."""

    request: Request
    response: Response
    directives: Directives
    lifetime_s: float
    initial_age_s: float
    received_at: float
    vary: frozenset[str]
    for_cookies: bool
    for_authorized: bool

    def age_s(self, now: float) -> float:
        """The current age (RFC 9111 §4.2.3)."""
        return self.initial_age_s + now - self.received_at

    def fresh(self, now: float) -> bool:
        """Whether its lifetime exceeds its age (RFC 9111 §4.2)."""
        return self.lifetime_s > self.age_s(now)

    def made_at(self) -> float:
        """Its Date, or else when it came (RFC 9110 §6.6.1)."""
        date = parse_date(self.response.first("date") or "", self.received_at)
        return self.received_at if date is None else date

    def asked_about(self, now: float, keep_stale_s: float) -> bool:
        """Whether the app can be asked if it is still good; not for ever (house)."""
        recent = self.age_s(now) - self.lifetime_s < keep_stale_s
        return recent and has_validators(self.response)

    def never_stale(self) -> bool:
        """Whether the response forbids serving it stale (RFC 9111 §4.2.4)."""
        names = ("must-revalidate", "proxy-revalidate", "s-maxage", "no-cache")
        return any(map(self.directives.restricts, names))


@dataclass(frozen=True)
class Arrival:
    """A response as it came: the request, the two clocks' readings, the directives in force."""

    request: Request
    response: Response
    asked_at: float
    received_at: float
    directives: Directives
    targeted: bool
    rules: Rules


def arrival(
    request: Request, response: Response, asked_at: float, received_at: float, rules: Rules
) -> Arrival:
    """Read the response's directives: a targeted field's, or Cache-Control's (RFC 9213 §2.2)."""
    if rules.can.targets:
        for name in TARGETS:
            found = parse_targeted(response.lines(name))
            if found is not None:
                return Arrival(
                    request, response, asked_at, received_at, found, targeted=True, rules=rules
                )
    control = parse_cache_control(response.lines("cache-control"))
    return Arrival(request, response, asked_at, received_at, control, targeted=False, rules=rules)


def lifetime_s(came: Arrival) -> float:
    """The freshness lifetime; a passing error has little of it (a house rule)."""
    status = came.response.status
    found = explicit_lifetime_s(came)
    if found is None:
        found = ruled_lifetime_s(came) or heuristic_lifetime_s(came)
    if status >= 400 and status not in HEURISTICALLY_CACHEABLE:
        found = min(found, came.rules.house.error_ttl_s)
    return found


def explicit_lifetime_s(came: Arrival) -> float | None:
    """RFC 9111 §4.2.1, in this order; None where nothing is said."""
    for name in ("s-maxage", "max-age"):
        seconds = came.directives.seconds(name)
        if seconds is not None:
            return seconds
    lines = came.response.lines("expires")
    if not lines or came.targeted:
        return None
    until = parse_date(lines[0], came.received_at) if len(lines) == 1 else None
    if until is None:
        return 0  # RFC 9111 §5.3: an invalid date is in the past
    return until - made_at(came)


def ruled_lifetime_s(came: Arrival) -> float:
    """What the route's rule gives responses that say nothing: a house rule."""
    if came.response.rule_s is None:
        return 0.0
    return came.response.rule_s if came.response.status in RULED else 0.0


def made_at(came: Arrival) -> float:
    """The response's Date, or when it came where it has none that can be read."""
    date = parse_date(came.response.first("date") or "", came.received_at)
    return came.received_at if date is None else date


def heuristic_lifetime_s(came: Arrival) -> float:
    """A tenth of the time since Last-Modified, with a cap (RFC 9111 §4.2.2)."""
    if not (came.rules.can.heuristic and came.rules.house.heuristic):
        return 0.0
    cacheable = came.response.status in HEURISTICALLY_CACHEABLE
    modified = parse_date(came.response.first("last-modified") or "", came.received_at)
    if modified is None or not (cacheable or came.directives.permits("public")):
        return 0.0
    unchanged_s = max(made_at(came) - modified, 0)
    return min(unchanged_s / 10, came.rules.house.heuristic_max_s)


def initial_age_s(came: Arrival) -> float:
    """RFC 9111 §4.2.3, corrected_initial_age. Dates know whole seconds, and so is now read."""
    date = parse_date(came.response.first("date") or "", came.received_at)
    apparent_age = 0 if date is None else max(0, math.floor(came.received_at) - date)
    response_delay = came.received_at - came.asked_at
    if came.rules.departs.ignores_delay:
        response_delay = 0
    return max(apparent_age, parse_age(came.response.lines("age")) + response_delay)


def for_all(came: Arrival) -> bool:
    """Whether the response says itself that it is for everybody."""
    return came.directives.permits("public") or came.directives.seconds("s-maxage") is not None


def for_cookies(came: Arrival) -> bool:
    """Whether it may be stored and served for requests with cookies: a house rule."""
    share = came.rules.house.share_with_cookie
    return for_all(came) or came.targeted or came.response.shared or share


def for_authorized(came: Arrival) -> bool:
    """RFC 9111 §3.5; what came without Authorization needs more than must-revalidate: house."""
    asked_with = came.request.has("authorization")
    opened = came.targeted and came.rules.departs.opens_targeted
    revalidated = asked_with and came.directives.restricts("must-revalidate")
    return for_all(came) or opened or revalidated


def has_cookies(request: Request, house: House) -> bool:
    """Whether the request has cookies that count."""
    pairs = [pair for line in request.lines("cookie") for pair in line.split(";")]
    named = {pair.partition("=")[0].strip() for pair in pairs if pair.strip()}
    return not named <= set(house.ignore_cookies)


def storable(came: Arrival) -> bool:
    """Whether the response is stored if its body comes whole."""
    return allowed(came) and worth_it(came)


def allowed(came: Arrival) -> bool:
    """Whether the response may be stored: RFC 9111 §3, and the house rules."""
    response, directives = came.response, came.directives
    refusals = (
        came.request.method != "GET",  # §3: others have no cache semantics here
        response.status < 200,  # §3: not final
        response.status == 304,  # §4.3.3
        response.status == 206 and not keepable_part(came),  # §3.3
        response.status == 416 and came.request.has("range"),  # it speaks of the Range: house
        not_storing(came),
        directives.restricts("private"),  # §5.2.2.7; a qualified one counts in full: house
        response.lines("set-cookie") != [] and not came.rules.house.store_set_cookie,  # house
        # RFC 9110 §14.4 gives it no meaning here; without parts the house takes no chances.
        response.lines("content-range") != [] and not came.rules.can.keeps_parts,
        parse_vary(response.lines("vary")) is None,  # §4.1: it would never match
        has_cookies(came.request, came.rules.house) and not for_cookies(came),  # house
        came.request.has("authorization") and not for_authorized(came),  # §3.5
        one_origin(response),  # house
        not can_be_whole(came),  # §3.3
    )
    return not any(refusals)


def not_storing(came: Arrival) -> bool:
    """no-store, unless must-understand overrides it (RFC 9111 §5.2.2.3, §5.2.2.5)."""
    understood = came.response.status in UNDERSTOOD
    if came.directives.permits("must-understand"):
        return not understood
    return came.directives.restricts("no-store")


def one_origin(response: Response) -> bool:
    """Whether the response names one origin without varying on it: a house rule."""
    allowed = response.lines("access-control-allow-origin")
    varies = "origin" in (parse_vary(response.lines("vary")) or ())
    return any(origin != "*" for origin in allowed) and not varies


def keepable_part(came: Arrival) -> bool:
    """Whether a 206 says clearly what it is a part of, and for whom (RFC 9111 §3.3; house)."""
    response = came.response
    asked = came.rules.can.keeps_parts and came.request.has("range")
    clear = parse_content_range(response.lines("content-range")) is not None
    plain = not parse_vary(response.lines("vary")) and not came.directives.restricts("no-cache")
    return asked and clear and plain


def can_be_whole(came: Arrival) -> bool:
    """Whether its length is unknown, or known and not too long to keep."""
    length = parse_content_length(came.response.lines("content-length"))
    return length is None or 0 <= length <= came.rules.house.max_entry_bytes


def whole(came: Arrival) -> bool:
    """Whether the body has come in its announced length, and is not too long to keep."""
    length = parse_content_length(came.response.lines("content-length"))
    size = len(came.response.body)
    return length in {None, size} and size <= came.rules.house.max_entry_bytes


def worth_it(came: Arrival) -> bool:
    """Whether it can be used: fresh now, or of use when stale (house; the RFC lets us keep it)."""
    if came.directives.restricts("no-cache"):
        return came.rules.can.keeps_no_cache and has_validators(came.response)
    lifetime, age = lifetime_s(came), initial_age_s(came)
    if lifetime > age:
        return True
    if not came.rules.can.keeps_no_cache:
        return False
    explicit = explicit_lifetime_s(came) is not None
    if explicit and has_validators(came.response):
        return True
    said = explicit or lifetime > 0
    return said and age < lifetime + window_s(came) and not stored(came).never_stale()


def window_s(came: Arrival) -> float:
    """For how long it is served stale (RFC 5861)."""
    names = ("stale-while-revalidate", "stale-if-error")
    behind, instead = (came.directives.seconds(name) for name in names)
    if came.rules.house.stale_on_error and instead is None:
        behind = 0 if came.rules.departs.setting_hides_window else behind
    return max(behind or 0, instead or 0)


def has_validators(response: Response) -> bool:
    """Whether the app can be asked if it is still good."""
    return bool(response.lines("etag") or response.lines("last-modified"))


def stored(came: Arrival) -> Stored:
    """The response as it is kept."""
    response = replace(came.response, fields=kept_fields(came.response.fields))
    return Stored(
        came.request,
        response,
        came.directives,
        lifetime_s(came),
        initial_age_s(came),
        came.received_at,
        frozenset(parse_vary(came.response.lines("vary")) or ()),
        for_cookies(came),
        for_authorized(came),
    )


def kept_fields(fields: Fields) -> Fields:
    """Without what ends at this hop, and what Connection names (RFC 9111 §3.1)."""
    named = [value for name, value in fields if name.lower() == "connection"]
    dropped = UNSTORED | set(names_in(",".join(named)))
    return tuple(field for field in fields if field[0].lower() not in dropped)


def told(fields: Fields, can: Abilities) -> Fields:
    """The fields that the client gets to see."""
    return tuple(f for f in fields if not (can.strips_target and f[0].lower() == OURS))


def refreshed(old: Stored, news: Response) -> Response:
    """The stored response with the 304's fields in place of its own (RFC 9111 §3.2)."""
    given = [field for field in kept_fields(news.fields) if field[0].lower() not in LEFT_BY_304]
    names = {name.lower() for name, _ in given}
    kept = [field for field in old.response.fields if field[0].lower() not in names]
    return replace(old.response, fields=(*kept, *given), rule_s=news.rule_s, shared=news.shared)
