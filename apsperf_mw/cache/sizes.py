"""What keys take in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apsperf_mw.cache.keys import Key


def key_bytes(key: Key) -> int:
    """What the text of a key takes: a client chooses host, path and the values of variants."""
    try:
        return len("".join(key))  # type: ignore[arg-type]
    except TypeError:  # a variant's, or one with a digest in it
        return sum(map(_part_bytes, key))


def _part_bytes(part: str | bytes | int | Key | None) -> int:
    if isinstance(part, tuple):
        return key_bytes(part)
    return len(part) if isinstance(part, str | bytes) else 0
