"""The user's keys as bytes that no other cache's and no other app's keys begin with."""

from __future__ import annotations

from typing import Any

from apsperf_mw.cache.arguments import Refusal, encoded
from apsperf_mw.cache.keys import LONGEST, digest, frame

# Another form of the frames or keys gets another number.
VERSION = 1
ACCEPTED = "text, bytes, or a tuple of text, bytes, numbers, dates, UUIDs and the like"


def prefix_of(namespace: str, space: str) -> bytes:
    """What all keys of one cache begin with."""
    return b"apsperf-data:%d:" % VERSION + frame((namespace, space))


def key_bytes(prefix: bytes, key: Any) -> bytes:
    """The key under the prefix; raises `TypeError` for what is none. A long one is a digest.

    Its last byte keeps it apart from leases, whose names are chosen by drivers.
    """
    kind = type(key)
    if kind is str:
        raw = b"%bs%b." % (prefix, key.encode("utf-8", "surrogatepass"))
    elif kind is bytes:
        raw = b"%bb%b." % (prefix, key)
    elif isinstance(key, str):  # a subclass, as frameworks have for safe text
        return key_bytes(prefix, str.__str__(key))
    else:
        raw = b"%b%b." % (prefix, _tuple(key))
    return raw if len(raw) <= LONGEST else _digest(prefix, raw)


def tags_space(prefix: bytes) -> bytes:
    """Where the versions of a cache's tags are; begins as its keys do, and is none of them."""
    return prefix + b"v"


def _tuple(key: Any) -> bytes:
    if type(key) is not tuple:
        raise TypeError(f"key: {type(key).__qualname__} given; accepted: {ACCEPTED}")
    try:
        return encoded(key)
    except Refusal as refusal:
        raise TypeError(f"key: {refusal}; accepted: {ACCEPTED}") from None


def _digest(prefix: bytes, raw: bytes) -> bytes:
    sum_, length = digest(raw[len(prefix) :])
    return b"%bh%d:%b." % (prefix, length, sum_)
