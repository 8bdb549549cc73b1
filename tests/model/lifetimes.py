"""A response as it came: what it says of its lifetime, and its age (RFC 9111 §4.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tests.model.dictionary import TARGETS, parse_targeted
from tests.model.grammar import Directives, parse_age, parse_cache_control
from tests.model.messages import Abilities, Departures, House, Request, Response
from tests.model.times import parse_date

HEURISTICALLY_CACHEABLE = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}  # §15.1
RULED = {200, 203, 204, 300, 301, 308}  # what a route's rule speaks of: a house rule


@dataclass(frozen=True)
class Rules:
    """What holds for one cache."""

    can: Abilities
    house: House
    departs: Departures


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
    if came.directives.restricts("no-cache"):
        return 0  # fresh at no time, as it is asked about each time (house)
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
    if came.rules.departs.ignores_delay and not came.response.lines("age"):
        response_delay = 0
    return max(apparent_age, parse_age(came.response.lines("age")) + response_delay)


def window_s(came: Arrival) -> float:
    """For how long it is served stale (RFC 5861)."""
    names = ("stale-while-revalidate", "stale-if-error")
    return max(came.directives.seconds(name) or 0 for name in names)
