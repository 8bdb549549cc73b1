"""What may be done with a stored response (RFC 9111 §4)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from apsperf_mw.http.fields import parse_cache_control

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.http.fields import CacheControl

# What a stale response may stand in for (RFC 5861 §4).
STALE_STATUSES = frozenset({500, 502, 503, 504})


class Use(Enum):
    """What a request may have of an entry."""

    FRESH = "fresh"
    STALE = "stale"  # at once, while it is fetched anew
    VALIDATE = "validate"  # after asking the app


def use_of(entry: Entry, now: float) -> Use:
    """What a request without directives may have."""
    if now < entry.fresh_until:
        return Use.FRESH
    return Use.STALE if now < entry.stale_until and not entry.strict else Use.VALIDATE


def wanted_use(entry: Entry, wants: CacheControl, now: float) -> Use:
    """What a request with these directives may have (RFC 9111 §5.2.1)."""
    if wants.no_cache:
        return Use.VALIDATE
    age_s, left_s = now - entry.born, entry.fresh_until - now
    # RFC 8246 §2: a reload asks for max-age=0, which an immutable response need not heed.
    reload = wants.max_age == 0 and entry.immutable
    if wants.max_age is not None and age_s > wants.max_age and not reload:
        return Use.VALIDATE
    if wants.min_fresh is not None and left_s < wants.min_fresh:
        return Use.VALIDATE
    if left_s > 0:
        return Use.FRESH
    if wants.max_stale is not None and -left_s <= wants.max_stale and not entry.strict:
        return Use.FRESH  # it was asked for
    return use_of(entry, now) if wants.max_age is None else Use.VALIDATE


def stands_in(entry: Entry, now: float) -> bool:
    """Whether the entry may be served in place of an error (RFC 5861 §4)."""
    return not entry.strict and now < entry.error_until


def wants_of(control: Sequence[bytes], pragma: Sequence[bytes]) -> CacheControl:
    """The request's directives; Pragma counts where there is no Cache-Control (RFC 9111 §5.4)."""
    if not control and any(b"no-cache" in line.lower() for line in pragma):
        return parse_cache_control((b"no-cache",))
    return parse_cache_control(control)
