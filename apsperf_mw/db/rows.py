"""Dependencies on single rows: what is read by a primary key, and what is written by one.

Whoever reads rows that are there by their keys carries the table's tag and one of each row; any
other reader of the table carries `rows:table` instead. Whoever writes by keys makes void
`rows:table` and those rows' tags; any other write, as ever, the table's, which all carry. A key
that finds no row depends on all of them: so a new row concerns nobody who has seen another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID
from zlib import crc32

from msgspec import Struct

from apsperf_mw.db.facts import ANY, SCHEMA, UNKNOWN, Facts, reads_of, tag
from apsperf_mw.db.results import is_number
from apsperf_mw.db.shapes import INSERT, SELECT, added_to, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.cache.policy import Plan
    from apsperf_mw.db.shapes import Place, Shape

TABLE, ROWS, ROW = "table:", "rows:", "row:"
# Rows have so many tags at most, whatever their number: those of the same one are void together.
MOST_TAGS = 65_536
MIXED = 2_654_435_761
# Past so many tags a page depends on tables again, and a transaction makes void all their rows.
MOST_READ, MOST_WRITTEN = 32, 64
INTEGER, TEXT, UNIQUE = "integer", "text", "uuid"
# What a driver's parameter may be called for a column of each kind.
CASTS = {
    INTEGER: frozenset({"", "integer", "int", "bigint", "smallint", "int2", "int4", "int8"}),
    TEXT: frozenset({"", "text", "varchar"}),
    UNIQUE: frozenset({"", "uuid"}),
}
# SQLite's own names for a key of numbers.
ALIASES = frozenset({"rowid", "oid", "_rowid_"})
# Names that are told apart by their first characters have so many.
LONGEST = 60


# What is raised where a parameter is not there, or is no key.
NO_KEYS = (LookupError, TypeError, ValueError)


class Key(NamedTuple):
    """A table's primary key: the table as its tag has it, the column, and the kind of its values.

    Only of tables that are nothing else: no views, parts, triggers, or actions that come back.
    """

    table: str
    column: str
    kind: str


def key_of(table: str, column: str, kind: str) -> Key | None:
    """A table's key; None of one whose name may be written in other ways."""
    plain = column.isascii() and len(column) < LONGEST
    return Key(table, column, kind) if plain else None


class Keyed(Struct, frozen=True):
    """Of a statement that reads or writes rows by their keys: where those are, and the rest."""

    key: Key
    places: tuple[Place, ...]
    reads: bool
    rest: tuple[str, ...]

    def tags(self, given: Iterable[Any]) -> set[str] | None:
        """The tags of the rows of these sets of parameters; None where one is not a plain key."""
        kind, table = self.key.kind, self.key.table
        found: set[str] = set()
        for parameters in given:
            for place in self.places:
                value = parameters[place]
                if not is_plain(kind, value) or len(found) > MOST_READ:
                    return None
                found.add(row_tag(table, value))
        return found

    def values(self, parameters: Any) -> set[Any]:
        """The keys themselves."""
        return {parameters[place] for place in self.places}


def is_plain(kind: str, value: Any) -> bool:
    """Whether a key of that kind is this value and no other."""
    if kind == UNIQUE:
        return isinstance(value, UUID)
    if kind == INTEGER:
        return type(value) is int or (is_number(type(value)) and isinstance(value, int))
    return type(value) is str


def row_tag(table: str, value: Any) -> str:
    """A row's tag."""
    known = int(value) if isinstance(value, int) else value
    named = f"{table}\0{known}".encode("utf-8", "surrogatepass")
    # A checksum alone has the like for like numbers.
    return f"{ROW}{crc32(named) * MIXED >> 16 & MOST_TAGS - 1:04x}"


def with_rows(facts: Facts) -> Facts:
    """The facts of a statement that may read any row of its tables."""
    return Facts(coarse(facts.reads), facts.writes, facts.fixed, facts.does)


def coarse(reads: Iterable[str]) -> tuple[str, ...]:
    """Any row of the tables instead of some."""
    tables = [each for each in reads if not each.startswith(ROW)]
    return (*tables, *[some(each) for each in tables if each not in _MARKS])


def some(table: str) -> str:
    """What is void where some rows are of the table with this tag."""
    return ROWS + table.removeprefix(TABLE)


_MARKS = frozenset({ANY, UNKNOWN, SCHEMA})


def by_key(facts: Facts, shape: Shape | None, key: Key | None) -> Facts:
    """The facts of a statement of that shape, of a table that has this key."""
    if shape is None or key is None or facts.does or ANY in facts.writes:
        return facts
    if shape.verb == INSERT:
        return Facts(facts.reads, _of_some(facts.writes, key), facts.fixed)
    places = _places(shape, key)
    if places is None:
        return facts
    if shape.verb == SELECT:
        alone = reads_of([key.table])
        if facts.writes or facts.reads != coarse(alone):
            return facts
        keyed = Keyed(key, places, True, alone)
    else:
        if tag(key.table) not in facts.writes:
            return facts
        keyed = Keyed(key, places, False, _of_some(facts.writes, key))
    return Facts(facts.reads, facts.writes, facts.fixed, 0, keyed)


def _of_some(writes: tuple[str, ...], key: Key) -> tuple[str, ...]:
    own = tag(key.table)
    return tuple(some(own) if each == own else each for each in writes)


def _places(shape: Shape, key: Key) -> tuple[Place, ...] | None:
    """Where the keys of all rows are that a statement concerns."""
    changed = {each.lower() for each in shape.changed}
    if not changed.isdisjoint({key.column.lower(), *ALIASES}):
        return None
    if max(map(len, changed), default=0) >= LONGEST:  # a database may cut it
        return None
    for named in shape.named:
        if named.column == key.column and named.places and named.cast in CASTS[key.kind]:
            return named.places
    return None


def found_by(facts: Facts, parameters: Any, count: int) -> Facts:
    """What a read with these parameters depends on, which has found so many rows."""
    keyed = facts.keyed
    if keyed is None:
        return facts
    try:
        tags = keyed.tags((parameters,))
        if tags is None or len(keyed.values(parameters)) != count:
            return facts
    except NO_KEYS:
        return facts
    return Facts((*keyed.rest, *sorted(tags)), (), facts.fixed)


def written_by(facts: Facts, parameters: Any, writes: set[str] | None, *, many: bool) -> Facts:
    """What a write with these parameters, or sets of them, makes void.

    `writes` are those of its transaction so far.
    """
    keyed = facts.keyed
    if keyed is None:
        return facts
    try:
        tags = keyed.tags(parameters if many else (parameters,))
    except NO_KEYS:
        return facts
    if tags is None or len(writes or ()) + len(tags) > MOST_WRITTEN:
        return facts
    return Facts(facts.reads, (*keyed.rest, *tags), facts.fixed, facts.does)


def read(plan: Plan, reads: tuple[str, ...], tick: int) -> None:
    """Note what was read for a page, by rows while there are few."""
    crowded = len(plan.tables or ()) >= MOST_READ
    plan.read(coarse(reads) if crowded else reads, tick)


def shaped(plain: str, statement: str) -> Shape | None:
    """The shape of a statement; `plain` is it without its values."""
    return added_to(plain) or shape_of(statement)
