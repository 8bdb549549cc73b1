"""Bodies made smaller for stores that keep bytes, and made whole again within a limit."""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ZLIB, ZSTD = "zlib", "zstd"
# Level 1 of zlib takes a third of the time of its default for nearly the same size.
_ZLIB_LEVEL = 1
_ZSTD_LEVEL = 3


def zstd() -> Any:
    """The module of zstd; `ImportError` where there is none."""
    try:
        return import_module("compression.zstd")
    except ImportError:
        return import_module("backports.zstd")


def packed(body: bytes, method: str) -> bytes:
    """The body in its packed form."""
    if method == ZLIB:
        return zlib.compress(body, _ZLIB_LEVEL)
    smaller: bytes = zstd().compress(body, _ZSTD_LEVEL)
    return smaller


def unpacked(form: bytes, method: str, size: int) -> bytes | None:
    """The body of this size, or None where the form gives another. Makes at most `size` bytes.

    `ImportError` where nothing here can read the form.
    """
    if method == ZLIB:
        return _whole(form, size, zlib.decompressobj(), _by_position, zlib.error)
    module = zstd()
    # A window need not be larger than what it slides over.
    options = {module.DecompressionParameter.window_log_max: max(size.bit_length() + 1, 10)}
    return _whole(form, size, module.ZstdDecompressor(options=options), _by_name, module.ZstdError)


def _by_position(unpacker: Any, form: bytes, most: int) -> bytes:
    made: bytes = unpacker.decompress(form, most)
    return made


def _by_name(unpacker: Any, form: bytes, most: int) -> bytes:
    made: bytes = unpacker.decompress(form, max_length=most)
    return made


def _whole(
    form: bytes,
    size: int,
    unpacker: Any,
    make: Callable[[Any, bytes, int], bytes],
    fault: type[Exception],
) -> bytes | None:
    try:
        made = make(unpacker, form, size + 1)  # of 0 bytes zlib would make as many as there are
    except (fault, MemoryError):
        return None
    return made if len(made) == size and unpacker.eof and not unpacker.unused_data else None
