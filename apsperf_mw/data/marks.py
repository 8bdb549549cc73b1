"""Which tags were invalidated, and when, as far as this process has heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.drivers.versions import MOST_NAMES
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from apsperf_mw.data.frames import Terms
    from apsperf_mw.drivers.versions import Versions


class Marks:
    """The bumps of one space; whoever reads a value learns first what it does not know yet.

    Past `MOST_NAMES` all is forgotten, and what is older than that cannot be judged.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._generation = b""
        self._floor = 0
        self._bumps: dict[bytes, int] = {}
        self.position = 0

    def after(self, generation: bytes) -> int:
        """The position after which a generation's bumps are not known here."""
        return self.position if generation == self._generation else 0

    def knows(self, generation: bytes, position: int) -> bool:
        """Whether everything up to there is known."""
        return generation == self._generation and position <= self.position

    def learn(self, told: Versions, after: int) -> None:
        """Take in all that was bumped after a position."""
        with self._lock:
            if told.generation != self._generation:
                self._generation, self._bumps, self._floor, self.position = told[0], {}, after, 0
            self._bumps.update(told.bumps)
            self._floor = max(self._floor, told.floor)
            self.position = max(self.position, told.position)
            if len(self._bumps) > MOST_NAMES:
                self._bumps, self._floor = {}, self.position

    def good(self, terms: Terms, generation: bytes) -> bool:
        """Whether none of the tags was bumped since; `generation` is that of the store."""
        with self._lock:
            began = terms.position
            if not terms.generation == generation == self._generation:
                return False
            if began >= self.position:
                return True
            bumps = self._bumps
            return began >= self._floor and all(
                bumps.get(tag.encode("utf-8", "surrogatepass"), 0) <= began for tag in terms.tags
            )
