"""What is served from an entry to a request that is not the plainest one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.cache.conditional import not_modified
from apsperf_mw.cache.entry import NOT_CACHED
from apsperf_mw.cache.parts import part
from apsperf_mw.cache.screen import RANGE
from apsperf_mw.cache.wire import STATUS, scope_head, served_status, without_body

if TYPE_CHECKING:
    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.exchange import Exchange, Header

    Reply = tuple[int, list[Header], bytes]


def reply(x: Exchange, entry: Entry, now: float, *, say: bool) -> Reply:
    """Status, head and body: a 304, a part, a head alone, or the whole; the fields are anew."""
    if entry is NOT_CACHED:
        return unavailable(x, say=say)
    until, head = entry.scope_wire
    if now >= until:
        head = scope_head(entry, now, say=say)
    status, body, out = entry.status, entry.body, list(head)
    if say:
        out[-1] = served_status(x, entry, now)
    if not_modified(x, entry):
        return 304, list(without_body(tuple(out))), b""
    if x.flags & RANGE and x.method == "GET":
        cut = part(entry, x, out)
        if cut is not None:
            return cut
    if x.method == "HEAD":
        body = b""
    return status, out, body


def unavailable(x: Exchange, *, say: bool) -> Reply:
    """The answer to only-if-cached where nothing fits."""
    x.result = "miss"
    out = list(NOT_CACHED.headers)
    if say:
        out.append((STATUS, b'apsperf; detail="only-if-cached"'))
    return NOT_CACHED.status, out, b""
