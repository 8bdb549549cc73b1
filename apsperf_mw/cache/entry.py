"""A stored response, the fork that leads to its variants, and their form as bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from apsperf_mw.cache.policy import selected
from apsperf_mw.http.fields import clean_header
from apsperf_mw.http.normal import NORMALISERS, spaced

if TYPE_CHECKING:
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Exchange, Header

Values = tuple["bytes | None", ...]

# The first field of every frame; a frame of another version is a miss.
FRAME_VERSION = 2
# What the objects of one entry take beside its bytes, measured on CPython 3.11.
OVERHEAD_BYTES = 640
FIELD_BYTES = 140


class Entry(Struct, gc=False, eq=False):
    """A stored response; instants are seconds of the process's monotonic clock.

    `born` is when its age was zero. `open_to` are the request flags under which it may be served.
    `began` is the tag clock when its request began. Nothing in it refers to a container that the
    garbage collector must follow. `route` is the template of the route that made it. Stale, it
    may be served until `stale_until` while it is fetched anew, and until `error_until` in place
    of an error; never where it is `strict`. `span` is where in the whole body a part stands: its
    first and last byte and the size of the whole.
    """

    status: int
    headers: tuple[Header, ...]
    body: bytes
    born: float
    fresh_until: float
    etag: bytes | None = None
    last_modified: bytes | None = None
    open_to: int = 0
    tags: tuple[str, ...] = ()
    began: int = 0
    vary: tuple[bytes, ...] = ()
    values: Values = ()
    route: str = ""
    stale_until: float = 0.0
    error_until: float = 0.0
    strict: bool = False
    immutable: bool = False
    span: tuple[int, int, int] | None = None
    # Both wire forms of the head, with the instant at which the next second of age begins.
    scope_wire: tuple[float, tuple[Header, ...]] = (0.0, ())
    environ_wire: tuple[float, tuple[tuple[str, str], ...]] = (0.0, ())

    @property
    def size_bytes(self) -> int:
        """What the entry takes in memory, roughly: body, both forms of the head, objects."""
        head = 0
        for name, value in self.headers:
            head += len(name) + len(value) + FIELD_BYTES
        return len(self.body) + 3 * head + OVERHEAD_BYTES


def date_of(entry: Entry) -> bytes | None:
    """The stored Date."""
    return next((value for name, value in entry.headers if name.lower() == b"date"), None)


# RFC 9111 §5.2.1.7: what was asked for is not stored, and the app must not be asked.
NOT_CACHED = Entry(504, ((b"content-length", b"0"),), b"", 0.0, 0.0)


class Fork(Struct, gc=False, eq=False, frozen=True):
    """Stands under a URL's key where responses vary: the field names, and the variants' values.

    `stamp` is part of each variant's key, so that a fork made anew never finds old variants.
    """

    names: tuple[bytes, ...]
    stamp: int
    variants: tuple[Values, ...] = ()

    @property
    def size_bytes(self) -> int:
        """What the fork takes in memory, roughly."""
        values = sum(len(value or b"") + 60 for values in self.variants for value in values)
        return OVERHEAD_BYTES + values

    def key(self, primary: Key, values: Values) -> Key:
        """The key of one variant."""
        return (primary, self.stamp, *values)


Record = Entry | Fork


def values_of(x: Exchange, names: tuple[bytes, ...]) -> Values:
    """The request's values of the nominated fields in normal form; absent is None, not empty.

    RFC 9111 §4.1. A name with a colon is a route's own selector.
    """
    return tuple([_value(x, name) for name in names])


def _value(x: Exchange, name: bytes) -> bytes | None:
    if b":" in name:
        return selected(name, x)
    lines = x.fields(name)
    if not lines:
        return None
    normal = NORMALISERS.get(name, spaced)
    return normal(b",".join(lines))


class EntryFrame(Struct, array_like=True, tag="e", forbid_unknown_fields=True):
    """An entry as it leaves the process: ages and lifetimes against the wall clock."""

    version: int
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    born_at: float
    fresh_until: float
    etag: bytes | None
    last_modified: bytes | None
    open_to: int
    tags: tuple[str, ...]
    vary: tuple[bytes, ...]
    values: tuple[bytes | None, ...]
    route: str
    stale_for_s: float
    error_for_s: float
    strict: bool
    immutable: bool
    span: tuple[int, int, int] | None


class ForkFrame(Struct, array_like=True, tag="f", forbid_unknown_fields=True):
    """A fork as it leaves the process."""

    version: int
    names: tuple[bytes, ...]
    stamp: int
    variants: tuple[tuple[bytes | None, ...], ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(EntryFrame | ForkFrame).decode


def encode(record: Record, wall_offset_s: float) -> bytes:
    """The record's frame; `wall_offset_s` is the wall clock less the monotonic one."""
    if isinstance(record, Fork):
        return _encode(ForkFrame(FRAME_VERSION, record.names, record.stamp, record.variants))
    return _encode(
        EntryFrame(
            FRAME_VERSION,
            record.status,
            record.headers,
            record.body,
            record.born + wall_offset_s,
            record.fresh_until + wall_offset_s,
            record.etag,
            record.last_modified,
            record.open_to,
            record.tags,
            record.vary,
            record.values,
            record.route,
            record.stale_until - record.fresh_until,
            record.error_until - record.fresh_until,
            record.strict,
            record.immutable,
            record.span,
        )
    )


def decode(frame: bytes, wall_offset_s: float, now: float) -> Record | None:
    """The record of a frame, or None where it is not one of ours or not of this version.

    An entry whose clock ran backwards is taken as born now and keeps its lifetime at most.
    """
    try:
        found = _decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if found.version != FRAME_VERSION:
        return None
    if isinstance(found, ForkFrame):
        return Fork(found.names, found.stamp, found.variants)
    lifetime = found.fresh_until - found.born_at
    if not sound(found.status, found.headers, lifetime):
        return None
    born = min(found.born_at - wall_offset_s, now)
    until = born + lifetime
    return Entry(
        found.status,
        found.headers,
        found.body,
        born,
        until,
        found.etag,
        found.last_modified,
        found.open_to,
        found.tags,
        vary=found.vary,
        values=found.values,
        route=found.route,
        stale_until=until + found.stale_for_s,
        error_until=until + found.error_for_s,
        strict=found.strict,
        immutable=found.immutable,
        span=found.span,
    )


def sound(status: int, headers: tuple[Header, ...], lifetime_s: float) -> bool:
    """Whether a server can send it: a final status, clean fields, a finite lifetime."""
    return (
        200 <= status <= 599
        and 0 <= lifetime_s < math.inf  # false for NaN too
        and all(clean_header(name, value) for name, value in headers)
    )
