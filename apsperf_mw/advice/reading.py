"""How statements use the columns of tables: by sqlglot, from the text alone. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope
from sqlglot.schema import MappingSchema

from apsperf_mw.advice.workload import numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from apsperf_mw.advice.workload import Query

    Columns = Mapping[str, Mapping[str, str]]

COMPARED = (exp.GT, exp.GTE, exp.LT, exp.LTE)
MOST_BRANCHES = 8


class Usage(Struct, eq=False):
    """What one part of a statement asks of one table.

    `equal` are columns that are held against a value, by the value's text where it is a constant;
    `joined` those held against columns of other tables, by the other's name there.
    """

    table: str
    equal: dict[str, str] = field(default_factory=dict)
    joined: dict[str, list[str]] = field(default_factory=dict)
    ranged: list[str] = field(default_factory=list)
    prefixed: list[str] = field(default_factory=list)
    lowered: list[str] = field(default_factory=list)
    nulls: list[str] = field(default_factory=list)
    ordered: list[tuple[str, bool]] = field(default_factory=list)
    grouped: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)


def usages_of(query: Query, columns: Columns, dialect: str) -> list[Usage]:
    """What the statement asks of the tables that are known; nothing where it is not understood."""
    text, _ = numbered(query.text) if dialect == "postgres" else (query.text, 0)
    try:
        tree = _reading(parse_one(text, dialect=dialect))
        if tree is None:
            return []
        known = qualify(
            tree,
            schema=MappingSchema(
                {name: dict(each) for name, each in columns.items()}, None, dialect, normalize=False
            ),
            dialect=dialect,
            validate_qualify_columns=False,
            quote_identifiers=False,
            identify=False,
        )
        return [usage for scope in traverse_scope(known) for usage in _of_scope(scope, columns)]
    except (SqlglotError, RecursionError, ValueError, TypeError, KeyError, AttributeError):
        return []


def _reading(tree: exp.Expr) -> exp.Expr | None:
    """The part that finds rows."""
    if isinstance(tree, exp.Query):
        return tree
    if isinstance(tree, (exp.Update, exp.Delete)) and isinstance(tree.this, exp.Table):
        found = exp.select("1").from_(tree.this.copy())
        where = tree.args.get("where")
        return found if where is None else found.where(where.this.copy())
    return None


def _of_scope(scope: Any, columns: Columns) -> Iterator[Usage]:
    tables = {
        alias: source.name
        for alias, source in scope.sources.items()
        if isinstance(source, exp.Table) and source.name in columns
    }
    for terms in _branches(list(_terms(scope.expression))):
        found = {alias: Usage(table) for alias, table in tables.items()}
        for term in terms:
            _take(term, found)
        _take_order(scope.expression, found)
        for column in scope.columns:
            if column.table in found and column.name not in found[column.table].used:
                found[column.table].used.append(column.name)
        yield from found.values()


def _terms(select: Any) -> Iterator[exp.Expr]:
    """The conditions that all have to hold."""
    where = select.args.get("where")
    joins = [join.args.get("on") for join in select.args.get("joins") or ()]
    for condition in (None if where is None else where.this, *joins):
        if condition is not None:
            yield from _split(_bare(condition))


def _bare(term: Any) -> Any:
    while isinstance(term, exp.Paren):
        term = term.this
    return term


def _branches(terms: list[exp.Expr]) -> Iterator[list[exp.Expr]]:
    """The conditions, and those of each way that a choice may go."""
    plain = [each for term in terms for each in _split(term)]
    yield plain
    for choice in [term for term in plain if isinstance(term, exp.Or)]:
        others = [term for term in plain if term is not choice]
        for way in list(choice.flatten())[:MOST_BRANCHES]:
            yield [*_split(_bare(way)), *others]


def _split(term: Any) -> list[exp.Expr]:
    return [_bare(each) for each in term.flatten()] if isinstance(term, exp.And) else [term]


def _take(term: Any, found: dict[str, Usage]) -> None:
    """One condition."""
    if isinstance(term, exp.EQ):
        _take_equal(term.this, term.expression, found)
        _take_equal(term.expression, term.this, found)
    elif isinstance(term, exp.In):
        _add_equal(term.this, "", found)
    elif isinstance(term, exp.Is) and isinstance(term.expression, exp.Null):
        if at := _place(term.this, found):
            at[0].nulls.append(at[1])
    elif isinstance(term, COMPARED):
        _add_ranged(term.this, term.expression, found)
        _add_ranged(term.expression, term.this, found)
    elif isinstance(term, exp.Between):
        _add_ranged(term.this, None, found)
    elif isinstance(term, exp.Like):
        _take_like(term, found)
    else:
        inner = term.this if isinstance(term, exp.Not) else term
        _add_equal(inner, "TRUE" if inner is term else "FALSE", found)


def _take_like(term: Any, found: dict[str, Usage]) -> None:
    pattern = term.expression
    fixed = isinstance(pattern, exp.Literal) and pattern.this[:1] not in {"%", "_", ""}
    at = _place(term.this, found)
    if at is not None and fixed:
        at[0].prefixed.append(at[1])


def _take_equal(side: Any, other: Any, found: dict[str, Usage]) -> None:
    if isinstance(side, exp.Lower) and (lowered := _place(side.this, found)):
        lowered[0].lowered.append(lowered[1])
    at, there = _place(side, found), _place(other, found)
    if at is None:
        return
    if there is not None and there[0] is not at[0]:
        at[0].joined.setdefault(there[0].table, []).append(at[1])
    elif there is None and not _names(other, found):
        _add_equal(side, other.sql() if isinstance(other, exp.Literal) else "", found)


def _add_equal(side: Any, value: str, found: dict[str, Usage]) -> None:
    at = _place(side, found)
    if at is not None:
        at[0].equal.setdefault(at[1], value)


def _add_ranged(side: Any, other: Any, found: dict[str, Usage]) -> None:
    at = _place(side, found)
    if at is not None and not _names(other, found) and at[1] not in at[0].ranged:
        at[0].ranged.append(at[1])


def _place(side: Any, found: dict[str, Usage]) -> tuple[Usage, str] | None:
    """The table and the column, also where it is taken for a type that it may have already."""
    while isinstance(side, (exp.Paren, exp.Cast)):
        side = side.this
    usage = found.get(side.table) if isinstance(side, exp.Column) else None
    return None if usage is None else (usage, side.name)


def _names(side: Any, found: dict[str, Usage]) -> bool:
    """Whether it needs a row of these tables."""
    if side is None:
        return False
    return any(column.table in found for column in side.find_all(exp.Column))


def _take_order(select: Any, found: dict[str, Usage]) -> None:
    """What it is to be sorted or grouped by, where that is of one table."""
    shown = {each.alias_or_name: _unaliased(each) for each in select.expressions}
    order, group = select.args.get("order"), select.args.get("group")
    by = [_place(_meant(each.this, shown), found) for each in _of(order)]
    downs = [bool(each.args.get("desc")) for each in _of(order)]
    for usage, columns in _only(by):
        usage.ordered = list(zip(columns, downs, strict=True))
    for usage, columns in _only([_place(_meant(each, shown), found) for each in _of(group)]):
        usage.grouped = columns


def _of(clause: Any) -> list[Any]:
    return [] if clause is None else list(clause.expressions)


def _unaliased(each: Any) -> Any:
    return each.this if isinstance(each, exp.Alias) else each


def _meant(term: Any, shown: Mapping[str, Any]) -> Any:
    """A column, also where it goes by the name that it has in the result."""
    term = _bare(term)
    if isinstance(term, exp.Column) and not term.table:
        return shown.get(term.name, term)
    return term


def _only(places: list[tuple[Usage, str] | None]) -> Iterator[tuple[Usage, list[str]]]:
    """The table that all are columns of, and which, where there is such a one."""
    known = [place for place in places if place is not None]
    if known and len(known) == len(places) and len({id(usage) for usage, _ in known}) == 1:
        yield known[0][0], [column for _, column in known]


def tables_of(usages: Iterable[Usage]) -> set[str]:
    """The tables that are asked."""
    return {usage.table for usage in usages}


def by_table(usages: Iterable[Usage]) -> dict[str, list[Usage]]:
    """What is asked of each."""
    found: dict[str, list[Usage]] = defaultdict(list)
    for usage in usages:
        found[usage.table].append(usage)
    return found


def target_of(query: Query, dialect: str) -> str:
    """The table that the statement writes, or an empty text."""
    try:
        tree: Any = parse_one(numbered(query.text)[0], dialect=dialect)
    except (SqlglotError, RecursionError, ValueError, TypeError):
        return ""
    target = tree.this if isinstance(tree, (exp.Insert, exp.Update, exp.Delete)) else None
    table = target.this if isinstance(target, exp.Schema) else target
    return str(table.name) if isinstance(table, exp.Table) else ""
