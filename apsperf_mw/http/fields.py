"""Tokens, lists and the list-like fields that a cache reads.

One rule serves everything malformed: it may take a permission away, never give one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_SECONDS = 2**31
"""What a larger delta-seconds is clamped to (RFC 9111 §1.2.2)."""

MAX_VARY_NAMES = 32

# RFC 9110 §7.6.1 and RFC 9111 §3.1; Trailer too, since no trailers are stored.
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

OWS = b" \t"  # RFC 9110 §5.6.3
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_UNSAFE = re.compile(rb"[\r\n\0]")  # RFC 9110 §5.5
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)  # RFC 9110 §5.6.4

# The group catches a quote that nothing closes. Each alternative starts with another byte and
# nothing follows the repetition, so there is nothing to backtrack into: linear.
_MEMBER = re.compile(rb'(?:[^",]+|"(?:[^"\\]|\\.)*"|(".*))+', re.DOTALL)

_MAX_FIELD_BYTES = 8192
_MEMO_BYTES = 256
_MEMO_ENTRIES = 512
_MAX_LENGTH_DIGITS = 18  # all of them below 2**63


class CacheControl(Struct, frozen=True, gc=False):
    """The cache directives of one message, request or response (RFC 9111 §5.2).

    Of seconds, None means absent, and 0 also unreadable. `no_cache` and `private` are the
    unqualified forms; qualified ones list lower-case names. A bare max-stale is MAX_SECONDS.
    """

    no_store: bool = False
    no_cache: bool = False
    no_cache_fields: tuple[bytes, ...] = ()
    private: bool = False
    private_fields: tuple[bytes, ...] = ()
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    no_transform: bool = False
    immutable: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    max_stale: int | None = None
    min_fresh: int | None = None

    @property
    def restricts(self) -> bool:
        """Whether a directive may forbid storing, or reuse without asking."""
        return (
            self.no_store
            or self.no_cache
            or self.private
            or self.must_understand
            or self.no_cache_fields != ()
            or self.private_fields != ()
        )


_ABSENT = CacheControl()
_UNREADABLE = CacheControl(no_store=True)


def parse_cache_control(lines: Sequence[bytes]) -> CacheControl:
    """The directives of all field lines, in order; of repeated seconds the first wins.

    A line with an open quote, and a field beyond 8 KiB, count as no-store as well: what they
    hide might forbid storing.
    """
    if not lines:
        return _ABSENT
    # A line feed cannot stand in a field value, and keeps an open quote within its line.
    value = lines[0] if len(lines) == 1 else b"\n".join(lines)
    if len(value) <= _MEMO_BYTES:
        return _recall(value)
    return _read(value) if len(value) <= _MAX_FIELD_BYTES else _UNREADABLE


def _read(value: bytes) -> CacheControl:
    found: dict[str, Any] = {}
    for line in value.split(b"\n"):
        for member in _members(line):
            if directive := member.strip(OWS):
                _add(found, directive)
    return CacheControl(**found)


_recall = lru_cache(maxsize=_MEMO_ENTRIES)(_read)


def _members(line: bytes) -> list[bytes]:
    if b'"' not in line:
        return line.split(b",")
    matches = list(_MEMBER.finditer(line))
    members = [match.group() for match in matches]
    if matches and matches[-1].lastindex:
        members.append(b"no-store")
    return members


def _add(found: dict[str, Any], directive: bytes) -> None:
    name, equals, argument = directive.partition(b"=")
    name = name.lower()
    rule = _DIRECTIVES.get(name)
    if rule is None:
        # `no-store;`, `max-age =60`: a known name ill followed restricts, with no usable value.
        token = _TOKEN.match(name)
        rule = _DIRECTIVES.get(token.group()) if token else None
        equals, argument = b"=", b" "
    if rule is not None:
        attribute, add = rule
        add(found, attribute, argument if equals else None)


def _add_restriction(found: dict[str, Any], attribute: str, _argument: bytes | None) -> None:
    found[attribute] = True


def _add_permission(found: dict[str, Any], attribute: str, argument: bytes | None) -> None:
    if argument is None:
        found[attribute] = True


def _add_seconds(found: dict[str, Any], attribute: str, argument: bytes | None) -> None:
    # RFC 9111 §4.2.1: the first of several; stale if it cannot be read. §5.2: either form.
    found.setdefault(attribute, delta_seconds(_unquote(argument or b"")))


def _add_max_stale(found: dict[str, Any], attribute: str, argument: bytes | None) -> None:
    seconds = MAX_SECONDS if argument is None else delta_seconds(_unquote(argument))
    found.setdefault(attribute, seconds)  # RFC 9111 §5.2.1.2


def _add_field_names(found: dict[str, Any], attribute: str, argument: bytes | None) -> None:
    names = _list_names(_unquote(argument or b""))
    if names and all(map(_TOKEN.fullmatch, names)):  # RFC 9111 §5.2.2.4, §5.2.2.7
        qualified = attribute + "_fields"
        found[qualified] = found.get(qualified, ()) + tuple(names)
    else:
        found[attribute] = True


_DIRECTIVES: dict[bytes, tuple[str, Callable[[dict[str, Any], str, bytes | None], None]]] = {
    b"no-store": ("no_store", _add_restriction),
    b"no-cache": ("no_cache", _add_field_names),
    b"private": ("private", _add_field_names),
    b"public": ("public", _add_permission),
    b"must-revalidate": ("must_revalidate", _add_restriction),
    b"proxy-revalidate": ("proxy_revalidate", _add_restriction),
    b"must-understand": ("must_understand", _add_permission),  # it overrides no-store
    b"no-transform": ("no_transform", _add_restriction),
    b"immutable": ("immutable", _add_permission),  # RFC 8246
    b"only-if-cached": ("only_if_cached", _add_permission),
    b"max-age": ("max_age", _add_seconds),
    b"s-maxage": ("s_maxage", _add_seconds),
    b"stale-while-revalidate": ("stale_while_revalidate", _add_seconds),  # RFC 5861
    b"stale-if-error": ("stale_if_error", _add_seconds),
    b"max-stale": ("max_stale", _add_max_stale),
    b"min-fresh": ("min_fresh", _add_seconds),
}


def parse_vary(lines: Sequence[bytes]) -> tuple[bytes, ...] | None:
    """The selecting field names, lower case, sorted and unique; None if no request can match.

    That is `*` anywhere (RFC 9111 §4.1), and what nothing safe can be keyed on: a name that is
    no token, more than MAX_VARY_NAMES names, a field beyond 8 KiB.
    """
    value = b",".join(lines)
    if len(value) > _MAX_FIELD_BYTES:
        return None
    names = set(_list_names(value))
    if b"*" in names or len(names) > MAX_VARY_NAMES or not all(map(_TOKEN.fullmatch, names)):
        return None
    return tuple(sorted(names))


def parse_age(lines: Sequence[bytes]) -> int:
    """The seconds; 0 where it is absent, MAX_SECONDS where it is no number or more than one.

    A cache may ignore what is invalid, and read the first of several (RFC 9111 §5.1). Who says an
    Age is a cache that held the response for a while: how long is not known then, and such a
    response is better taken for stale (§4.2.1) than for new.
    """
    if not lines:
        return 0
    value = lines[0].strip(OWS)
    return delta_seconds(value) if len(lines) == 1 and value.isdigit() else MAX_SECONDS


def parse_content_length(lines: Sequence[bytes]) -> int | None:
    """The body's length in bytes; None if absent, -1 if invalid or contradictory."""
    if not lines:
        return None
    if len(lines) == 1 and lines[0].isdigit() and len(lines[0]) <= _MAX_LENGTH_DIGITS:
        return int(lines[0])
    # RFC 9110 §8.6: one value, however often, stands for one.
    lengths = {member.strip(OWS) for member in b",".join(lines).split(b",")}
    length = lengths.pop()
    readable = length.isdigit() and len(length) <= _MAX_LENGTH_DIGITS
    return int(length) if readable and not lengths else -1


def connection_names(lines: Sequence[bytes]) -> frozenset[bytes]:
    """The lower-case names that Connection lists, which end at this hop (RFC 9110 §7.6.1)."""
    return frozenset(_TOKEN.findall(b",".join(lines).lower()))


def clean_headers(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether all of these fields are clean, as `clean_header` says of one; cheaper for many."""
    names, values = [name for name, _ in headers], [value for _, value in headers]
    return clean_names(names) and clean_value(b"".join(values))


def clean_names(names: Sequence[bytes]) -> bool:
    """Whether all of these field names are tokens."""
    return _clean_names.issuperset(names) or _learn_clean(names)


def clean_value(value: bytes) -> bool:
    """Whether a field value, or many joined, has no CR, LF or NUL (RFC 9110 §5.5)."""
    return 10 not in value and 13 not in value and 0 not in value  # numbers are found faster


# Names that were found to be tokens: an app sends the same few again and again.
_clean_names: set[bytes] = set()
_MOST_CLEAN_NAMES = 1024


def _learn_clean(names: Sequence[bytes]) -> bool:
    if not all(map(_TOKEN.fullmatch, names)):
        return False
    if len(_clean_names) < _MOST_CLEAN_NAMES:
        _clean_names.update(name for name in names if len(name) <= _MEMO_BYTES)
    return True


def clean_header(name: bytes, value: bytes) -> bool:
    """Whether a field can be written without forging another: a token, and no CR, LF or NUL."""
    return _TOKEN.fullmatch(name) is not None and _UNSAFE.search(value) is None


def delta_seconds(value: bytes) -> int:
    """Seconds clamped to MAX_SECONDS; 0 for anything but ASCII digits (RFC 9111 §1.2.2)."""
    if not value.isdigit():
        return 0
    digits = value.lstrip(b"0")
    return min(int(digits or b"0"), MAX_SECONDS) if len(digits) <= 10 else MAX_SECONDS


def _unquote(value: bytes) -> bytes:
    """The content of a quoted-string; any other value as it is (RFC 9110 §5.6.4)."""
    if len(value) < 2 or not value.startswith(b'"') or not value.endswith(b'"'):
        return value
    content = value[1:-1]
    return _QUOTED_PAIR.sub(rb"\1", content) if b"\\" in content else content


def _list_names(value: bytes) -> list[bytes]:
    return [name for part in value.lower().split(b",") if (name := part.strip(OWS))]
