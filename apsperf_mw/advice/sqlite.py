"""SQLite's planner: indexes are tried on a copy of the database, where statements really run.

What counts is the number of steps that SQLite's virtual machine takes: it is the same each time,
however busy the machine is.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import finalize

from apsperf_mw.advice.candidates import PAGE_BYTES, Candidate, Index, Table, quoted
from apsperf_mw.advice.planners import Plan, Unplanned
from apsperf_mw.advice.workload import numbered
from apsperf_mw.errors import AdviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from apsperf_mw.advice.workload import Query

    Prepare = Callable[[sqlite3.Connection], object]

TABLES = """
SELECT lower(m.name), lower(c.name), c.type FROM sqlite_master m, pragma_table_info(m.name) c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"""
INDEXES = """
SELECT l.name, lower(m.name), l."unique", l.origin, l.partial, lower(x.name), x."desc", x.key,
  s.sql, x.coll
FROM sqlite_master m, pragma_index_list(m.name) l, pragma_index_xinfo(l.name) x
LEFT JOIN sqlite_master s ON s.name = l.name AND s.type = 'index'
WHERE m.type = 'table' ORDER BY l.name, x.seqno"""
KEYS = f"{TABLES} AND c.pk = 1 AND upper(c.type) = 'INTEGER'"
USED = """
SELECT (page_count - freelist_count) * page_size
FROM pragma_page_count, pragma_freelist_count, pragma_page_size"""
WHERE = re.compile(r"\bwhere\b", re.IGNORECASE)
# A database that takes more is not copied.
MOST_BYTES = 2 << 30
# Steps between two looks at the clock, and a statement's longest run.
STEPS, LONGEST_S = 20, 2.0
# Rows that are looked at to guess how many values a column has.
SAMPLE = 5000


class SQLitePlanner:
    """A copy of one database, which is gone with it; `prepare` gives it functions of the app's.

    `AdviceError` where it is too large.
    """

    dialect = "sqlite"
    unit = "steps of its virtual machine"
    least_gain = 2000.0
    wide = False

    def __init__(self, source: sqlite3.Connection, prepare: Prepare | None = None) -> None:
        size = source.execute(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        )
        (size_bytes,) = size.fetchone()
        if size_bytes > MOST_BYTES:
            raise AdviceError(f"the database has {size_bytes} bytes; accepted: {MOST_BYTES}")
        directory = tempfile.TemporaryDirectory(prefix="apsperf-advice-")
        self._copy = sqlite3.connect(
            Path(directory.name) / "copy", check_same_thread=False, isolation_level=None
        )
        self.close = finalize(self, _close, self._copy, directory)
        source.backup(self._copy)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF"):
            self._copy.execute(f"PRAGMA {pragma}")
        self._prepare = prepare or _nothing
        self._prepare(self._copy)
        self._clone = self._cloned()
        self._built: dict[Candidate, int] = {}

    def _cloned(self) -> sqlite3.Connection:
        """The schema and its statistics without the rows: there indexes cost nothing."""
        clone = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        finalize(self, clone.close)
        self._prepare(clone)
        for (sql,) in self._copy.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"):
            if not sql.startswith("CREATE TABLE sqlite_"):
                with suppress(sqlite3.Error):  # what a virtual table has made is there already
                    clone.execute(sql)
        clone.execute("ANALYZE")
        with suppress(sqlite3.OperationalError):
            told = self._copy.execute("SELECT tbl, idx, stat FROM sqlite_stat1").fetchall()
            clone.executemany("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", told)
            clone.execute("ANALYZE sqlite_schema")
        return clone

    def tables(self) -> dict[str, Table]:
        """Those of the app, with what a sample of their rows tells."""
        found: dict[str, Table] = {}
        for name, column, kind in self._copy.execute(TABLES).fetchall():
            found.setdefault(name, Table(name, {})).columns[column] = kind
        share = self._used_bytes() / PAGE_BYTES / max(len(found), 1)
        for table in found.values():
            table.pages = share  # which of them has how many is not told
        return {name: table for name, table in found.items() if self._sample(table)}

    def _sample(self, table: Table) -> bool:
        """Look at some rows; False where there are none to be had, as of a virtual table."""
        name, columns = quoted(table.name), list(table.columns)
        counts = ", ".join(f"count(DISTINCT {quoted(each)})" for each in columns)
        sample = f"SELECT {counts} FROM (SELECT * FROM {name} LIMIT {SAMPLE})"  # noqa: S608
        try:
            (table.rows,) = self._copy.execute(f"SELECT count(*) FROM {name}").fetchone()  # noqa: S608
            table.distinct = dict(zip(columns, self._copy.execute(sample).fetchone(), strict=True))
        except sqlite3.Error:
            return False
        return True

    def indexes(self) -> list[Index]:
        """Those of its tables; which of them are used is told by plans alone."""
        found: dict[str, Index] = {}
        for row in self._copy.execute(INDEXES).fetchall():
            name, table, unique, origin, partial_, column, desc, key, sql, collation = row
            made = found.setdefault(name, Index(name, table, (), sql or "", unique=bool(unique)))
            made.plain = made.plain and (column is not None or not key)
            if partial_ and sql:
                made.where = WHERE.split(sql)[-1].strip()
            if key and column is not None:
                made.columns = (*made.columns, column)
                made.forms = (*made.forms, f"{desc} {collation}")
                made.descending = (*made.descending, column) if desc else made.descending
            made.unused = origin == "c" and not unique
        return [*found.values(), *self._keys()]

    def _keys(self) -> list[Index]:
        """A whole number that is the primary key is the row's own place."""
        rows = self._copy.execute(KEYS).fetchall()
        return [Index("", table, (column,), "", unique=True) for table, column, _ in rows]

    def plan(self, query: Query) -> Plan:
        """Run it on the copy, and leave no trace."""
        given = self._given(query)
        text, uses = self._explained(self._copy, query, given)
        steps = 0
        until = monotonic() + LONGEST_S

        def step() -> bool:
            nonlocal steps
            steps += STEPS
            return monotonic() > until

        self._copy.execute("SAVEPOINT apsperf_advice")
        try:
            self._copy.set_progress_handler(step, STEPS)
            self._run(query, given)
        finally:
            self._copy.set_progress_handler(None, 0)
            self._copy.execute("ROLLBACK TO apsperf_advice")
            self._copy.execute("RELEASE apsperf_advice")
        tries = frozenset(each for each in self._built if each.name in uses)
        return Plan(float(max(steps, STEPS)), uses, tries, text)

    def _run(self, query: Query, given: Any) -> None:
        try:
            cursor = self._copy.execute(query.text, given)
            for _ in cursor:
                pass
        except sqlite3.OperationalError as fault:
            if "interrupted" not in str(fault):
                raise Unplanned(str(fault)) from None
        except sqlite3.Error as fault:
            raise Unplanned(str(fault)) from None

    def _given(self, query: Query) -> Any:
        if query.given is None and numbered(query.text)[1]:
            raise Unplanned("it has places for values, and none are known")
        return query.given or ()

    def _explained(
        self, where: sqlite3.Connection, query: Query, given: Any
    ) -> tuple[str, frozenset[str]]:
        try:
            rows = where.execute(f"EXPLAIN QUERY PLAN {query.text}", given).fetchall()
        except sqlite3.Error as fault:
            raise Unplanned(str(fault)) from None
        told = [str(row[3]) for row in rows if " INDEX " in row[3]]
        uses = {each.partition(" INDEX ")[2].partition(" (")[0].strip() for each in told}
        return "\n".join(plan_lines(rows)), frozenset(uses)

    def chosen(self, query: Query, candidates: list[Candidate]) -> list[Candidate]:
        """Those that it would use; two of a name are one too many."""
        new = {each.name: each for each in candidates if each not in self._built}
        clone = self._clone
        made = {each.name: each for each in self._built}
        for name, candidate in new.items():
            with suppress(sqlite3.Error):
                clone.execute(candidate.ddl(name=f"try_{name}"))
        try:
            _, uses = self._explained(clone, query, self._given(query))
        finally:
            for name in new:
                clone.execute(f'DROP INDEX IF EXISTS "try_{name}"')
        known = {**made, **{f"try_{name}": each for name, each in new.items()}}
        return [known[name] for name in uses if name in known]

    def add(self, candidate: Candidate) -> None:
        """Make it, on the copy."""
        if candidate in self._built:
            return
        before = self._used_bytes()
        with suppress(sqlite3.Error):
            self._copy.execute(candidate.ddl())
            self._clone.execute(candidate.ddl())
        self._built[candidate] = self._used_bytes() - before

    def drop(self, candidate: Candidate) -> None:
        """Drop it again."""
        if self._built.pop(candidate, None) is not None:
            for each in (self._copy, self._clone):
                each.execute(f'DROP INDEX IF EXISTS "{candidate.name}"')

    def _used_bytes(self) -> int:
        return int(self._copy.execute(USED).fetchone()[0])

    def size(self, candidate: Candidate) -> int:
        """What the copy has grown by."""
        return self._built[candidate]

    def write_cost(self, candidate: Candidate) -> float:
        """Some steps for each of its columns."""
        return 20.0 + 5.0 * len(candidate.columns)


def _nothing(_: sqlite3.Connection) -> None:
    """It has nothing of its own."""


def plan_lines(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """What `EXPLAIN QUERY PLAN` says, each step below the one that it is a part of."""
    depths: dict[int, int] = {0: -1}
    for number, parent, _, told in rows:
        depths[number] = depths.get(parent, -1) + 1
        yield "  " * depths[number] + str(told)


def _close(copy: sqlite3.Connection, directory: tempfile.TemporaryDirectory[str]) -> None:
    with suppress(sqlite3.Error):
        copy.close()
    directory.cleanup()
