"""Records as versioned MessagePack frames, for stores that keep bytes.

What is not a whole frame of ours and of this version raises `BadFrame`, which says why in one of
`REASONS`; nothing of it is believed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from apsperf_mw.cache.entry import Entry, Fork
from apsperf_mw.cache.epoch import ALONE
from apsperf_mw.cache.packing import ZSTD, packed, unpacked, zstd
from apsperf_mw.errors import APSPerfError, SettingError
from apsperf_mw.http.fields import clean_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.cache.entry import Record
    from apsperf_mw.cache.epoch import Epoch
    from apsperf_mw.exchange import Header
    from apsperf_mw.settings import CacheSettings

# The first field of every frame; a frame of another version is a miss.
FRAME_VERSION = 4
REASONS = ("truncated", "corrupt", "foreign version", "unsound", "oversized", "unreadable packing")
# A body that is packed to less than this share of itself is kept so.
WORTH_IT = 0.9


class BadFrame(APSPerfError, ValueError):
    """Bytes that are no frame of ours; the text is one of `REASONS`."""


class EntryFrame(Struct, array_like=True, tag="e", forbid_unknown_fields=True):
    """An entry as it leaves the process: ages and lifetimes against the wall clock.

    `size` is that of the whole body where `packing` is not empty. `began` is the position of the
    suite's versions at which its request began, in their `generation`; -1 where it is not of it.
    """

    version: int
    packing: Literal["", "zlib", "zstd"]
    size: int
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
    generation: bytes
    began: int


class ForkFrame(Struct, array_like=True, tag="f", forbid_unknown_fields=True):
    """A fork as it leaves the process."""

    version: int
    names: tuple[bytes, ...]
    stamp: int
    variants: tuple[tuple[bytes | None, ...], ...]


_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], EntryFrame | ForkFrame] = msgspec.msgpack.Decoder(
    EntryFrame | ForkFrame
).decode
_fields = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_number = msgspec.msgpack.Decoder(int).decode
# Where a frame says how its body is packed, and what it says of one that is not.
_PACKING_AT, _NOT_PACKED = 6, 0xA0


class Codec:
    """How the records of one suite become bytes and come back.

    Bodies of `from_bytes` and more are packed by `method`, unless they have a content coding. A
    packed body may be `most_bytes` long at most; a longer one is written as it is.
    """

    def __init__(
        self, method: str = "none", from_bytes: int = 8192, most_bytes: int = 1_048_576
    ) -> None:
        self._method = method
        self._from_bytes = from_bytes
        self._most_bytes = most_bytes

    @classmethod
    def of(cls, settings: CacheSettings) -> Codec:
        """The codec that the settings ask for; `SettingError` where it is not installed."""
        if settings.compression == ZSTD:
            try:
                zstd()
            except ImportError:
                raise SettingError(
                    "cache.compression is 'zstd', which needs pip install 'apsperf-mw[zstd]'; "
                    "accepted without it: none, zlib"
                ) from None
        return cls(settings.compression, settings.compress_from_bytes, settings.max_entry_bytes)

    def encode(self, record: Record, wall_offset_s: float, epoch: Epoch = ALONE) -> bytes:
        """The record's frame; `wall_offset_s` is the wall clock less the monotonic one."""
        if isinstance(record, Fork):
            return _encode(ForkFrame(FRAME_VERSION, record.names, record.stamp, record.variants))
        packing, body = self._packed(record)
        return _encode(
            EntryFrame(
                FRAME_VERSION,
                packing,
                len(record.body),
                record.status,
                record.headers,
                body,
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
                epoch.generation,
                max(record.began - epoch.base, -1),
            )
        )

    def decode(
        self, frame: bytes, wall_offset_s: float, now: float, epoch: Epoch = ALONE
    ) -> Record:
        """The record of a frame; raises `BadFrame`.

        An entry whose clock ran backwards is taken as born now and keeps its lifetime at most.
        """
        found = _parsed(frame)
        if isinstance(found, ForkFrame):
            return Fork(found.names, found.stamp, found.variants)
        lifetime = found.fresh_until - found.born_at
        if not sound(found.status, found.headers, lifetime):
            raise BadFrame("unsound")
        body = self._unpacked(found) if found.packing else found.body
        born = min(found.born_at - wall_offset_s, now)
        until = born + lifetime
        return Entry(
            found.status,
            found.headers,
            body,
            born,
            until,
            found.etag,
            found.last_modified,
            found.open_to,
            found.tags,
            epoch.clock(found.generation, found.began),
            vary=found.vary,
            values=found.values,
            route=found.route,
            stale_until=until + found.stale_for_s,
            error_until=until + found.error_for_s,
            strict=found.strict,
            immutable=found.immutable,
            span=found.span,
        )

    def is_slow_to_encode(self, record: Record) -> bool:
        """Whether an event loop should leave it to a thread."""
        return isinstance(record, Entry) and self._is_to_pack(record)

    def _is_to_pack(self, entry: Entry) -> bool:
        return (
            self._method != "none"
            and self._from_bytes <= len(entry.body) <= self._most_bytes
            and all(name.lower() != b"content-encoding" for name, _ in entry.headers)
        )

    def _packed(self, entry: Entry) -> tuple[Literal["", "zlib", "zstd"], bytes]:
        if self._is_to_pack(entry):
            smaller = packed(entry.body, self._method)
            if len(smaller) < WORTH_IT * len(entry.body):
                return "zstd" if self._method == ZSTD else "zlib", smaller
        return "", entry.body

    def _unpacked(self, found: EntryFrame) -> bytes:
        if not 0 <= found.size <= self._most_bytes:
            raise BadFrame("oversized")
        try:
            body = unpacked(found.body, found.packing, found.size)
        except ImportError:
            raise BadFrame("unreadable packing") from None
        if body is None:
            raise BadFrame("corrupt")
        return body


def is_packed(frame: bytes) -> bool:
    """Whether the body of an entry's frame is packed, as far as its first bytes tell."""
    return len(frame) > _PACKING_AT and frame[_PACKING_AT] != _NOT_PACKED


def sound(status: int, headers: tuple[Header, ...], lifetime_s: float) -> bool:
    """Whether a server can send it: a final status, clean fields, a finite lifetime."""
    return (
        200 <= status <= 599
        and 0 <= lifetime_s < math.inf  # false for NaN too
        and clean_headers(headers)
    )


def _parsed(frame: bytes) -> EntryFrame | ForkFrame:
    try:
        found = _decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadFrame(_why(frame, fault)) from None
    if found.version != FRAME_VERSION:
        raise BadFrame("foreign version")
    return found


def _why(frame: bytes, fault: Exception) -> str:
    """Why a frame does not parse."""
    if "truncated" in str(fault):
        return "truncated"
    try:
        version = _number(_fields(frame)[1])
    except (msgspec.DecodeError, IndexError, RecursionError):
        return "corrupt"
    return "corrupt" if version == FRAME_VERSION else "foreign version"


PLAIN = Codec()
