"""Tags that somebody is about to commit."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator


class Busy:
    """Meanwhile nothing that is kept of them is taken for the last word."""

    def __init__(self) -> None:
        # With how many are about to.
        self._counts: dict[str, int] = {}
        self._lock = Lock()

    def is_calm(self, tags: Iterable[str]) -> bool:
        """Whether nobody is about to commit something of these."""
        return not self._counts or self._counts.keys().isdisjoint(tags)

    @contextmanager
    def committing(self, tags: Collection[str]) -> Iterator[None]:
        """Somebody is, inside."""
        self._count(tags, 1)
        try:
            yield
        finally:
            self._count(tags, -1)

    def _count(self, tags: Collection[str], change: int) -> None:
        with self._lock:
            for tag in tags:
                if left := self._counts.get(tag, 0) + change:
                    self._counts[tag] = left
                else:
                    del self._counts[tag]
