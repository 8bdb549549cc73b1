"""Statements by their shape: how many there were, and how long they took. Pure."""

from __future__ import annotations

from msgspec import Struct, field

from apsperf_mw.observe.fingerprints import verb_of
from apsperf_mw.observe.tallies import Sketch

# The shape of all others, where there are too many.
OTHERS = "(other statements)"


class Shape(Struct, eq=False):
    """Statements that differ in their values alone; `site` is where a slow one was sent."""

    text: str
    system: str
    verb: str
    told: tuple[tuple[str, str | int | bool], ...]
    durations: list[float] = field(default_factory=list)
    calls: int = 0
    errors: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    sketch: Sketch = field(default_factory=Sketch)
    site: str = ""
    # Rows that wait to be added up, and those that are.
    found: list[int] = field(default_factory=list)
    rows: int = 0

    def fold(self) -> list[float]:
        """Add up what waits; its durations are given. More may be appended meanwhile."""
        if found := self.found[: len(self.found)]:
            del self.found[: len(found)]
            self.rows += sum(found)
        batch = self.durations[: len(self.durations)]
        del self.durations[: len(batch)]
        if batch:
            self.add(batch)
        return batch

    def add(self, batch: list[float]) -> None:
        """Add up some durations."""
        self.calls += len(batch)
        self.total_s += sum(batch)
        self.longest_s = max(self.longest_s, *batch)
        self.sketch.add(batch)


def new_shape(text: str, system: str) -> Shape:
    """One of which nothing is known."""
    verb = "" if text == OTHERS else verb_of(text)
    told: list[tuple[str, str | int | bool]] = [("db.system.name", system)]
    if verb:
        told.append(("db.operation.name", verb))
    return Shape(text, system, verb, tuple(told))
