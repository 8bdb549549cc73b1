"""What an interrupted warm-up has done, in a small file."""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from apsperf_mw.warm.origin import Origin
    from apsperf_mw.warm.run import Page

MAGIC = b"apsperf-warm 1 "
MOST_BYTES = 64 * 2**20
ACCEPTED = "a file that an earlier run with the same --base and --host has left, or a new one"

_DONE = re.compile(rb"[0-9a-f]{32}")


class StateError(Exception):
    """The file cannot be read or written, or is not ours; the text says what is accepted."""


class Progress:
    """The pages done so far: a digest a line, written as they are done.

    A line that was cut off when the machine stopped counts for nothing.
    """

    def __init__(self, path: Path, origin: Origin) -> None:
        self._path = path
        self._head = MAGIC + _digest(origin.scheme, origin.authority, origin.host)
        self._done = self._read()
        self._file = self._open()

    @classmethod
    def open(cls, name: str, origin: Origin) -> Self:
        """The progress kept in the file of this name, which is made if need be."""
        try:
            return cls(Path(name), origin)
        except OSError as error:
            raise StateError(f"{error.strerror or error}; accepted: {ACCEPTED}") from None

    def has(self, page: Page) -> bool:
        """Whether the page was done before."""
        return _key(page) in self._done

    def note(self, page: Page) -> None:
        """Write that the page is done."""
        try:
            os.write(self._file, _key(page) + b"\n")
        except OSError as error:
            raise StateError(error.strerror or str(error)) from None

    def close(self, *, finished: bool) -> None:
        """Close the file, and remove it where there is nothing left to resume."""
        os.close(self._file)
        if finished:
            self._path.unlink(missing_ok=True)

    def _read(self) -> set[bytes]:
        try:
            with self._path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return set()
        return read_progress(data, self._head)

    def _open(self) -> int:
        """Open for appending; what follows a line that was cut off begins on a new one."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        file = os.open(self._path, flags, 0o600)
        os.write(file, b"\n" if self._done else self._head + b"\n")
        return file


def read_progress(data: bytes, head: bytes) -> set[bytes]:
    """The digests in a file's bytes; `StateError` where they are not of the head's warm-up."""
    lines = data.split(b"\n")
    if data and (head not in lines or len(data) > MOST_BYTES or not data.startswith(MAGIC)):
        raise StateError(f"it is not of this warm-up; accepted: {ACCEPTED}")
    return {line for line in lines if _DONE.fullmatch(line)}


def _key(page: Page) -> bytes:
    return _digest(page.target, *(part for field in page.headers for part in field))


def _digest(*parts: str) -> bytes:
    """A digest of the parts, none of which holds a line feed."""
    return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest().encode()
