"""Trace context as it travels: W3C `traceparent` and `tracestate`. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# W3C Trace Context §3.3.1.5: what is longer may be dropped.
MOST_STATE_BYTES = 512


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


def bounded_state(lines: tuple[bytes, ...] | list[bytes]) -> str:
    """The caller's `tracestate` as one line; empty where it is too long or not ASCII."""
    state = b",".join(lines)
    return state.decode("ascii") if len(state) <= MOST_STATE_BYTES and state.isascii() else ""
