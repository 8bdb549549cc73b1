"""Parts of stored bodies, as a request's Range asks for them (RFC 9110 §14-15)."""

from __future__ import annotations

from os import urandom
from time import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from apsperf_mw.cache.entry import date_of
from apsperf_mw.http.etags import strong_match
from apsperf_mw.http.ranges import Span, if_range, parse_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.exchange import Exchange, Header

    Part = tuple[int, list[Header], bytes]

# A whole body's fields that a part has of its own.
OWN = frozenset({b"content-length", b"content-range"})


def covers(entry: Entry, x: Exchange) -> bool:
    """Whether a stored part holds all that the request asks for."""
    assert entry.span is not None
    first, last, size = entry.span
    spans = parse_ranges(x.fields(b"range"), size)
    if not spans or not _asked_for(entry, x):
        return False
    return all(first <= span.first and span.last <= last for span in spans)


def trimmed(entry: Entry) -> Entry | None:
    """The part as far as it has come (RFC 9111 §3.3); None where it is longer than it says."""
    if entry.span is None:
        return entry
    first, last, size = entry.span
    missing = last - first + 1 - len(entry.body)
    if missing == 0:
        return entry
    short = missing > 0 and entry.body != b""
    return replace(entry, span=(first, last - missing, size)) if short else None


def combined(held: Entry | None, came: Entry) -> Entry:
    """Two parts as one, where they are surely of the same body (RFC 9111 §3.4); else the new one.

    A part that has become the whole is a 200. What guards and names either part does so for both.
    """
    assert came.span is not None
    if held is None or not _same_body(held, came):
        return _spanning(came, came.body, *came.span)
    low, high = sorted((held, came), key=_first)
    assert low.span is not None
    assert high.span is not None
    if high.span[0] > low.span[1] + 1:
        return _spanning(came, came.body, *came.span)  # a gap is between them
    body = low.body[: high.span[0] - low.span[0]] + high.body
    last = max(low.span[1], high.span[1])
    if high.span[1] < last:
        body += low.body[high.span[1] + 1 - low.span[0] :]
    tags = tuple(dict.fromkeys((*held.tags, *came.tags)))
    came = replace(came, tags=tags, open_to=held.open_to & came.open_to)
    return _spanning(came, body, low.span[0], last, high.span[2])


def _same_body(held: Entry, came: Entry) -> bool:
    return (
        held.etag is not None
        and came.etag is not None
        and strong_match(held.etag, came.etag)
        and held.span is not None
        and came.span is not None
        and held.span[2] == came.span[2]
    )


def _first(entry: Entry) -> int:
    return entry.span[0] if entry.span is not None else 0


def _spanning(came: Entry, body: bytes, first: int, last: int, size: int) -> Entry:
    headers = [field for field in came.headers if field[0].lower() not in OWN]
    headers.append((b"content-length", b"%d" % len(body)))
    if len(body) == size:
        return replace(came, status=200, headers=tuple(headers), body=body, span=None)
    headers.append((b"content-range", _content_range(Span(first, last), size)))
    return replace(came, headers=tuple(headers), body=body, span=(first, last, size))


def part(entry: Entry, x: Exchange, headers: Sequence[Header]) -> Part | None:
    """Status, head and body of the parts that are asked for; None: the whole is the answer."""
    if entry.status not in (200, 206) or not _asked_for(entry, x):
        return None
    offset, _, size = entry.span or (0, 0, len(entry.body))
    spans = parse_ranges(x.fields(b"range"), size)
    if spans is None:
        return None
    kept = [field for field in headers if field[0].lower() not in OWN]
    if not spans:
        field = (b"content-range", b"bytes */%d" % size)
        return 416, [(b"content-length", b"0"), field, *kept], b""
    if len(spans) == 1:
        return _single(entry.body, offset, spans[0], size, kept)
    return _several(entry.body, offset, spans, size, kept)


def _asked_for(entry: Entry, x: Exchange) -> bool:
    lines = x.fields(b"if-range")
    if not lines:
        return True
    return if_range(lines, entry.etag, entry.last_modified, date_of(entry), time())


def _single(body: bytes, offset: int, span: Span, size: int, kept: list[Header]) -> Part:
    cut = _cut(body, offset, span)
    own = [(b"content-length", b"%d" % len(cut)), (b"content-range", _content_range(span, size))]
    return 206, own + kept, cut


def _several(body: bytes, offset: int, spans: list[Span], size: int, kept: list[Header]) -> Part:
    boundary = urandom(12).hex().encode("ascii")
    kind = next((value for name, value in kept if name.lower() == b"content-type"), None)
    told = b"" if kind is None else b"Content-Type: %b\r\n" % kind
    pieces = [
        b"--%b\r\n%bContent-Range: %b\r\n\r\n%b\r\n"
        % (boundary, told, _content_range(span, size), _cut(body, offset, span))
        for span in spans
    ]
    cut = b"".join([*pieces, b"--%b--\r\n" % boundary])
    own = [
        (b"content-length", b"%d" % len(cut)),
        (b"content-type", b"multipart/byteranges; boundary=%b" % boundary),
    ]
    rest = [field for field in kept if field[0].lower() != b"content-type"]
    return 206, own + rest, cut


def _cut(body: bytes, offset: int, span: Span) -> bytes:
    return body[span.first - offset : span.last - offset + 1]


def _content_range(span: Span, size: int) -> bytes:
    return b"bytes %d-%d/%d" % (span.first, span.last, size)
