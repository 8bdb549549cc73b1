"""Log lines: one each, of printable text, whatever a client has put into it. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from msgspec import Struct, json

if TYPE_CHECKING:
    from collections.abc import Mapping

# Characters of one value at most.
MOST_TEXT = 256
# Causes that are remembered, and lines of one second over all of them.
MOST_CAUSES = 1024
MOST_PER_S = 50

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Event(Struct, frozen=True):
    """Something worth a line; `cause` tells lines that say the same from others.

    `facts` are what it says in fields, `text` in words; both are safe to be written.
    """

    channel: str
    name: str
    level: str
    cause: str
    text: str
    facts: dict[str, Any]
    trace_id: int = 0
    span_id: int = 0


def event(
    channel: str,
    name: str,
    text: str,
    facts: Mapping[str, Any],
    *,
    cause: str = "",
    level: str = "warning",
    ids: tuple[int, int] = (0, 0),
) -> Event:
    """An event of facts as they came; the braces of `text` stand for them."""
    clean = {key: safe(value) if isinstance(value, str) else value for key, value in facts.items()}
    return Event(channel, name, level, f"{name} {safe(cause)}", text.format(**clean), clean, *ids)


def aligned(rows: list[tuple[str, ...]], left: int) -> list[str]:
    """The rows of a table as lines: numbers flush on the right, the column of words on the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if at == left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def safe(text: str) -> str:
    """The text in printable characters, on one line, and not too long.

    What could end a line, move a terminal's cursor or turn the direction of reading is escaped.
    """
    short = text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"
    if short.isascii() and short.isprintable():
        return short
    return "".join([each if each.isprintable() else escaped(each) for each in short])


def escaped(character: str) -> str:
    """The character in letters and digits."""
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def line(told: Event, kept_back: int, *, as_json: bool) -> str:
    """The event as it is written; `kept_back` is how many of its cause were not."""
    more = {"repeats": kept_back} if kept_back else {}
    if as_json:
        ids = {}
        if told.trace_id:
            ids = {"trace_id": f"{told.trace_id:032x}", "span_id": f"{told.span_id:016x}"}
        fields = {"event": told.name, "message": told.text, **told.facts, **more, **ids}
        return json.encode(fields).decode()
    return f"{told.text} (and {kept_back} more like it)" if kept_back else told.text


class Quiet:
    """Lets one line of each cause through an interval, and so many a second over all."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._causes: OrderedDict[str, list[float]] = OrderedDict()
        self._second = 0
        self._lines = 0

    def admits(self, cause: str, now: float) -> int | None:
        """How many of this cause were kept back since the last one; None for one more of them."""
        known = self._causes.get(cause)
        if known is None:
            known = self._causes[cause] = [0.0, 0.0]
            if len(self._causes) > MOST_CAUSES:
                self._causes.popitem(last=False)
        self._causes.move_to_end(cause)
        if now < known[0] or not self._has_room(now):
            known[1] += 1
            return None
        kept_back = int(known[1])
        known[:] = [now + self._interval_s, 0.0]
        return kept_back

    def _has_room(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._lines = int(now), 0
        self._lines += 1
        return self._lines <= MOST_PER_S
