"""What may be done with a stored response, and for whom (RFC 9111 §4, §5.2; RFC 5861)."""

from __future__ import annotations

from tests.model.grammar import Directives, parse_cache_control
from tests.model.lifetimes import Rules
from tests.model.messages import Request
from tests.model.storing import Stored, has_cookies

NO_WISHES = Directives()


def goes_round(request: Request, rules: Rules) -> bool:
    """Whether the house lets neither store nor serve anything for such a request."""
    names = (*rules.house.credentials, *rules.house.forwarding)
    ranged = not rules.can.ranges and request.has("range", "if-range")
    # RFC 9111 §4.3.2: If-Match and If-Unmodified-Since are for the origin.
    conditions = request.has("if-match", "if-unmodified-since")
    return has_body(request) or ranged or conditions or request.has(*names)


def has_body(request: Request) -> bool:
    """Whether the request says that it has content (RFC 9110 §6.4, RFC 9112 §6)."""
    lengths = request.lines("content-length")
    return request.has("transfer-encoding") or any(length != "0" for length in lengths)


def is_for(held: Stored, request: Request, rules: Rules) -> bool:
    """Whether the request may be given the stored response, fresh or not."""
    if has_cookies(request, rules.house) and not held.for_cookies:
        return False
    return held.for_authorized or not request.has("authorization")


def wishes_of(request: Request, rules: Rules) -> Directives:
    """The request's directives, where they are honoured (RFC 9111 §5.2.1, §5.4)."""
    if not rules.can.honours_requests or rules.house.request_directives != "honour":
        return NO_WISHES
    lines = request.lines("cache-control")
    return parse_cache_control(lines or request.lines("pragma"))


def may_serve(held: Stored, wishes: Directives, now: float) -> bool:
    """Whether the response may be used without asking the app (RFC 9111 §4)."""
    if held.directives.restricts("no-cache") or wishes.restricts("no-cache"):  # §5.2.2.4
        return False
    remaining = held.lifetime_s - held.age_s(now)
    fresh_for = wishes.seconds("min-fresh")  # §5.2.1.3
    if too_old(held, wishes, now) or (fresh_for is not None and remaining < fresh_for):
        return False
    if remaining > 0:
        return True
    most = wishes.limit("max-stale")  # §5.2.1.2
    return most is not None and -remaining <= most and not held.never_stale()


def too_old(held: Stored, wishes: Directives, now: float) -> bool:
    """Whether the client's max-age asks for younger (RFC 9111 §5.2.1.1).

    max-age=0 is a reload, which an immutable response need not heed while fresh (RFC 8246 §2).
    """
    most = wishes.seconds("max-age")
    if most == 0 and held.directives.permits("immutable"):
        return not held.fresh(now)
    return most is not None and held.age_s(now) > most


def may_serve_while_asking(held: Stored, wishes: Directives, now: float, rules: Rules) -> bool:
    """stale-while-revalidate (RFC 5861 §3)."""
    window = held.directives.seconds("stale-while-revalidate")
    if not rules.can.swr or window is None or held.never_stale():
        return False
    if held.vary & {"cookie", "authorization"}:  # nothing of ours would get this variant: house
        return False
    if any(map(wishes.restricts, ("no-cache", "max-age", "min-fresh"))):
        return False
    return 0 <= held.age_s(now) - held.lifetime_s < window


def may_stand_in(held: Stored, now: float, rules: Rules) -> bool:
    """stale-if-error, or the setting for responses without it (RFC 5861 §4).

    What is fresh may too, where only the client wanted the app asked (RFC 9111 §4.3.3).
    """
    if not rules.can.sie or held.never_stale():
        return False
    if held.fresh(now):
        return True
    window: float | None = held.directives.seconds("stale-if-error")
    if window is None:
        window = rules.house.keep_stale_s if rules.house.stale_on_error else 0
    return held.age_s(now) - held.lifetime_s < window


def asks_about(held: Stored, now: float, rules: Rules) -> bool:
    """Whether the app is asked if it is still good (RFC 9111 §4.3.1)."""
    return rules.can.revalidates and held.asked_about(now, rules.house.keep_stale_s)
