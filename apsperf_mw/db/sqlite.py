"""What SQLite's own compiler says of a statement: the tables it reads and writes, through all.

The schema is copied into a database in memory, where statements are compiled and never run.
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from typing import TYPE_CHECKING, Any
from weakref import finalize

from apsperf_mw.db.facts import (
    ALTERS_SCHEMA,
    ALTERS_SESSION,
    BEGINS,
    COMMITS,
    OPAQUE,
    ROLLS_BACK,
    Facts,
    reads_of,
    writes_of,
)
from apsperf_mw.db.graphs import reached
from apsperf_mw.db.plain import verbs_of, words_of
from apsperf_mw.db.rows import INTEGER, TEXT, key_of
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.db.rows import Key
    from apsperf_mw.db.shapes import Shape

    Ask = Callable[[str], list[tuple[Any, ...]]]

SCHEMA = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
KEYS = """
SELECT lower(k."table"), lower(m.name) FROM sqlite_master m, pragma_foreign_key_list(m.name) k
WHERE m.type = 'table' AND (k.on_delete NOT IN ('NO ACTION', 'RESTRICT')
  OR k.on_update NOT IN ('NO ACTION', 'RESTRICT'))"""
TABLES = "SELECT lower(name) FROM sqlite_master WHERE type = 'table'"
TRIGGERS = "SELECT lower(tbl_name), sql FROM sqlite_master WHERE type = 'trigger'"
PRIMARY = """
SELECT lower(m.name), lower(i.name), upper(i.type), lower(m.sql), count(*)
FROM sqlite_master m, pragma_table_xinfo(m.name) i
WHERE m.type = 'table' AND i.pk > 0 GROUP BY m.name"""
# Of a table whose definition has one of these a write of a row may take another's place, and a key
# be written in more than one way.
STRANGE = frozenset({"conflict", "replace", "collate", "virtual", "generated", "as"})
# Pragmas that take a name and only tell.
TELLS = ("table_", "index_", "foreign_key_")
# Pragmas that are of writes, or of how fast it goes: what a statement reads is the same.
HARMLESS = frozenset(
    (
        *("foreign_keys", "defer_foreign_keys", "synchronous", "busy_timeout", "cache_size"),
        *("mmap_size", "wal_autocheckpoint"),
    )
)
# Of SQLite's authoriser: what the numbers it gives stand for.
READ, FUNCTION, TRANSACTION, SAVEPOINT, PRAGMA, ATTACH, DETACH = 20, 31, 22, 32, 19, 24, 25
WRITES = frozenset({9, 18, 23})  # delete, insert, update
TEMPORARY = frozenset({3, 4, 5, 6, 12, 13, 14, 15})
SCHEMAS = frozenset({1, 2, 7, 8, 10, 11, 16, 17, 26, 27, 28, 29, 30})
# Functions that give something else each time, or something of the connection's own.
UNFIXED = frozenset(
    (
        *("random", "randomblob", "changes", "total_changes", "last_insert_rowid"),
        *("current_time", "current_date", "current_timestamp", "load_extension"),
        *("date", "time", "datetime", "julianday", "strftime", "unixepoch", "timediff"),
    )
)
MISSING = re.compile(r"no such (function|collation sequence): (\S+)")
MOST_TRIES = 32
MANIPULATES = frozenset({"SELECT", "WITH", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE"})
READS = frozenset({"SELECT", "VALUES", "PRAGMA", "EXPLAIN"})


class Seen:
    """What the compiler has asked leave for."""

    def __init__(self) -> None:
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.fixed = True
        self.does = 0

    def __call__(self, action: int, one: Any, two: Any, *_: Any) -> int:
        """Whether it may: it may all."""
        if action == READ:
            self._read(str(one).lower())
        elif action in WRITES:
            self._write(str(one).lower())
        elif action == FUNCTION:
            self.fixed = self.fixed and str(two).lower() not in UNFIXED
        elif action in TEMPORARY or action in {ATTACH, DETACH}:
            self.does |= ALTERS_SESSION
        elif action in SCHEMAS:
            self.does |= ALTERS_SCHEMA
        elif action == PRAGMA:
            self.fixed = False
            tells = str(one).startswith(TELLS) or str(one).lower() in HARMLESS
            if two is not None and not tells:
                self.does |= ALTERS_SESSION
        else:
            self._other(action, str(one))
        return sqlite3.SQLITE_OK

    def _other(self, action: int, what: str) -> None:
        if action == SAVEPOINT:
            self.fixed = False
        elif action == TRANSACTION:
            self.does |= {"BEGIN": BEGINS, "COMMIT": COMMITS}.get(what, ROLLS_BACK)

    def _read(self, table: str) -> None:
        # Of the schema, or of a function that gives rows: what they say is not followed.
        self.fixed = self.fixed and not table.startswith(("sqlite_", "pragma_"))
        self.reads.add(table)

    def _write(self, table: str) -> None:
        if not table.startswith("sqlite_"):
            self.writes.add(table)
        elif table not in {"sqlite_sequence", "sqlite_temp_master"}:
            self.does |= ALTERS_SCHEMA


class Compiler:
    """Compiles statements against a schema as it was when it was asked for."""

    def __init__(self, ask: Ask) -> None:
        self._lock = Lock()
        self._strange: set[str] = set()
        # What is prepared already would not be compiled again, nor leave be asked for.
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, cached_statements=0)
        finalize(self, self._connection.close)
        for (sql,) in ask(SCHEMA):
            self._make(str(sql))
        self._keys: dict[str, set[str]] = defaultdict(set)
        for parent, child in ask(KEYS):
            self._keys[parent].add(child)
        self._triggered = self._link_triggers(ask)
        self._primary: dict[str, Key] = {}
        # All that may happen, whether the app's own connections have it so or not.
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA recursive_triggers = ON")

    def _link_triggers(self, ask: Ask) -> set[str]:
        tables = {name for (name,) in ask(TABLES)}
        triggered = set()
        for table, body in ask(TRIGGERS):
            self._keys[table] |= words_of(body) & tables
            triggered.add(table)
        return triggered

    def find_keys(self, ask: Ask) -> None:
        """Of the tables that are nothing else, and whose writes do nothing more to them."""
        for table, column, kind, sql, count in ask(PRIMARY):
            if count == 1 and words_of(sql).isdisjoint(STRANGE) and self._is_alone(table):
                key = key_of(table, column, affinity_of(kind))
                if key is not None and key.kind:
                    self._primary[table] = key

    def key(self, shape: Shape, plain: str) -> Key | None:
        """The key of a statement's table; None where a function may have a hand in it."""
        if shape.schema or self._called(plain):
            return None
        return self._primary.get(shape.table.lower())

    def _is_alone(self, table: str) -> bool:
        """Whether a write of it does not come back to it by way of others."""
        first = self._keys.get(table, set())
        return table not in self._triggered and table not in reached(first, self._keys)

    def facts(self, statement: str) -> Facts:
        """A statement's facts; all is possible of one that does not compile."""
        verb, _ = verbs_of(statement)
        if verb == "EXPLAIN":
            return Facts()
        with self._lock:
            seen = self._seen(statement)
            if seen is not None and seen.does & ALTERS_SCHEMA and verb in MANIPULATES:
                # The first use of a function that gives rows declares their table.
                seen = self._seen(statement)
            return self._told(seen, statement, verb)

    def _seen(self, statement: str) -> Seen | None:
        for _ in range(MOST_TRIES):
            seen = Seen()
            fault = self._compile(statement, seen)
            if fault is None:
                return seen
            if not self._provide(str(fault)):
                break
        return None

    def _told(self, seen: Seen | None, statement: str, verb: str) -> Facts:
        if seen is None:
            return Facts(OPAQUE.reads) if verb in READS else OPAQUE
        if seen.does & ALTERS_SCHEMA:
            return Facts(OPAQUE.reads, OPAQUE.writes, does=seen.does)
        # What a key's action writes is not always compiled: REPLACE finds out when it runs.
        writes = {str(name) for name in reached(seen.writes, self._keys)}
        fixed = seen.fixed and not (writes or seen.does or self._called(statement))
        return Facts(reads_of(seen.reads), writes_of(writes), fixed, seen.does)

    def _compile(self, statement: str, seen: Seen) -> sqlite3.Error | None:
        self._connection.set_authorizer(seen)
        try:
            self._connection.execute(f"EXPLAIN {statement}").close()
        except sqlite3.ProgrammingError as fault:
            # Compiled, with values missing; else the text has more than one statement in it.
            return None if "binding" in str(fault) else fault
        except (sqlite3.Error, sqlite3.Warning, ValueError) as fault:
            return fault if isinstance(fault, sqlite3.Error) else sqlite3.Error(str(fault))
        finally:
            self._connection.set_authorizer(None)
        return None

    def _called(self, statement: str) -> set[str]:
        """The functions of others that it may call."""
        if not self._strange:
            return set()
        return words_of(statement) & self._strange

    def _provide(self, fault: str) -> bool:
        """Make what a connection of the app's has and this one has not; it is never called."""
        found = MISSING.search(fault)
        if found is None:
            return False
        name = found[2].strip('"')
        if found[1] == "function":
            self._strange.add(name.lower())
            self._connection.create_function(name, -1, lambda *_: None)
        else:
            self._strange.add(name.lower())
            self._connection.create_collation(name, lambda *_: 0)
        return True

    def _make(self, sql: str) -> None:
        for _ in range(MOST_TRIES):
            try:
                self._connection.execute(sql)
            except sqlite3.Error as fault:
                if self._provide(str(fault)):
                    continue
            return


def affinity_of(kind: str) -> str:
    """The kind of values that a column of this type has; empty of any other."""
    if "INT" in kind:
        return INTEGER
    return TEXT if any(each in kind for each in ("CHAR", "CLOB", "TEXT")) else ""
