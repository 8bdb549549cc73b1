"""Many rows at once, by the fastest way that the database has, in chunks.

PostgreSQL gets new rows by COPY; others, and rows that take the place of others, go by SQLAlchemy's
own ways of many values. A chunk is written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Table, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from apsperf_mw.db.writing import INSERT, UPDATE, UPSERT, transaction, write
from apsperf_mw.errors import BatchError, SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from sqlalchemy.engine import Connection

    Row = Mapping[str, Any]
    Progress = Callable[[int], object]

CHUNK = 5000


class Batch:
    """Collects rows, and writes them when there are `chunk` of a kind, and at its end.

    Of what raises inside nothing more is written. What was written is part of the connection's or
    session's transaction, which is yours to commit.
    """

    def __init__(self, target: Connection | Session, chunk: int, progress: Progress | None) -> None:
        if type(chunk) is not int or chunk < 1:
            raise SettingError(f"chunk: {chunk!r} given; accepted: a whole number above 0")
        self.written = 0
        self._target = target
        self._chunk = chunk
        self._progress = progress
        self._waiting: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        self._seen: dict[tuple[Any, ...], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.flush()

    def add(self, thing: object) -> None:
        """A new row of a mapped object, which is not made part of a session."""
        mapper: Any = inspect(type(thing), raiseerr=False)
        if mapper is None or not isinstance(mapper.local_table, Table):
            raise SettingError(f"add: {thing!r} given; accepted: an object of a mapped class")
        if len(mapper.tables) > 1:
            name = type(thing).__name__
            raise SettingError(f"add: {name} is of several tables; accepted: of one")
        given = vars(thing)
        if related := [each.key for each in mapper.relationships if given.get(each.key)]:
            raise SettingError(f"add: {related[0]!r} is set; accepted: columns' values, as its key")
        row = {
            mapper.get_property_by_column(column).key: column
            for column in mapper.local_table.columns
        }
        self.insert(
            mapper.local_table,
            {column.key: given[key] for key, column in row.items() if key in given},
        )

    def insert(self, table: Table, *rows: Row) -> None:
        """New rows, by the names of columns."""
        self._take(INSERT, table, (), rows)

    def upsert(self, table: Table, *rows: Row, key: Iterable[str] = ()) -> None:
        """New rows, or where one of this key is there its new values; the primary key else.

        PostgreSQL's and SQLite's alone.
        """
        names = tuple(key) or tuple(column.key for column in table.primary_key)
        self._take(UPSERT, table, names, rows)

    def update(self, table: Table, *rows: Row, key: Iterable[str] = ()) -> None:
        """New values for the rows of this key; the primary key else."""
        names = tuple(key) or tuple(column.key for column in table.primary_key)
        self._take(UPDATE, table, names, rows)

    def _take(self, verb: str, table: Table, key: tuple[str, ...], rows: Iterable[Any]) -> None:
        columns: tuple[str, ...] = ()
        kind: tuple[Any, ...] = ()
        waiting: list[dict[str, Any]] | None = None
        for row in rows:
            if waiting is None or tuple(row) != columns:
                if not isinstance(row, Mapping):
                    given = type(row).__name__
                    raise SettingError(f"{verb}: {given} given; accepted: mappings, one a row")
                columns = tuple(row)
                kind = (verb, table, key, columns)
                waiting = self._waiting.get(kind)
            if waiting is None:
                self._check(table, key, columns)
                waiting = self._waiting[kind] = []
            waiting.append({**row})
            if len(waiting) >= self._chunk:
                self.flush()  # what came before it goes before it
                waiting = None

    def _check(self, table: Table, key: tuple[str, ...], columns: tuple[str, ...]) -> None:
        unknown = [name for name in (*columns, *key) if name not in table.columns]
        if unknown:
            accepted = ", ".join(table.columns.keys())
            raise SettingError(f"{table.name}: {unknown[0]!r} given; accepted: {accepted}")
        if missing := [name for name in key if name not in columns]:
            raise SettingError(f"{table.name}: no {missing[0]!r} given, which is part of the key")

    def flush(self) -> None:
        """Write what waits, in the order in which its kinds came."""
        for kind in list(self._waiting):
            self._write(kind)

    def _write(self, kind: tuple[Any, ...]) -> None:
        rows = self._waiting.pop(kind)
        if not rows:
            return
        connection = self._connection()
        first = self._seen.get(kind, 0)
        self._seen[kind] = first + len(rows)
        with transaction(connection):
            try:
                with connection.begin_nested():
                    write(connection, kind, rows)
            except Exception as fault:
                at = failing(connection, kind, rows)
                raise BatchError(told(kind, rows, at, first, fault)) from fault
        self.written += len(rows)
        if self._progress is not None:
            self._progress(self.written)

    def _connection(self) -> Connection:
        target = self._target
        if isinstance(target, Session):
            target.flush()
            return target.connection()
        return target


def failing(
    connection: Connection, kind: tuple[Any, ...], rows: list[dict[str, Any]]
) -> int | None:
    """The first row that cannot be written: found by halves, none of which stays written."""
    low, high = 0, len(rows)
    while high - low > 1:
        middle = (low + high) // 2
        if fails(connection, kind, rows[low:middle]):
            high = middle
        else:
            low = middle
    return low if fails(connection, kind, rows[low:high]) else None


def fails(connection: Connection, kind: tuple[Any, ...], rows: list[dict[str, Any]]) -> bool:
    """Whether these rows by themselves cannot be written."""
    try:
        trial = connection.begin_nested()
        try:
            write(connection, kind, rows)
        finally:
            trial.rollback()
    except Exception as fault:
        return not (isinstance(fault, DBAPIError) and fault.connection_invalidated)
    return False


def told(
    kind: tuple[Any, ...], rows: list[dict[str, Any]], at: int | None, first: int, fault: Exception
) -> str:
    """Which row it was, by its place and its key; its other values are told to nobody."""
    verb, table, key, _ = kind
    why = str(getattr(fault, "orig", None) or fault).partition("\n")[0]
    if at is None:
        return f"{verb} into {table.name}: rows {first} to {first + len(rows) - 1}: {why}"
    names = key or tuple(column.key for column in table.primary_key)
    known = ", ".join(f"{name} {rows[at][name]!r}" for name in names if name in rows[at])
    return f"{verb} into {table.name}: row {first + at}{f' ({known})' if known else ''}: {why}"
