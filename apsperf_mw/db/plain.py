"""Statements without their values, whole: what differs in values alone is looked into once. Pure.

Where it cannot be told for sure what is a value, the text stays as it is.
"""

from __future__ import annotations

import re

# A longer one is not looked into.
MOST_CHARACTERS = 65_536

_VALUES = re.compile(
    r"""(?P<text>'(?:[^']|'')*')
      | (?P<name>"(?:[^"]|"")*")
      | (?P<number>(?<![\w$@:.?"])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\b)
      | (?P<remark>--[^\n]* | /\*(?![!+])(?:(?!/\*|\*/).)*\*/)
      | (?P<place>%\(\w+\)s | %s | \$\d+ | (?<![:\w]):[A-Za-z_]\w* | \?\d*)
      | (?P<percent>%%)
    """,
    re.VERBOSE | re.DOTALL,
)
_VALUE = r"(?:\$1|'0'|0|NULL|DEFAULT)(?:::\w+)?"
_ITEMS = re.compile(rf"(?<!\w){_VALUE}(?:\s*,\s*{_VALUE})+(?![\w:])")
_LISTS = re.compile(r"\(\$1\)(?:\s*,\s*\(\$1\))+")
_BY = {"text": "'0'", "number": "0", "remark": " ", "place": "$1", "percent": "%"}
_VERBS = re.compile(r"(?:[\s(;]|/\*.*?\*/|--[^\n]*\n)*([A-Za-z]+)(?:\s+([A-Za-z]+))?", re.DOTALL)
_WORDS = re.compile(r"\w+")
# Texts that PostgreSQL takes for another day each day.
MOMENTS = re.compile(r"now|today|tomorrow|yesterday", re.IGNORECASE)
# What may hide where a value begins or ends.
HIDES = re.compile(r"\\|\$[A-Za-z_]*\$|[EeUu&]'")


def plain_of(statement: str) -> str | None:
    """The text with the same for each value of a kind, and lists of any length alike.

    None where it is too long.
    """
    if len(statement) > MOST_CHARACTERS:
        return None
    if HIDES.search(statement):
        return statement
    plain = _VALUES.sub(_by, statement)
    return statement if "/*" in plain else _LISTS.sub("($1)", _ITEMS.sub("$1", plain))


def _by(found: re.Match[str]) -> str:
    kind = found.lastgroup or ""
    if kind == "text" and MOMENTS.search(found[0]):
        return found[0]
    return _BY.get(kind, found[0])


def verbs_of(statement: str) -> tuple[str, str]:
    """The statement's first two words, upper case; what is not there is empty."""
    found = _VERBS.match(statement)
    return ("", "") if found is None else (found[1].upper(), (found[2] or "").upper())


def words_of(text: str) -> set[str]:
    """The words of it, lower case."""
    return {word.lower() for word in _WORDS.findall(text)}
