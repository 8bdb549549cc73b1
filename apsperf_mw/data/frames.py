"""A value as it is kept: how long it is good, and what makes it void.

Instants are seconds of the wall clock, for processes share what is kept. The driver's own time to
live ends a value; the instant in the frame says how much of it is left when it is written anew.
"""

from __future__ import annotations

import math
from struct import Struct as Layout
from typing import Any, Final

import msgspec
from msgspec import Struct

# The first byte of a frame says its form, and so the version; others are misses, counted.
BARE: Final = 1
FULL: Final = 2
HEAD = Layout(">Bd")
HEAD_BYTES: Final = HEAD.size


class Terms(Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What a value with tags, or one that may be given stale, carries beside itself.

    `generation` and `position` say where the tags stood when its making began.
    """

    fresh_until: float
    tags: tuple[str, ...] = ()
    generation: bytes = b""
    position: int = 0


class Held(Struct, gc=False):
    """A frame taken apart; `terms` only where there is more than an instant."""

    data: bytes
    until: float
    terms: Terms | None = None


_head = HEAD.pack
_encode_terms = msgspec.msgpack.Encoder().encode
_decode_full = msgspec.msgpack.Decoder(tuple[Terms, bytes]).decode


def bare(data: bytes, until: float) -> bytes:
    """The frame of a value that carries nothing beside its instant."""
    return _head(BARE, until) + data


def framed(held: Held) -> bytes:
    """The frame."""
    if held.terms is None:
        return bare(held.data, held.until)
    return HEAD.pack(FULL, held.until) + _encode_terms((held.terms, held.data))


def unframed(frame: bytes) -> Held | None:
    """What a frame holds; None where it is not one of this version."""
    if len(frame) <= HEAD_BYTES:
        return None
    form, until = HEAD.unpack_from(frame)
    body = frame[HEAD_BYTES:]
    if form == BARE:
        return Held(body, until)
    return _full(body, until) if form == FULL and math.isfinite(until) else None


def _full(body: bytes, until: float) -> Held | None:
    try:
        found: Any = _decode_full(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    terms, data = found
    return Held(data, until, terms)


def touched(frame: bytes | None, ttl_s: float, wall: float) -> tuple[bytes, float] | None:
    """The same value with a new time to live, and that time; None where there is no value."""
    held = None if frame is None else unframed(frame)
    if held is None:
        return None
    held.until = wall + ttl_s
    if held.terms is not None:
        terms = held.terms
        held.terms = Terms(held.until, terms.tags, terms.generation, terms.position)
    return framed(held), ttl_s
