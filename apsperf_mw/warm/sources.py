"""URLs from lists and access logs; all of it is taken for hostile, and bounded."""

from __future__ import annotations

import re
import sys
from collections import Counter
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct

from apsperf_mw.settings.masking import mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The most that a sitemap may have by its protocol; documents of other kinds get the same.
MOST_DOCUMENT_BYTES = 50 * 2**20
MOST_DOCUMENT_URLS = 50_000
MOST_LINE_BYTES = 16 * 2**10
MOST_LINES = 100_000_000
# Different targets of a log that are counted at once; past it the rarer half is forgotten.
MOST_COUNTED = 200_000

GZIP = b"\x1f\x8b"

# What follows the client's name and user in the common and the combined format. The date is
# bounded, so that no line takes longer than its length to read.
_LOGGED = re.compile(
    rb'\[[^\]]{20,40}\] "GET ([^\s"\\]{1,8192})(?: HTTP/[0-9.]{1,3})?" (?:200) ', re.ASCII
)


class SourceError(Exception):
    """A source cannot be read; the text says why."""


class Document(Struct):
    """What was found in a document: pages, further documents, and where reading it broke off."""

    pages: list[str]
    nested: list[str]
    fault: str = ""


def read_list(lines: Iterable[bytes]) -> Iterator[str]:
    """One URL or path a line; empty lines and those that begin with `#` are passed over."""
    for line in lines:
        text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").strip()
        if text and not text.startswith("#"):
            yield text


def read_log(lines: Iterable[bytes], top: int) -> list[str]:
    """The targets of the log's GET requests with status 200, the most requested first.

    Leaves out queries that seem to bear a password or token: they are somebody's, and may be
    used up by asking. Counts exactly up to `MOST_COUNTED` different targets, and from there on
    may undercount those that come late and seldom.
    """
    counts: Counter[bytes] = Counter()
    for line in lines:
        found = _LOGGED.search(line)
        if found is not None:
            counts[found[1]] += 1
            if len(counts) > MOST_COUNTED:
                counts = Counter(dict(counts.most_common(MOST_COUNTED // 2)))
    ranked = (target.decode("utf-8", "surrogateescape") for target, _ in counts.most_common())
    return list(islice(filter(_harmless, ranked), top))


def _harmless(target: str) -> bool:
    return mask(target) == target


@contextmanager
def lines_of(name: str) -> Iterator[Iterator[bytes]]:
    """The lines of a file, unpacked where it is packed by gzip; `-` is the standard input."""
    if name == "-":
        yield bounded_lines(sys.stdin.buffer)
        return
    try:
        with Path(name).open("rb") as file:
            yield bounded_lines(_unpacked(file))
    except (OSError, EOFError) as error:
        raise SourceError(reason(error)) from None


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """The file's lines; what is longer than `MOST_LINE_BYTES` is passed over."""
    from zlib import error as broken

    whole = True
    try:
        for _ in range(MOST_LINES):
            line = file.readline(MOST_LINE_BYTES)
            if not line:
                return
            ended = line.endswith(b"\n")
            if whole and (ended or len(line) < MOST_LINE_BYTES):
                yield line
            whole = ended
    except broken as error:
        raise SourceError(reason(error)) from None


def _unpacked(file: BinaryIO) -> BinaryIO:
    packed = file.read(len(GZIP)) == GZIP
    file.seek(0)
    if not packed:
        return file
    from gzip import GzipFile

    return GzipFile(fileobj=file)  # type: ignore[return-value]


def read_file(name: str) -> bytes:
    """The bytes of a file, as they are; at most one more than a document may have."""
    try:
        with Path(name).open("rb") as file:
            return file.read(MOST_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise SourceError(reason(error)) from None


def unpack(document: bytes) -> bytes:
    """The document, unpacked where it is packed by gzip; `SourceError` where it is too long."""
    if document.startswith(GZIP):
        import zlib

        try:
            document = zlib.decompressobj(31).decompress(document, MOST_DOCUMENT_BYTES + 1)
        except zlib.error as error:
            raise SourceError(reason(error)) from None
    if len(document) > MOST_DOCUMENT_BYTES:
        raise SourceError(f"it is longer than {MOST_DOCUMENT_BYTES} bytes")
    return document


def reason(error: Exception) -> str:
    """What went wrong, without the file's name, which the message has already."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
