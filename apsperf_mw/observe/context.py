"""Trace context as it travels: W3C `traceparent` and `tracestate`. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# W3C Trace Context §3.3.1.5: what is longer may be dropped.
MOST_STATE_BYTES = 512
MOST_STATE_MEMBERS = 32
# W3C Trace Context §3.3.1.3.
_KEY = r"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
_VALUE = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER = re.compile(f"({_KEY})={_VALUE}")


class Remote(NamedTuple):
    """The caller's span."""

    trace_id: int
    span_id: int
    sampled: bool


def parse_traceparent(value: bytes) -> Remote | None:
    """The caller's span, or None for anything that is not one (W3C Trace Context §3.2).

    A version that is not known yet is read as far as this one goes.
    """
    match = _TRACEPARENT.fullmatch(value.strip(b" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == b"ff" or (version == b"00" and rest is not None):
        return None
    remote = Remote(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & 1))
    return remote if remote.trace_id and remote.span_id else None


def bounded_state(lines: Sequence[bytes]) -> str:
    """The caller's `tracestate` as one line; empty where it is too long or breaks the grammar.

    A state that does not parse says nothing (W3C Trace Context §3.3): none of it is kept.
    """
    if sum(map(len, lines)) + len(lines) - 1 > MOST_STATE_BYTES:
        return ""
    state = b",".join(lines).decode("latin-1")
    members = [each for member in state.split(",") if (each := member.strip(" \t"))]
    keys = [match[1] for member in members if (match := _MEMBER.fullmatch(member))]
    sound = len(set(keys)) == len(members) <= MOST_STATE_MEMBERS
    return ",".join(members) if sound else ""
