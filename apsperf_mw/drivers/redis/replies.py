"""The replies of several commands as one answer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.drivers.redis.commands import was_kept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apsperf_mw.drivers.redis.commands import Reply


def present(keys: Sequence[bytes], found: Sequence[bytes | None]) -> dict[bytes, bytes]:
    """The values that are there, by key."""
    pairs = zip(keys, found, strict=True)
    return {key: value for key, value in pairs if value is not None}


def declined(items: Mapping[bytes, bytes], replies: Sequence[Reply]) -> list[bytes]:
    """The keys whose value is not kept."""
    pairs = zip(items, replies, strict=True)
    return [key for key, reply in pairs if not was_kept(reply)]
