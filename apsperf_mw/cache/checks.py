"""What is accepted where a route's author says something of its caching."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from typing import cast

from apsperf_mw.errors import SettingError
from apsperf_mw.strategies import offered, strategy

TTL_CLASSES = ("short", "medium", "long", "negative")
TTL = str | float
Lifetime = Callable[[int, Mapping[str, str]], TTL]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2


def check_statuses(statuses: Mapping[int, TTL] | None) -> None:
    """Refuse what are no codes of responses."""
    known = statuses is None or isinstance(statuses, Mapping)
    if not known or not all(is_status(status) for status in statuses or ()):
        raise refused("statuses", statuses, "a mapping of codes from 200 to 599")


def is_status(value: object) -> bool:
    """Whether it is a code of a last response."""
    return isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 599


def is_text(value: object) -> bool:
    """Whether it is a string, and not an empty one."""
    return isinstance(value, str) and value != ""


def is_token(value: object) -> bool:
    """Whether it is a token (RFC 9110 §5.6.2)."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def refused(name: str, given: object, accepted: str) -> SettingError:
    """What says that an argument cannot be, and what can."""
    return SettingError(f"cached({name}=...): {given!r} given; accepted: {accepted}")


def is_number(value: object) -> bool:
    """Whether it is a number, and below infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value < math.inf


def checked_lifetime(ttl: TTL | Lifetime) -> TTL | Lifetime:
    """What `ttl` says; a name that is no class is a strategy's."""
    if isinstance(ttl, str) and ttl not in TTL_CLASSES and (":" in ttl or ttl in offered("ttl")):
        found = strategy("ttl", ttl, {})
        if not callable(found):
            raise refused("ttl", found, "a strategy that is a function of status and fields")
        return cast("Lifetime", found)
    if not callable(ttl):
        return checked_ttl(ttl)
    if not takes_two(ttl):
        accepted = "a class, seconds, or a function of status and fields; a view is marked by"
        raise refused("ttl", ttl, f"{accepted} @cached(...), with brackets")
    return ttl


def takes_two(function: Callable[..., object]) -> bool:
    """Whether it can be called with two values; what cannot be told is taken for so."""
    try:
        signature(function).bind(200, {})
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def checked_ttl(ttl: object) -> TTL:
    """A class or seconds."""
    if (isinstance(ttl, str) and ttl in TTL_CLASSES) or (is_number(ttl) and ttl > 0):  # type: ignore[operator]
        return ttl  # type: ignore[return-value]
    known = ", ".join((*TTL_CLASSES, *offered("ttl")))
    raise refused("ttl", ttl, f"{known} or seconds above 0")


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """One tag, or several."""
    names = (tags,) if isinstance(tags, str) else tuple(tags)
    for tag in names:
        if not is_text(tag):
            raise refused("tags", tag, "non-empty strings")
    return names
