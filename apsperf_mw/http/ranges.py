"""Byte ranges: which parts of a whole body a request selects (RFC 9110 §14)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from apsperf_mw.http.dates import parse_http_date
from apsperf_mw.http.etags import parse_etag, strong_match

if TYPE_CHECKING:
    from collections.abc import Sequence

# RFC 9110 §14.2 warns of many small or overlapping ranges: past this many the range is ignored.
MOST_RANGES = 16
_MAX_FIELD_BYTES = 1024
_SPEC = re.compile(rb"[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*")
_CONTENT_RANGE = re.compile(rb"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)


class Span(NamedTuple):
    """Bytes `first` to `last`, both included."""

    first: int
    last: int


def parse_ranges(lines: Sequence[bytes], size: int) -> list[Span] | None:
    """The satisfiable ranges of a body of this size, in the order of the request.

    Empty where none can be satisfied; None where the field is to be ignored: another unit,
    malformed, too many, or several that overlap.
    """
    value = b",".join(lines)  # RFC 9110 §5.3
    if len(value) > _MAX_FIELD_BYTES:
        return None
    unit, equals, listed = value.partition(b"=")
    if unit.strip().lower() != b"bytes" or not equals:
        return None
    specs = [spec for spec in listed.split(b",") if spec.strip(b" \t")]
    matches = [_SPEC.fullmatch(spec) for spec in specs]
    if not matches or len(matches) > MOST_RANGES:
        return None
    spans: list[Span] = []
    for match in matches:
        if match is None or _backwards(match):
            return None
        span = _span(match, size)
        if span is not None:
            spans.append(span)
    return None if _overlap(spans) else spans


def _backwards(match: re.Match[bytes]) -> bool:
    first, last, _ = match.groups()
    return bool(last) and int(first) > int(last)  # RFC 9110 §14.1.1: invalid


def _span(match: re.Match[bytes], size: int) -> Span | None:
    first, last, suffix = match.groups()
    if suffix is not None:
        length = min(int(suffix), size)
        return Span(size - length, size - 1) if length else None
    if int(first) >= size:
        return None
    return Span(int(first), min(int(last), size - 1) if last else size - 1)


def _overlap(spans: list[Span]) -> bool:
    ordered = sorted(spans)
    return any(left.last >= right.first for left, right in pairwise(ordered))


def parse_content_range(lines: Sequence[bytes]) -> tuple[Span, int] | None:
    """The range that a 206 carries and the size of the whole; None where either is not known."""
    match = _CONTENT_RANGE.fullmatch(lines[0].strip(b" \t")) if len(lines) == 1 else None
    if match is None or match[3] == b"*":
        return None
    span, size = Span(int(match[1]), int(match[2])), int(match[3])
    return (span, size) if span.first <= span.last < size else None


def if_range(
    lines: Sequence[bytes],
    etag: bytes | None,
    last_modified: bytes | None,
    date: bytes | None,
    now: float,
) -> bool:
    """Whether the Range counts (RFC 9110 §13.1.5): the client holds a part of just this body.

    A date counts only where it is a strong validator: a minute older than Date (§8.8.2.2).
    """
    if not lines:
        return True
    if len(lines) != 1:
        return False
    value = lines[0].strip(b" \t")
    if parse_etag(value) is not None:
        return etag is not None and strong_match(value, etag)
    if value != last_modified:
        return False
    modified, made = parse_http_date(value, now), parse_http_date(date or b"", now)
    return modified is not None and made is not None and made - modified >= 60
