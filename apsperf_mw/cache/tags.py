"""Tags: what entries depend on. Purging one is a stamp, never a scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Iterable

# Past this many purged tags all tagged entries are purged at once and the table starts anew.
MOST_STAMPS = 100_000


class Tags:
    """A clock that ticks at each purge, and the tick of each tag's last purge.

    An entry is good if none of its tags was purged after its request began.
    """

    def __init__(self, most: int = MOST_STAMPS) -> None:
        self._lock = Lock()
        self._most = most
        self._stamps: dict[str, int] = {}
        self._floor = 0
        self.clock = 0

    def purge(self, tags: Iterable[str]) -> None:
        """Make every entry that carries one of these tags and began before now unusable."""
        with self._lock:
            self.clock += 1
            for tag in tags:
                self._stamps[tag] = self.clock
            if len(self._stamps) > self._most:
                self._floor = self.clock
                self._stamps = {}

    def good(self, tags: tuple[str, ...], began: int) -> bool:
        """Whether what began at that tick is untouched by purges of its tags."""
        stamps = self._stamps
        floor = self._floor
        return all(stamps.get(tag, floor) <= began for tag in tags)
