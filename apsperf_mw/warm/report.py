"""What became of each page of a warm-up, counted by reason with a few examples of each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from apsperf_mw.settings.masking import mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Kind = Literal["stored", "fresh", "unsaid", "not_stored", "failed", "refused"]

MOST_EXAMPLES = 3
MOST_EXAMPLE_CHARS = 200
# Reasons past this many are counted together.
MOST_REASONS = 64
MOST_REASON_CHARS = 100
OTHERS = "other reasons"

NO_STATUS = "no Cache-Status of the suite"

_MEMBER = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_PARAMETER = re.compile(r';\s*([a-z-]+)(?:=("(?:[^"\\]|\\.)*"|[^;,\s]*))?')


class Result(Struct, frozen=True):
    """What became of one page; `note` is more than the reason, such as an exception's text."""

    target: str
    kind: Kind
    reason: str = ""
    note: str = ""


class Tally(Struct):
    """How many, and the first of them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(printable(mask(example))[:MOST_EXAMPLE_CHARS])


class Report(Struct, kw_only=True):
    """A warm-up in numbers.

    `stored` and `fresh` are in the cache: put there now, or found there. `unsaid` are pages
    answered by an app whose suite does not tell (`cache.status_header` is off). The others are
    by reason: `not_stored` went well but the cache did not keep it, `failed` did not go well,
    `refused` was not asked for. `resumed` was done by an earlier run. `limited` says that the
    budget left pages out, `complete` that all the others have had their turn, and `lasting` that
    what is stored outlives the process that ran the warm-up.
    """

    stored: int = 0
    fresh: int = 0
    unsaid: int = 0
    resumed: int = 0
    not_stored: dict[str, Tally] = field(default_factory=dict)
    failed: dict[str, Tally] = field(default_factory=dict)
    refused: dict[str, Tally] = field(default_factory=dict)
    limited: bool = False
    complete: bool = False
    lasting: bool = True

    @property
    def ok(self) -> bool:
        """Whether all pages have had their turn, and none failed."""
        return self.complete and not self.failed

    def add(self, result: Result) -> None:
        """Count one page."""
        match result.kind:
            case "stored":
                self.stored += 1
            case "fresh":
                self.fresh += 1
            case "unsaid":
                self.unsaid += 1
            case kind:
                self._tally(getattr(self, kind), result)

    def refuse(self, targets: Iterable[str], reason: str) -> None:
        """Count pages that nobody will ask for, which is the end of it."""
        for target in targets:
            self.add(Result(target, "refused", reason))
        self.complete = True

    def _tally(self, tallies: dict[str, Tally], result: Result) -> None:
        reason = printable(result.reason)[:MOST_REASON_CHARS]
        if reason not in tallies and len(tallies) >= MOST_REASONS:
            reason = OTHERS
        note = f" ({result.note})" if result.note else ""
        tallies.setdefault(reason, Tally()).add(result.target + note)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.stored} stored"
        for name in ("fresh", "unsaid", "resumed"):
            if getattr(self, name):
                yield f"{getattr(self, name)} {WORDS[name]}"
        for name in ("not_stored", "failed", "refused"):
            yield from _tally_lines(WORDS[name], getattr(self, name))
        if self.limited:
            yield "the limit was reached, the rest was left out"
        if not self.complete:
            yield "ended before all pages had their turn"


WORDS = {
    "fresh": "fresh in the cache already",
    "unsaid": "answered, but cache.status_header is off: the suite does not tell",
    "resumed": "done by an earlier run",
    "not_stored": "not stored",
    "failed": "failed",
    "refused": "not asked for",
}


def _tally_lines(name: str, tallies: dict[str, Tally]) -> Iterator[str]:
    if tallies:
        yield f"{sum(tally.count for tally in tallies.values())} {name}"
    for reason, tally in sorted(tallies.items(), key=lambda each: -each[1].count):
        yield f"  {tally.count} {reason}"
        yield from (f"    {example}" for example in tally.examples)


def printable(text: str) -> str:
    """The text with all that a terminal could take for a command escaped."""
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]


def read_status(lines: Sequence[str]) -> tuple[Kind, str]:
    """What the suite's member of Cache-Status (RFC 9211) says of a response, and the reason."""
    said = _parameters(lines)
    if said is None:
        return "failed", NO_STATUS
    if "hit" in said:
        stale = said.get("ttl", "").startswith("-")
        return ("not_stored", said.get("detail") or "stale") if stale else ("fresh", "")
    if said.get("collapsed", "?0") != "?0":
        return "fresh", ""
    if "stored" in said or said.get("fwd-status") == "304":
        return "stored", ""
    return "not_stored", said.get("detail") or said.get("fwd") or "no reason given"


def _parameters(lines: Sequence[str]) -> dict[str, str] | None:
    """The parameters of our last member, which is the one nearest to us; None without one."""
    members = [member.strip() for member in _MEMBER.findall(",".join(lines))]
    ours = [member for member in members if member.partition(";")[0].strip() == "apsperf"]
    if not ours:
        return None
    return {name: value.strip('"') or "?1" for name, value in _PARAMETER.findall(ours[-1])}
