"""A response's body as it passes, kept up to a limit; never waits, never holds back."""

from __future__ import annotations

from msgspec import Struct


class Tape(Struct, eq=False):
    """Records chunks; `expected_bytes` is the Content-Length or -1.

    `broken` once the body passed the limit or its announced length: what was recorded is gone
    then, and the response is not stored.
    """

    limit_bytes: int
    expected_bytes: int = -1
    size_bytes: int = 0
    broken: bool = False
    chunks: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Record one chunk."""
        if self.broken or not chunk:
            return
        self.size_bytes += len(chunk)
        if self.size_bytes > self.limit_bytes or self.size_bytes > self.expected_bytes >= 0:
            self.tear()
        else:
            self.chunks.append(bytes(chunk))  # a server may reuse its buffer: bytes() copies those

    def tear(self) -> None:
        """Give the recording up."""
        self.broken = True
        self.chunks = []

    @property
    def full(self) -> bool:
        """Whether the announced length has been reached, so that this chunk is the last."""
        return not self.broken and self.size_bytes == self.expected_bytes

    @property
    def whole(self) -> bool:
        """Whether the recording may be stored if the body ends here."""
        return not self.broken and self.expected_bytes in (-1, self.size_bytes)

    def body(self) -> bytes:
        """The recorded body."""
        return b"".join(self.chunks)
