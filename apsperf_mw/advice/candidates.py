"""Indexes that might serve a statement. Pure."""

from __future__ import annotations

import re
from itertools import combinations, permutations
from typing import TYPE_CHECKING
from zlib import crc32

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from apsperf_mw.advice.reading import Usage

MOST_COLUMNS = 4
MOST_INCLUDED = 4
# Candidates of one statement at most.
MOST_CANDIDATES = 64
# A value that fewer rows have than this share of them is worth an index of its own, where a column
# has so few that it is no value of many.
RARE, FEW = 0.1, 16
LONGEST_NAME = 60
# What tables' sizes are counted in.
PAGE_BYTES = 8192
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_LOWERED = re.compile(r"lower\(.*\)")
_WORD = re.compile(r"\W+")
# Those of SQLite and PostgreSQL; one more that is quoted does no harm.
RESERVED = frozenset(
    """abort action add after all alter always analyse analyze and any array as asc asymmetric
    attach authorization autoincrement before begin between binary both by cascade case cast check
    collate collation column commit concurrently conflict constraint create cross current
    current_catalog current_date current_role current_schema current_time current_timestamp
    current_user database default deferrable deferred delete desc detach distinct do drop each
    else end escape except exclude exclusive exists explain fail false fetch filter first
    following for foreign freeze from full generated glob grant group groups having if ignore
    ilike immediate in index indexed initially inner insert instead intersect into is isnull
    join key last lateral leading left like limit localtime localtimestamp match materialized
    natural no not nothing notnull null nulls of offset on only or order others outer over
    overlaps partition placing plan pragma preceding primary query raise range recursive
    references regexp reindex release rename replace restrict returning right rollback row
    rows savepoint select session_user set similar some symmetric table tablesample temp
    temporary then ties to trailing transaction trigger true unbounded union unique update
    user using vacuum values variadic verbose view virtual when where window with without""".split()  # noqa: SIM905 - the words, not their quotes
)


class Table(Struct, eq=False):
    """What a database knows of a table; `distinct` is how many values a column has.

    `nulls` is the share of rows in which it has none, `common` the share of each of its most
    common values, by their text; `wide` are columns of long values, which no index takes.
    """

    name: str
    columns: dict[str, str]
    rows: float = 0.0
    pages: float = 0.0
    distinct: dict[str, float] = field(default_factory=dict)
    nulls: dict[str, float] = field(default_factory=dict)
    common: dict[str, dict[str, float]] = field(default_factory=dict)
    wide: set[str] = field(default_factory=set)
    partitioned: bool = False


class Candidate(Struct, frozen=True, order=True):
    """An index that might be made; a column may be an expression, `lower(name)`.

    `descending` are those of its columns that are sorted so, `kind` its operator class.
    """

    table: str
    columns: tuple[str, ...]
    descending: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    where: str = ""
    kind: str = ""

    @property
    def name(self) -> str:
        """A name for it, as the table and its columns have them."""
        parts = [self.table, *self.columns, *(["incl", *self.include] if self.include else [])]
        whole = _WORD.sub("_", "_".join([*parts, *(["where", self.where] if self.where else [])]))
        name = f"ix_{whole.strip('_').lower()}"
        if len(name) <= LONGEST_NAME:
            return name
        return f"{name[: LONGEST_NAME - 9]}_{crc32(name.encode()):08x}"

    def ddl(self, *, concurrently: bool = False, name: str = "") -> str:
        """The statement that makes it."""
        kind = f" {self.kind}" if self.kind else ""
        columns = ", ".join(
            f"{quoted(column)}{kind}{' DESC' if column in self.descending else ''}"
            for column in self.columns
        )
        table = ".".join(map(quoted, self.table.split(".")))
        how = "CONCURRENTLY " if concurrently else ""
        ddl = f"CREATE INDEX {how}{quoted(name or self.name)} ON {table} ({columns})"
        if self.include:
            ddl += f" INCLUDE ({', '.join(map(quoted, self.include))})"
        return f"{ddl} WHERE {self.where}" if self.where else ddl


class Index(Struct, eq=False):
    """One that exists; `unused` where the database has counted no use of it."""

    name: str
    table: str
    columns: tuple[str, ...]
    ddl: str
    descending: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    unique: bool = False
    where: str = ""
    size_bytes: int = 0
    unused: bool = False
    plain: bool = True
    # How each column is sorted and compared.
    forms: tuple[str, ...] = ()

    def serves(self, candidate: Candidate) -> bool:
        """Whether it does what the candidate would do."""
        width = len(candidate.columns)
        if not self.plain or self.table != candidate.table or candidate.kind:
            return False
        if (
            self.unique
            and not self.where
            and candidate.columns[: len(self.columns)] == self.columns
        ):
            return True  # one row at most is found by it
        same = self.columns[:width] == candidate.columns and self.where == candidate.where
        held = {*self.columns, *self.include}.issuperset(candidate.include)
        return same and held and turned(self, width) == turned(candidate, width)


def made(candidate: Candidate) -> Index:
    """The candidate as it would be, were it made."""
    return Index(
        candidate.name,
        candidate.table,
        candidate.columns,
        candidate.ddl(),
        candidate.descending,
        candidate.include,
        where=candidate.where,
        plain=not candidate.kind,
    )


def turned(index: Index | Candidate, width: int) -> frozenset[int]:
    """Which columns are sorted otherwise than the first: read backwards, it is the other way."""
    ways = [column in index.descending for column in index.columns[:width]]
    return frozenset(at for at, way in enumerate(ways) if way != ways[0])


def quoted(name: str) -> str:
    """A name as SQL has it; expressions stay."""
    if _LOWERED.fullmatch(name) or (_PLAIN.fullmatch(name) and name not in RESERVED):
        return name
    return '"' + name.replace('"', '""') + '"'


def candidates_of(
    usages: Iterable[Usage], tables: Mapping[str, Table], indexes: Iterable[Index], *, wide: bool
) -> list[Candidate]:
    """Those of one statement that no index serves already; `wide` where columns may be included."""
    known = list(indexes)
    found: dict[Candidate, None] = {}
    for usage in usages:
        table = tables[usage.table]
        for each in _of_usage(usage, table, wide=wide):
            narrow = table.wide.isdisjoint(each.columns + each.include)
            if narrow and not any(index.serves(each) for index in known):
                found[each] = None
    return list(found)[:MOST_CANDIDATES]


def _of_usage(usage: Usage, table: Table, *, wide: bool) -> Iterator[Candidate]:
    plain = list(_plain(usage, table))
    yield from plain
    for column in usage.lowered:
        yield Candidate(table.name, (f"lower({quoted(column)})",))
    if wide:
        for column in usage.prefixed:
            if table.columns.get(column, "").lower() in {"text", "character varying", "varchar"}:
                yield Candidate(table.name, (column,), kind="text_pattern_ops")
    yield from _partial(usage, table)
    if wide:
        for each in plain:
            rest = [column for column in usage.used if column not in each.columns]
            if 0 < len(rest) <= MOST_INCLUDED:
                yield Candidate(each.table, each.columns, each.descending, tuple(rest))


def _plain(usage: Usage, table: Table) -> Iterator[Candidate]:
    """Plain ones: what is held equal first, then what is ranged over or sorted by."""
    equal = sorted({*usage.equal, *usage.nulls}, key=lambda each: -table.distinct.get(each, 0.0))
    lists: list[tuple[str, ...]]
    lists = [tuple(equal[:width]) for width in range(1, min(len(equal), MOST_COLUMNS) + 1)]
    lists += [(each,) for each in equal]
    lists.extend(combinations(equal[:4], 2))
    ends: list[tuple[str, ...]] = [(each,) for each in (*usage.ranged, *usage.prefixed)]
    ends += [tuple(usage.grouped)] if usage.grouped else []
    joined = [tuple(dict.fromkeys(each)) for each in usage.joined.values()]
    for columns in joined:
        lists += [columns, *permutations(columns, 2)]
        lists += [(*columns, *each) for each in ends]
        lists += [(*columns, *equal[:width]) for width in (1, 2)]
        lists += [(*equal[:width], *columns) for width in (1, 2)]
    lists += [(*first, *end) for first in [(), *lists] for end in ends]
    for columns in lists:
        if made := _candidate(table.name, columns):
            yield made
    if usage.ordered:
        names = [column for column, _ in usage.ordered]
        down = tuple(column for column, desc in usage.ordered if desc)
        if len(down) == len(names):
            down = ()  # read backwards
        for first in [(), *(tuple(equal[:width]) for width in range(1, 4))]:
            if made := _candidate(table.name, (*first, *names), down):
                yield made


def _candidate(table: str, columns: Sequence[str], down: tuple[str, ...] = ()) -> Candidate | None:
    once = tuple(dict.fromkeys(columns))
    if not once or len(once) > MOST_COLUMNS:
        return None
    return Candidate(table, once, tuple(column for column in down if column in once))


def _partial(usage: Usage, table: Table) -> Iterator[Candidate]:
    """Those of the few rows that have a certain value, or none."""
    few = [
        f"{quoted(column)} IS NULL"
        for column in usage.nulls
        if 0 < table.nulls.get(column, 0.0) < RARE
    ]
    for column, value in usage.equal.items():
        few_values = 0 < table.distinct.get(column, 0.0) <= FEW
        if (
            value
            and few_values
            and 0 < table.common.get(column, {}).get(value.strip("'"), 0.0) < RARE
        ):
            few.append(f"{quoted(column)} = {value}")
    held = [*usage.equal, *usage.ranged, *(column for column, _ in usage.ordered)]
    for where in few:
        for column in dict.fromkeys(held):
            if not where.startswith(quoted(column)):
                yield Candidate(table.name, (column,), where=where)
