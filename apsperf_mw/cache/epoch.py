"""How what another process has stored is dated here."""

from __future__ import annotations

from typing import NamedTuple


class Epoch(NamedTuple):
    """How the positions of a store's versions go with the tag clock of this process.

    A clock is `base` and a position of this `generation`; what is of another one is as old as can
    be.
    """

    generation: bytes
    base: int

    def clock(self, generation: bytes, position: int) -> int:
        """The tick of a position; -1, before everything, where it is not known."""
        if position < 0 or generation != self.generation:
            return -1
        return self.base + position


# Of a store whose versions nobody keeps.
ALONE = Epoch(b"", 0)
