"""An explanation: its steps, and its forms for people, for JSON and for one field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

Part = Literal["request", "key", "lookup", "storing", "lifetime"]

HOUSE = "house rule"
MOST_LINE_CHARS = 1024
CUT = "..."
# Of a value that a client or an app chose, so much is shown.
MOST_SHOWN = 300


class Step(Struct, frozen=True):
    """One thing that was looked at; `stops` where it kept the response from being stored or used.

    `source` is the RFC's section, or says that the rule is one of ours.
    """

    part: Part
    name: str
    finding: str
    source: str
    stops: bool = False


class Explanation(Struct):
    """All steps in their order, and what came of them."""

    url: str
    outcome: str
    steps: list[Step]

    def as_dict(self) -> dict[str, Any]:
        """The form for JSON."""
        steps = [structs.asdict(step) for step in self.steps]
        return {"url": self.url, "outcome": self.outcome, "steps": steps}

    def text(self) -> str:
        """The form for a terminal: one line a step."""
        return "\n".join([printable(self.url), *map(_row, self.steps), f"=> {self.outcome}"])

    def line(self) -> bytes:
        """The form for a field: ASCII, and bounded; of rules only those that stopped it."""
        said = "; ".join([self.outcome, *self._told()])
        safe = printable(said.replace("§", "s."))
        if len(safe) > MOST_LINE_CHARS:
            safe = safe[: MOST_LINE_CHARS - len(CUT)] + CUT
        return safe.encode("ascii")

    def _told(self) -> Iterator[str]:
        for step in self.steps:
            if step.stops or step.part != "storing":
                yield f"{step.part} {step.name}: {step.finding} ({step.source})"


def _row(step: Step) -> str:
    mark = "x" if step.stops else "-"
    name, finding = printable(step.name), printable(step.finding)
    return f"{mark} {step.part:9}{name:24} {finding}  [{step.source}]"


def printable(text: str) -> str:
    """The text in visible ASCII: what could be taken for a command or another field is escaped."""
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]


def shown(text: str) -> str:
    """A value that somebody else chose, printable and not too long."""
    safe = printable(text[: MOST_SHOWN + 1])
    return safe if len(safe) <= MOST_SHOWN else safe[: MOST_SHOWN - len(CUT)] + CUT
