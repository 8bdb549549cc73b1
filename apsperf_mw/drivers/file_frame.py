"""What the file driver writes for one value: whose it is, until when it counts, and a check sum.

Times are of a clock that every process of the host shares and that nobody sets: the time since the
machine was started. Where a system has none, they are of the wall clock.
"""

from __future__ import annotations

import time
from functools import cache
from hashlib import blake2b
from pathlib import Path
from struct import Struct, error
from zlib import crc32

# Mark and version, made at, good until, length of the value.
_HEAD = Struct("<4sddQ")
_SUM = Struct("<I")
_MARK = b"aps\x01"
HEAD_BYTES = _HEAD.size + _SUM.size
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot() -> int:
    """A number of this life of the machine, from 1; 0 where the system does not tell."""
    try:
        told = _BOOT_ID.read_bytes()
    except OSError:
        return 0
    return (crc32(told) & 0x7FFFFFFF or 1) if hasattr(time, "CLOCK_BOOTTIME") else 0


def clock() -> float:
    """Seconds that go on evenly for all processes until the machine is started anew."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if boot() else time.time()


def digest(key: bytes) -> bytes:
    """What a key is found by."""
    return blake2b(key, digest_size=20).digest()


def framed(key: bytes, value: bytes, ttl_s: float) -> bytes:
    """The value as it is written."""
    now = clock()
    head = _HEAD.pack(_MARK, now, now + ttl_s, len(value))
    return b"".join((head, _SUM.pack(_sum(head, key, value)), value))


def unframed(key: bytes, frame: bytes) -> tuple[bytes | None, bool]:
    """The value, or None where its time is over; and whether the frame is whole and of this key."""
    try:
        mark, made, until, size = _HEAD.unpack_from(frame)
        (told,) = _SUM.unpack_from(frame, _HEAD.size)
    except error:
        return None, False
    value = frame[HEAD_BYTES:]
    if mark != _MARK or size != len(value):
        return None, False
    if told != _sum(frame[: _HEAD.size], key, value):
        return None, False
    # A second's grace: clocks of two processors may differ a little.
    return (value if made - 1 <= clock() < until else None), True


def _sum(head: bytes, key: bytes, value: bytes) -> int:
    return crc32(value, crc32(key, crc32(head)))
