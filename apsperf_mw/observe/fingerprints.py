"""Statements without their values, so that those of one shape are the same. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

# Characters of a shape at most; a longer statement is not looked at beyond so many.
MOST_SHAPE, MOST_STATEMENT = 512, 8192
_VALUES = re.compile(
    r"""'(?:[^']|'')*(?:'|\Z)         # text, also where it is cut short
      | \$([A-Za-z_]*)\$.*?(?:\$\1\$|\Z)  # text in dollars
      | \b0x[0-9A-Fa-f]+\b
      | (?<![\w$@:?])[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\b
      | --[^\n]*(?:\n|\Z) | /\*.*?(?:\*/|\Z)   # remarks may hold anything
      | %\(\w+\)s | %s | \$\d+ | :\w+ | @\w+     # places for values
    """,
    re.VERBOSE | re.DOTALL,
)
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_GAPS = re.compile(r"\s+")
_VERB = re.compile(r"[A-Za-z]{1,16}")


@lru_cache(maxsize=1024)
def shape_of(statement: str) -> str:
    """The statement with `?` for each value, and one `(?, ...)` for lists of any length."""
    plain = _VALUES.sub(_placeholder, statement[:MOST_STATEMENT])
    return _GAPS.sub(" ", _LISTS.sub("(?, ...)", plain)).strip()[:MOST_SHAPE]


def verb_of(shape: str) -> str:
    """The statement's first word, upper case, or nothing."""
    found = _VERB.match(shape.lstrip("( "))
    return found[0].upper() if found else ""


def _placeholder(found: re.Match[str]) -> str:
    return " " if found[0][:2] in {"--", "/*"} else "?"
