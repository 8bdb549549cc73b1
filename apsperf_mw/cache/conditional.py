"""Conditional requests: whether a client holds already what it would get (RFC 9110 §13)."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING

from apsperf_mw.cache.entry import date_of
from apsperf_mw.cache.screen import CONDITIONAL
from apsperf_mw.http.dates import parse_http_date
from apsperf_mw.http.etags import if_none_match, not_modified_since

if TYPE_CHECKING:
    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.exchange import Exchange


def not_modified(x: Exchange, entry: Entry) -> bool:
    """Whether the client holds what the entry would give it (RFC 9110 §13.2.2)."""
    tag = x.tag
    if tag and tag == entry.etag and 200 <= entry.status < 300:
        return True  # mostly: nothing to parse
    if not x.flags & CONDITIONAL or not 200 <= entry.status < 300:
        return False
    tags = x.fields(b"if-none-match")
    if tags:  # then the date is not looked at
        return if_none_match(tags, entry.etag)
    wall_now = time()
    made_at = made_at_of(entry, wall_now) if entry.last_modified is None else 0.0
    since = x.fields(b"if-modified-since")
    return not_modified_since(since, entry.last_modified, made_at, wall_now)


def made_at_of(entry: Entry, wall_now: float) -> float:
    """When the response was made: its Date, or else when its age was 0 (RFC 9110 §6.6.1)."""
    date = parse_http_date(date_of(entry) or b"", wall_now)
    return wall_now - (monotonic() - entry.born) if date is None else date
