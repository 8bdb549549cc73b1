"""Entity tags and the preconditions that a cache answers itself (RFC 9110 §8.8.3, §13)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from apsperf_mw.http.dates import parse_http_date
from apsperf_mw.http.fields import OWS

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENTITY_TAG = re.compile(rb'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')  # RFC 9110 §8.8.3


def parse_etag(value: bytes) -> tuple[bool, bytes] | None:
    """Whether the tag is weak, and what stands between its quotes; None if it is malformed."""
    match = _ENTITY_TAG.fullmatch(value)
    return (match[1] is not None, match[2]) if match else None


def strong_match(left: bytes, right: bytes) -> bool:
    """The strong comparison, as If-Match and If-Range need it (RFC 9110 §8.8.3.2)."""
    return left == right and (tag := parse_etag(left)) is not None and not tag[0]


def if_none_match(lines: Sequence[bytes], etag: bytes | None) -> bool:
    """Whether the field names the stored tag, weakly compared, or is `*`: not modified.

    Several lines are one list (RFC 9110 §5.3). A malformed stored tag matches only the same
    bytes, as the whole field or, where neither side has quotes, as a list member.
    """
    line = lines[0] if len(lines) == 1 else b",".join(lines)
    return (line == etag != b"") or _names_tag(line.strip(OWS), etag)  # mostly no need to parse


def _names_tag(line: bytes, etag: bytes | None) -> bool:
    if line == b"*":
        return True
    if not etag or (quoted := etag.removeprefix(b"W/")) not in line:
        return False
    tag = parse_etag(etag)
    if tag is None:
        return line == etag or (b'"' not in line and etag in map(_strip, line.split(b",")))
    return line.removeprefix(b"W/") == quoted or _lists(line, tag[1])


def _lists(line: bytes, opaque: bytes) -> bool:
    # A tag knows no escape: each second quote ends one, and what is between is a separator.
    parts = (b",%b," % line).split(b'"')
    return any(
        tag == opaque and before and _opens(before) and after.lstrip(OWS).startswith(b",")
        for before, tag, after in zip(parts[::2], parts[1::2], parts[2::2], strict=False)
    )


def _opens(separator: bytes) -> bool:
    return separator.removesuffix(b"W/").rstrip(OWS).endswith(b",")


def _strip(member: bytes) -> bytes:
    return member.strip(OWS)


def not_modified_since(
    lines: Sequence[bytes], last_modified: bytes | None, made_at: float, now: float
) -> bool:
    """Whether the stored response is no younger than If-Modified-Since (RFC 9110 §13.1.3).

    Without Last-Modified the moment counts at which it was made (RFC 9111 §4.3.2).
    """
    since = parse_http_date(lines[0], now) if len(lines) == 1 else None
    modified = made_at if last_modified is None else parse_http_date(last_modified, now)
    return since is not None and modified is not None and modified <= since
