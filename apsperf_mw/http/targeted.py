"""Targeted cache control (RFC 9213): fields that speak to one kind of cache, as dictionaries.

A field that does not parse says nothing, as RFC 9651 §4.2 wants it, and the next one is asked.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from apsperf_mw.http.fields import MAX_SECONDS, OWS, CacheControl

if TYPE_CHECKING:
    from collections.abc import Sequence

# The first that is there and parses is obeyed (RFC 9213 §2.2).
OURS_ALONE = b"apsperf-cache-control"
TARGETS = (OURS_ALONE, b"cdn-cache-control")

_MAX_FIELD_BYTES = 8192
_MAX_DIGITS = 15  # RFC 9651 §3.3.1

_KEY = rb"[a-z*][a-z0-9_\-.*]*"
_STRING = rb'"(?:[ !#-\[\]-~]|\\["\\])*"'
_NUMBER = rb"-?[0-9]{1,12}\.[0-9]{1,3}|-?[0-9]{1,15}"
_SF_TOKEN = rb"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*"
_BYTES = rb":[A-Za-z0-9+/=]*:"
_DATE = rb"@-?[0-9]{1,15}"
_DISPLAY = rb'%"(?:[ !#$&-~]|%[0-9a-f]{2})*"'
_BARE = b"|".join((_STRING, _NUMBER, _SF_TOKEN, _BYTES, rb"\?[01]", _DATE, _DISPLAY))
_PARAMETERS = rb"(?:;\ *" + _KEY + rb"(?:=(?:" + _BARE + rb"))?)*"
_ITEM = rb"(?:" + _BARE + rb")" + _PARAMETERS
_INNER_LIST = rb"\(\ *(?:" + _ITEM + rb"(?:\ +" + _ITEM + rb")*)?\ *\)" + _PARAMETERS
_MEMBER = (
    rb"(?P<key>"
    + _KEY
    + rb")(?:=(?:(?P<bare>"
    + _BARE
    + rb")"
    + _PARAMETERS
    + rb"|"
    + _INNER_LIST
    + rb")|"
    + _PARAMETERS
    + rb")"
)
_COMMA = re.compile(rb"[ \t]*,[ \t]*")


def parse_dictionary(lines: Sequence[bytes]) -> dict[bytes, bytes] | None:
    """The members of a dictionary (RFC 9651 §4.2.2), bare items as they are written.

    A key alone is `?1`, an inner list `(`; of a repeated key the last counts. None where the
    field does not parse.
    """
    value = b",".join(lines).strip(b" ")
    if len(value) > _MAX_FIELD_BYTES:
        return None
    members: dict[bytes, bytes] = {}
    match_member = _compiled().match
    at = 0
    while at < len(value):
        member = match_member(value, at)
        if member is None:
            return None
        members.pop(member["key"], None)
        members[member["key"]] = _bare(member)
        at = member.end()
        comma = _COMMA.match(value, at)
        if comma is None:
            return members if not value[at:].strip(OWS) else None
        at = comma.end()
        if at == len(value):
            return None  # nothing behind the comma
    return members


@cache
def _compiled() -> re.Pattern[bytes]:
    """Compiled when the first targeted field comes: it takes milliseconds."""
    return re.compile(_MEMBER)


def _bare(member: re.Match[bytes]) -> bytes:
    bare: bytes | None = member["bare"]
    if bare is not None:
        return bare
    after = member.group()[len(member["key"]) :]
    return b"(" if after.startswith(b"=") else b"?1"


def parse_targeted(lines: Sequence[bytes]) -> CacheControl | None:
    """The directives of a targeted field; None where it is empty or does not parse."""
    return _recall(tuple(lines)) if lines else None


@lru_cache(maxsize=256)
def _recall(lines: tuple[bytes, ...]) -> CacheControl | None:
    members = parse_dictionary(lines)
    return _directives(members) if members else None


def _directives(members: dict[bytes, bytes]) -> CacheControl:
    """RFC 9213 §2.1: a value of the wrong type is as if the directive were not there."""
    flags = {name: members.get(key) == b"?1" for key, name in _FLAGS.items()}
    # A restriction with a value, as `private="x"`, still restricts.
    for key in (b"no-store", b"no-cache", b"private", b"must-revalidate", b"proxy-revalidate"):
        flags[_FLAGS[key]] = members.get(key, b"?0") != b"?0"
    seconds = {name: _seconds(members.get(key)) for key, name in _SECONDS.items()}
    return CacheControl(**flags, **seconds)  # type: ignore[arg-type]


def _seconds(bare: bytes | None) -> int | None:
    if bare is None or not bare.isdigit() or len(bare) > _MAX_DIGITS:
        return None  # RFC 9213 §2.1: an integer, else ignored
    return min(int(bare), MAX_SECONDS)


_FLAGS = {
    b"no-store": "no_store",
    b"no-cache": "no_cache",
    b"private": "private",
    b"public": "public",
    b"must-revalidate": "must_revalidate",
    b"proxy-revalidate": "proxy_revalidate",
    b"must-understand": "must_understand",
    b"no-transform": "no_transform",
    b"immutable": "immutable",
}
_SECONDS = {
    b"max-age": "max_age",
    b"s-maxage": "s_maxage",
    b"stale-while-revalidate": "stale_while_revalidate",
    b"stale-if-error": "stale_if_error",
}
