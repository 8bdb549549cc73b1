"""What may be stored, and what is kept of it (RFC 9111 §3, §3.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.model.grammar import Directives, names_in, parse_content_length, parse_vary
from tests.model.lifetimes import (
    Arrival,
    explicit_lifetime_s,
    initial_age_s,
    lifetime_s,
    window_s,
)
from tests.model.messages import Abilities, Fields, House, Request, Response
from tests.model.spans import parse_content_range
from tests.model.times import parse_date

# RFC 9110 §15: final codes that stand alone. 206 and 304 belong to another response.
UNDERSTOOD = {
    *(200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308),
    *(400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417),
    *(421, 422, 426, 500, 501, 502, 503, 504, 505),
}
OURS = "apsperf-cache-control"  # for this cache alone

# RFC 9111 §3.1, RFC 9110 §7.6.1: not stored. Trailer: no trailers are stored. Age is counted anew.
UNSTORED = {
    *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
    *("upgrade", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization", "age"),
}
# RFC 9111 §3.2: what a 304 leaves as it is, for it describes the stored bytes.
LEFT_BY_304 = {"content-length", "content-encoding", "content-range", "content-md5", "etag"}


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
        """Its Date, or else when its age was 0 (RFC 9110 §6.6.1)."""
        date = parse_date(self.response.first("date") or "", self.received_at)
        return self.received_at - self.initial_age_s if date is None else date

    def asked_about(self, now: float, keep_stale_s: float) -> bool:
        """Whether the app can be asked if it is still good; not for ever (house)."""
        recent = self.age_s(now) - self.lifetime_s < keep_stale_s
        return recent and has_validators(self.response)

    def never_stale(self) -> bool:
        """Whether the response forbids serving it stale (RFC 9111 §4.2.4)."""
        names = ("must-revalidate", "proxy-revalidate", "s-maxage", "no-cache")
        return any(map(self.directives.restricts, names))


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
    return for_all(came) or (asked_with and came.directives.restricts("must-revalidate"))


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
        response.status == 416 and ranged(came.request),  # it speaks of the Range: house
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


def ranged(request: Request) -> bool:
    """Whether the request is about a part; If-Range alone is nothing, but taken as a sign."""
    return request.has("range", "if-range")


def keepable_part(came: Arrival) -> bool:
    """Whether a 206 says clearly what it is a part of, and for whom (RFC 9111 §3.3; house)."""
    response = came.response
    asked = came.rules.can.keeps_parts and ranged(came.request)
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
