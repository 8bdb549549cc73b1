"""Statements of one table that name their rows by a column's values, told by their words. Pure.

Whatever is not as plain as these are is none: it may concern any row.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from apsperf_mw.db.plain import HIDES

if TYPE_CHECKING:
    from collections.abc import Iterator

SELECT, UPDATE, DELETE, INSERT = "SELECT", "UPDATE", "DELETE", "INSERT"
# Longer ones are not looked into, nor are lists of more values.
MOST_CHARACTERS, MOST_PLACES = 8192, 16

_TOKENS = re.compile(
    r"""\s*(?:
      (?P<place>(?<!\w)(?:%\(\w+\)s | %s | \$\d+ | \?\d* | :[A-Za-z_]\w*))
    | (?P<quoted>"[^"%?$:]+")
    | (?P<text>'[^'%?$:]*')
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<mark>::|\|\||[(),.=+\-*/<>!])
    )\s*""",
    re.VERBOSE,
)
_NAME = r'(?:"[^"]+"|[A-Za-z_]\w*)'
_ADDS = re.compile(rf"\s*INSERT\s+INTO\s+({_NAME})(?:\s*\.\s*({_NAME}))?[\s(]", re.IGNORECASE)
# An INSERT that has one of these may change a row that is there.
_CHANGES = re.compile(r"\b(?:conflict|replace|duplicate|update|delete|merge)\b", re.IGNORECASE)
# They bring in other tables, or other rows.
_NEVER = {
    SELECT: frozenset(
        ["OR", "SELECT", "INTO", "UNION", "INTERSECT", "EXCEPT", "FOR", "TABLE", "VALUES"]
    ),
    UPDATE: frozenset(["OR", "SELECT", "FROM", "USING", "JOIN", "WITH", "TABLE", "VALUES"]),
    DELETE: frozenset(["OR", "SELECT", "USING", "JOIN", "WITH", "TABLE", "VALUES"]),
}
_ENDS = {SELECT: ("ORDER", "LIMIT"), UPDATE: ("RETURNING",), DELETE: ("RETURNING",)}
_SHOWN = frozenset({",", ".", "*"})

Place = int | str


class Token(NamedTuple):
    """A word of a statement; of one that stands for a parameter its name or number."""

    kind: str
    text: str
    place: Place = 0


class Named(NamedTuple):
    """A column, and where its values are among the parameters; `cast` is their type, if said."""

    column: str
    places: tuple[Place, ...] = ()
    cast: str = ""


class Shape(NamedTuple):
    """A statement of one table; all of `named` must hold for a row that it concerns.

    `changed` are the columns that it sets. Of an INSERT only the table is told.
    """

    verb: str
    schema: str
    table: str
    named: tuple[Named, ...] = ()
    changed: frozenset[str] = frozenset()


def added_to(plain: str) -> Shape | None:
    """The table to which a statement adds rows, and does nothing to those that are there."""
    found = _ADDS.match(plain)
    if found is None or _CHANGES.search(plain):
        return None
    names = [_folded(each) for each in found.groups() if each]
    return Shape(INSERT, "" if len(names) == 1 else names[0], names[-1])


def shape_of(statement: str) -> Shape | None:
    """The shape of a SELECT, UPDATE or DELETE; None where it has none."""
    if len(statement) > MOST_CHARACTERS or HIDES.search(statement):
        return None
    tokens = _read(statement)
    verb = tokens[0].text if tokens else ""
    if verb not in _NEVER or any(
        each.kind == "word" and each.text.upper() in _NEVER[verb] for each in tokens[1:]
    ):
        return None
    parts = _parts(tokens, ("FROM",) if verb != UPDATE else ("SET",), ("WHERE",), _ENDS[verb])
    return None if parts is None else _shaped(verb, *parts)


def _shaped(
    verb: str, head: list[Token], middle: list[Token], where: list[Token], end: list[Token]
) -> Shape | None:
    """`head` is before FROM or SET, `middle` before WHERE; `end` after it."""
    named = _conditions(where)
    table = _dotted(head[1:] if verb == UPDATE else _without_alias(middle))
    changed = _changed(middle) if verb == UPDATE else frozenset()
    if named is None or changed is None or not 1 <= len(table) <= 2:
        return None
    if verb == DELETE and len(head) > 1:
        return None
    if verb == SELECT and not (_are_columns(head) and _are_columns(end, "::")):
        return None
    return Shape(verb, "" if len(table) == 1 else table[0], table[-1], tuple(named), changed)


def _read(statement: str) -> list[Token]:
    """All words; none where one is not known."""
    if "--" in statement or "/*" in statement:
        return []
    tokens: list[Token] = []
    ways: list[str] = []
    at = 0
    while at < len(statement):
        found = _TOKENS.match(statement, at)
        if found is None:
            return []
        kind = str(found.lastgroup)
        text = found[kind] if tokens else found[kind].upper()
        if kind == "place":
            way, place = _place(text, len(ways))
            ways.append(way)
            tokens.append(Token(kind, text, place))
        else:
            tokens.append(Token(kind, text))
        at = found.end()
    return tokens if len(set(ways)) <= 1 else []


def _place(text: str, before: int) -> tuple[str, Place]:
    """How a parameter is named, and its name or number; so many came before it."""
    if text in {"?", "%s"}:
        return text, before
    if text.startswith("%"):
        return "%(", text[2:-2]
    if text.startswith(":"):
        return ":", text[1:]
    return f"{text[0]}1", int(text[1:]) - 1


def _parts(tokens: list[Token], *marks: tuple[str, ...]) -> list[list[Token]] | None:
    """What is before, between and after these words, the last of which may be missing."""
    parts: list[list[Token]] = [[]]
    depth, left = 0, list(marks)
    for each in tokens:
        depth += {"(": 1, ")": -1}.get(each.text, 0) if each.kind == "mark" else 0
        if left and depth == 0 and each.kind == "word" and each.text.upper() in left[0]:
            left.pop(0)
            parts.append([each] if not left else [])
        else:
            parts[-1].append(each)
    if len(left) > 1 or depth != 0:
        return None
    return [*parts, *([[]] if left else [])]


def _without_alias(tokens: list[Token]) -> list[Token]:
    """A table's name, without what it is called in the statement."""
    kinds = [each.kind for each in tokens]
    for at in (1, 3):
        rest = tokens[at:]
        if len(rest) == 2 and rest[0].kind == "word" and rest[0].text.upper() == "AS":
            rest = rest[1:]
        if len(rest) == 1 and "mark" not in {kinds[at - 1], rest[0].kind}:
            return tokens[:at]
    return tokens


def _dotted(tokens: list[Token]) -> list[str]:
    """The parts of a name that is all there is; none of anything else."""
    for at, each in enumerate(tokens):
        if (each.text == "." and each.kind == "mark") if at % 2 else each.kind in _NAMES:
            continue
        return []
    return [_name(each) for each in tokens[::2]] if len(tokens) % 2 else []


_NAMES = frozenset({"word", "quoted"})


def _name(token: Token) -> str:
    return token.text[1:-1] if token.kind == "quoted" else token.text.lower()


def _folded(name: str) -> str:
    return name[1:-1] if name.startswith('"') else name.lower()


def _are_columns(tokens: list[Token], more: str = "") -> bool:
    """Whether they are columns and values alone, without brackets and so without functions."""
    return all(each.kind != "mark" or each.text in {*_SHOWN, more} for each in tokens)


def _split(tokens: list[Token], by: str) -> Iterator[list[Token]]:
    """What is between these words or marks, outside of all brackets."""
    part: list[Token] = []
    depth = 0
    for each in tokens:
        depth += {"(": 1, ")": -1}.get(each.text, 0) if each.kind == "mark" else 0
        if depth == 0 and each.kind in {"word", "mark"} and each.text.upper() == by:
            yield part
            part = []
        else:
            part.append(each)
    yield part


def _conditions(tokens: list[Token]) -> list[Named] | None:
    """What must hold, all of it; None where something is not known."""
    found: list[Named] = []
    for part in _split(tokens, "AND"):
        inner = _within(part)
        if inner is not None:
            several = _conditions(inner)
            if several is None:
                return None
            found += several
        elif (one := _condition(part)) is not None:
            found.append(one)
        else:
            return None
    return found


def _within(tokens: list[Token]) -> list[Token] | None:
    """What is in the brackets that hold all of it."""
    if len(tokens) < 3 or tokens[0].text != "(" or tokens[-1].text != ")":
        return None
    return tokens[1:-1]


def _condition(tokens: list[Token]) -> Named | None:
    """A column that is one of some values; any other condition that is known has no places."""
    at = next((at for at, each in enumerate(tokens) if _compares(each)), 0)
    column = _dotted(tokens[:at])
    if not column:
        return None
    how, rest = tokens[at].text.upper(), tokens[at + 1 :]
    if how == "IS":
        words = [each.text.upper() for each in rest]
        return Named(column[-1]) if words in (["NULL"], ["NOT", "NULL"]) else None
    if how == "=" and len(rest) == 1 and rest[0].kind in {"number", "text"}:
        return Named(column[-1])
    items = [rest] if how == "=" else list(_split(_within(rest) or [], ","))
    return _listed(column[-1], items)


def _compares(token: Token) -> bool:
    return (token.kind, token.text) == ("mark", "=") or (
        token.kind == "word" and token.text.upper() in {"IN", "IS"}
    )


def _listed(column: str, items: list[list[Token]]) -> Named | None:
    """A column that is one of these; None where they are not all parameters."""
    casts = set(map(_cast, items))
    if len(casts) != 1 or None in casts or len(items) > MOST_PLACES:
        return None
    return Named(column, tuple(item[0].place for item in items), casts.pop() or "")


def _cast(item: list[Token]) -> str | None:
    """The type that is said of a parameter, empty where none is; None of anything else."""
    if not item or item[0].kind != "place":
        return None
    if len(item) == 1:
        return ""
    casts = len(item) == 3 and item[1].text == "::" and item[2].kind == "word"
    return item[2].text.lower() if casts else None


def _changed(tokens: list[Token]) -> frozenset[str] | None:
    """The columns that are set."""
    found = set()
    for part in _split(tokens, ","):
        if len(part) < 3 or part[0].kind not in _NAMES or part[1].text != "=":
            return None
        found.add(_name(part[0]))
    return frozenset(found)
