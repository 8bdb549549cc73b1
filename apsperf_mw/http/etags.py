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
    """Whether a field line names the stored tag, weakly compared, or is `*`: not modified.

    A malformed stored tag matches only the same bytes, as a whole line or, where neither side
    has quotes, as a list member.
    """
    if etag and etag in lines:  # the usual one: it needs no parsing
        return True
    return any(_names_tag(line.strip(OWS), etag) for line in lines)


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


def not_modified(
    if_none_match_lines: Sequence[bytes],
    if_modified_since_lines: Sequence[bytes],
    etag: bytes | None,
    last_modified: bytes | None,
) -> bool:
    """Whether a GET or HEAD with these fields is answered 304 from the stored validators."""
    if if_none_match_lines:  # RFC 9110 §13.2.2: then the date is not looked at
        return if_none_match(if_none_match_lines, etag)
    if last_modified is None or len(if_modified_since_lines) != 1:
        return False
    since = parse_http_date(if_modified_since_lines[0])
    modified = parse_http_date(last_modified)
    return since is not None and modified is not None and modified <= since  # §13.1.3
