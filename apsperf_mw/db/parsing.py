"""PostgreSQL's statements by their syntax: which relations one names, and what it does with them.

sqlglot reads them, once for each text; what it does not know is taken for the worst.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from apsperf_mw.db.facts import (
    ALTERS_SCHEMA,
    ALTERS_SESSION,
    ALTERS_TRANSACTION,
    BEGINS,
    COMMITS,
    ROLLS_BACK,
)
from apsperf_mw.db.plain import verbs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A relation's schema, empty where it is not said, and its name.
Name = tuple[str, str]


class Syntax(Struct, frozen=True):
    """What a text says.

    `calls` are all names before a parenthesis, `made` those of its own common table expressions;
    `fixed` as in `Facts`.
    """

    reads: frozenset[Name] = frozenset()
    writes: frozenset[Name] = frozenset()
    calls: frozenset[str] = frozenset()
    made: frozenset[str] = frozenset()
    fixed: bool = False
    opaque: bool = False
    does: int = 0


OPAQUE = Syntax(opaque=True)
NEUTRAL = Syntax()
CALLS = re.compile(r'([A-Za-z_]\w*|"[^"]+")\s*\(')
UNFIXED = re.compile(
    r"\b(?:current_\w+|localtime|localtimestamp|session_user|user|system_user|tablesample)\b"
    r"|'[^']*(?:now|today|tomorrow|yesterday)"
    r"|\bfor\s+(?:no\s+key\s+|key\s+)?(?:update|share)\b",
    re.IGNORECASE,
)
INTO_TEMPORARY = re.compile(r"\b(?:temp|temporary)\b", re.IGNORECASE)
TABLE = re.compile(r"\btable\b", re.IGNORECASE)
MODES = re.compile(r"\bisolation\b", re.IGNORECASE)
CASCADE = re.compile(r"\bcascade\b", re.IGNORECASE)
LOCAL = re.compile(r"\s*set\s+(?:local|transaction|constraints)\b", re.IGNORECASE)
# Of those that touch no table, what they do.
VERBS = {
    "BEGIN": BEGINS,
    "START": BEGINS,
    "COMMIT": COMMITS,
    "END": COMMITS,
    "ROLLBACK": ROLLS_BACK,
    "ABORT": ROLLS_BACK,
    "SET": ALTERS_SESSION,
    "RESET": ALTERS_SESSION,
    "DISCARD": ALTERS_SESSION,
    **dict.fromkeys(
        (
            *("SAVEPOINT", "RELEASE", "SHOW", "LISTEN", "UNLISTEN", "NOTIFY", "LOCK", "CLOSE"),
            *("CHECKPOINT", "DEALLOCATE", "MOVE", "VACUUM", "ANALYZE", "CLUSTER", "REINDEX"),
        ),
        0,
    ),
}
SCHEMA_VERBS = frozenset({"CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "SECURITY"})
READ = frozenset(
    {"SELECT", "WITH", "TABLE", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE"}
)
QUERIES = (exp.Query, exp.Values, exp.Insert, exp.Update, exp.Delete, exp.Merge)


def syntax_of(plain: str, statement: str) -> Syntax:
    """What the statement says; `plain` is it without its values."""
    first, second = verbs_of(plain)
    if ";" in plain.rstrip("; \n\t"):
        return OPAQUE if first not in VERBS else Syntax(opaque=True, does=VERBS[first])
    if first in VERBS and not (first == "ROLLBACK" and " TO " in f" {plain.upper()} "):
        # Prepared in two phases, it ends elsewhere: whatever was written there is then void.
        return OPAQUE if second == "PREPARED" else Syntax(does=_does(first, plain))
    if first == "ROLLBACK" or (first == "EXPLAIN" and "ANALYZE" not in plain.upper()):
        return NEUTRAL
    if first in SCHEMA_VERBS:
        return _schema(plain)
    return _manipulation(first, plain, statement)


def _manipulation(first: str, plain: str, statement: str) -> Syntax:
    if first == "TRUNCATE" and CASCADE.search(plain):
        return OPAQUE  # along all keys, also those that have no action
    if first == "COPY":
        return _copy(plain)
    if first not in READ:
        return OPAQUE
    if first == "TABLE":
        plain = TABLE.sub("SELECT * FROM", plain, count=1)
    tree = _tree(plain) or (_tree(statement) if statement is not plain else None)
    return OPAQUE if tree is None else _of_tree(tree, plain)


def _does(first: str, plain: str) -> int:
    does = VERBS[first]
    if does == BEGINS and MODES.search(plain):
        return BEGINS | ALTERS_TRANSACTION
    return ALTERS_TRANSACTION if first == "SET" and LOCAL.match(plain) else does


def _schema(plain: str) -> Syntax:
    if INTO_TEMPORARY.search(plain):
        return Syntax(opaque=True, does=ALTERS_SESSION)
    return Syntax(opaque=True, does=ALTERS_SCHEMA)


def _copy(plain: str) -> Syntax:
    named = re.match(r'\s*COPY\s+([\w."]+)\s*(?:\([^)]*\))?\s*(FROM|TO)\b', plain, re.IGNORECASE)
    if named is None:
        return OPAQUE
    schema, _, name = named[1].replace('"', "").lower().rpartition(".")
    names = frozenset({(schema, name)})
    return Syntax(writes=names) if named[2].upper() == "FROM" else Syntax(reads=names)


def _tree(text: str) -> exp.Expr | None:
    """The one statement of a text; None where it is not known for sure."""
    try:
        trees = parse(text, dialect="postgres")
    except (SqlglotError, RecursionError, ValueError, TypeError):
        return None
    found = trees[0] if len(trees) == 1 else None
    known = isinstance(found, (*QUERIES, exp.TruncateTable))
    return found if known else None


def _of_tree(tree: exp.Expr, plain: str) -> Syntax:
    nodes = list(tree.walk())
    if any(isinstance(node, (exp.Command, exp.Into)) for node in nodes):
        return _schema(plain)
    named = frozenset(_names(nodes))
    written = frozenset(_written(nodes))
    calls = frozenset(each.strip('"').lower() for each in CALLS.findall(plain))
    fixed = not written and UNFIXED.search(plain) is None
    made = frozenset(node.alias.lower() for node in nodes if isinstance(node, exp.CTE))
    does = ALTERS_SESSION if "set_config" in calls else 0
    return Syntax(named, written, calls, made, fixed and not does, does=does)


def _names(nodes: Iterable[Any]) -> Iterator[Name]:
    for node in nodes:
        if isinstance(node, exp.Table) and node.name:
            yield node.db.lower(), node.name.lower()


def _written(nodes: Iterable[Any]) -> Iterator[Name]:
    for node in nodes:
        if isinstance(node, exp.TruncateTable):
            yield from _names(node.expressions)
        elif isinstance(node, (exp.Insert, exp.Update, exp.Delete, exp.Merge)):
            target = node.this
            yield from _names([target.this if isinstance(target, exp.Schema) else target])
            # `DELETE FROM a USING b` has more tables in some dialects: all of them, to be sure.
            yield from _names(node.args.get("tables") or ())
