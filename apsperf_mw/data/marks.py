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
        self._floor = 0
        self._bumps: dict[bytes, int] = {}
        # Generation and position, as one: it is set when all up to there is taken in.
        self._known = b"", 0

    def after(self, generation: bytes) -> int:
        """The position after which a generation's bumps are not known here."""
        known = self._known
        return known[1] if generation == known[0] else 0

    def knows(self, generation: bytes, position: int) -> bool:
        """Whether everything up to there is known."""
        known = self._known
        return generation == known[0] and position <= known[1]

    def learn(self, told: Versions, after: int) -> None:
        """Take in all that was bumped after a position."""
        with self._lock:
            position = told.position
            if told.generation == self._known[0]:
                position = max(position, self._known[1])
            else:
                self._known, self._bumps, self._floor = (b"", 0), {}, after
            self._bumps.update(told.bumps)
            self._floor = max(self._floor, told.floor)
            if len(self._bumps) > MOST_NAMES:
                self._bumps, self._floor = {}, position
            self._known = told.generation, position

    def good(self, terms: Terms, generation: bytes) -> bool:
        """Whether none of the tags was bumped since; `generation` is that of the store."""
        known, began = self._known, terms.position
        if not terms.generation == generation == known[0]:
            return False
        if began >= known[1]:
            return True
        with self._lock:
            bumps = self._bumps
            return (
                generation == self._known[0]
                and began >= self._floor
                and all(bumps.get(_name(tag), 0) <= began for tag in terms.tags)
            )


def _name(tag: str) -> bytes:
    return tag.encode("utf-8", "surrogatepass")
