"""The memory of this process in a microsecond: `/proc/self/statm` by a kept descriptor (Linux)."""

from __future__ import annotations

import os

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Statm:
    """Reads the file; -1 is no descriptor yet, -2 that there is no such file here."""

    def __init__(self) -> None:
        self._descriptor = -1
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def rss_bytes(self) -> int:
        """The resident bytes; 0 where they cannot be had."""
        descriptor = self._descriptor
        if descriptor < 0 and (descriptor := self._open()) < 0:
            return 0
        try:
            return int(os.pread(descriptor, 64, 0).split(b" ", 2)[1]) * _PAGE
        except (OSError, IndexError, ValueError):  # somebody has closed or reused it
            self._descriptor = -2
            return 0

    def _open(self) -> int:
        if self._descriptor == -1:
            try:
                self._descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self._descriptor = -2
        return self._descriptor

    def _forget(self) -> None:
        """In a forked child the descriptor shows the parent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


# One for the process, whose memory it is.
statm = Statm()
