"""The statements that indexes are wanted for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.db.plain import verbs_of
from apsperf_mw.observe.fingerprints import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What has rows found, and so may want an index.
WANTS = frozenset({"SELECT", "WITH", "UPDATE", "DELETE", "TABLE"})
WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE"})
_PIECES = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/
      | (?P<dollars>\$(?P<mark>[A-Za-z_]*)\$.*?\$(?P=mark)\$) | (?P<end>;)""",
    re.VERBOSE | re.DOTALL,
)
_PLACES = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/
      | (?P<name>%\((?P<named>\w+)\)s | (?<![:\w]):[A-Za-z_]\w*) | (?P<number>\$\d+)
      | (?P<next>%s | \?(?!\d)) | (?P<percent>%%)""",
    re.VERBOSE | re.DOTALL,
)


class Query(Struct, eq=False):
    """One shape of statements: a text as it was sent, and values that were sent with it.

    `given` is unset where none are known; a text with places for values is then planned for any.
    """

    text: str
    given: Any = None
    calls: int = 1
    total_s: float = 0.0

    @property
    def shape(self) -> str:
        """Without its values, as people are shown it."""
        return shape_of(self.text)

    @property
    def is_one(self) -> bool:
        """Whether it is one statement for sure, whatever its quotes mean to a database."""
        return ";" not in self.text.strip().rstrip(";")

    @property
    def verb(self) -> str:
        """Its first word."""
        return verbs_of(self.text)[0]


def numbered(text: str) -> tuple[str, int]:
    """The text with `$1`, `$2` in the places for values, and how many there are."""
    known: dict[str, str] = {}
    percents = "%(" in text or "%s" in text

    def number(found: re.Match[str]) -> str:
        kind = found.lastgroup
        if kind == "named":
            kind = "name"
        if kind == "percent":
            return "%" if percents else "%%"
        if kind not in {"name", "number", "next"}:
            return found[0].replace("%%", "%") if percents else found[0]
        key = found[0] if kind != "next" else f"?{len(known)}"
        return known.setdefault(key, f"${len(known) + 1}")

    made = _PLACES.sub(number, text)
    return made, len(known)


def statements_of(script: str) -> Iterator[str]:
    """The statements of a script, which semicolons end."""
    start = 0
    for found in _PIECES.finditer(script):
        if found["end"]:
            yield from filter(None, [script[start : found.start()].strip()])
            start = found.end()
    yield from filter(None, [script[start:].strip()])


def of_script(script: str) -> list[Query]:
    """The statements of a script, those of one shape as one that is sent so often."""
    known: dict[str, Query] = {}
    for text in statements_of(script):
        query = Query(text)
        found = known.setdefault(query.shape, query)
        if found is not query:
            found.calls += 1
    return [query for query in known.values() if query.verb in WANTS | WRITES]


def wanting(queries: Iterable[Query]) -> list[Query]:
    """Those that may want an index."""
    return [query for query in queries if query.verb in WANTS]
