"""diskcache's files, without its pickles: bytes only, under names that only we make."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from diskcache import Disk
from diskcache.core import MODE_BINARY, MODE_RAW

if TYPE_CHECKING:
    from collections.abc import Container


# What is longer is written to a file of its own.
INLINE_BYTES = 32_768
_NAME = re.compile(r"[0-9a-f]{32}\.val")
# A file without a row that is so old belongs to no write under way.
ORPHAN_S = 60.0


class ForeignRow(Exception):
    """A row of the database that this driver did not write."""


class BytesDisk(Disk):  # type: ignore[misc]
    """Keeps bytes under bytes; whatever else a row asks for is refused."""

    # No file is longer.
    most_bytes = 2**30

    def put(self, key: bytes) -> Any:
        """The key as the database has it."""
        return key, True

    def get(self, key: object, raw: object) -> bytes:
        """The key of a row."""
        if not isinstance(key, bytes) or raw != 1:
            raise ForeignRow("a key is not bytes")
        return key

    def store(self, value: bytes, read: bool, key: object = None) -> Any:  # noqa: ARG002
        """Size, mode, file's name and value for a row; a file is whole when this returns."""
        if len(value) <= INLINE_BYTES:
            return 0, MODE_RAW, None, value
        name = f"{os.urandom(16).hex()}.val"
        self._save(name, value)
        return len(value), MODE_BINARY, name, None

    def fetch(self, mode: object, filename: object, value: object, read: object) -> bytes:  # noqa: ARG002
        """The bytes of a row. Raises `ForeignRow`, or `OSError` where its file is not there."""
        if mode == MODE_RAW and filename is None and isinstance(value, bytes):
            return value
        if mode == MODE_BINARY and value is None and is_name(filename):
            return self._read(str(filename))
        raise ForeignRow(f"mode {mode!r}")

    def remove(self, file_path: str) -> None:
        """Remove a file of ours; one that is not there, or not ours, is left alone."""
        if is_name(file_path):
            with suppress(OSError):
                self._path(file_path).unlink()

    def sweep(self, known: Container[str]) -> None:
        """Remove old files that no row knows of: somebody was killed while writing them."""
        for entry in os.scandir(self._directory):
            if is_name(entry.name) and entry.name not in known:
                with suppress(OSError):
                    if time() - entry.stat(follow_symlinks=False).st_mtime > ORPHAN_S:
                        Path(entry.path).unlink()

    def _path(self, name: str) -> Path:
        return Path(self._directory, name)

    def _save(self, name: str, value: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path(name), flags, 0o600)
        try:
            _write_all(descriptor, value)
        except BaseException:
            self.remove(name)
            raise
        finally:
            os.close(descriptor)

    def _read(self, name: str) -> bytes:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path(name), flags)
        try:
            size = os.fstat(descriptor).st_size
            if size > self.most_bytes:
                raise ForeignRow("its file is too large")
            return os.read(descriptor, size)
        finally:
            os.close(descriptor)


def is_name(name: object) -> bool:
    """Whether it is a name that we make: it cannot leave the directory."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _write_all(descriptor: int, value: bytes) -> None:
    rest = memoryview(value)
    while rest:
        written = os.write(descriptor, rest)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]
