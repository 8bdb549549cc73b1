"""diskcache's database with our connections (one a thread), waits and eviction.

Of diskcache come the tables, the way of a row, and the rule that a file is there before its row.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakSet

from diskcache import Cache
from diskcache.core import DBNAME

from apsperf_mw.drivers.file_connection import SETTINGS, connect, is_busy, patiently
from apsperf_mw.drivers.file_disk import BytesDisk, ForeignRow
from apsperf_mw.drivers.file_frame import boot
from apsperf_mw.drivers.file_place import inode
from apsperf_mw.drivers.versions import stand_key, versions_key
from apsperf_mw.errors import DriverError
from apsperf_mw.runtime.threads import RLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from apsperf_mw.drivers.file_connection import Connection

    Execute = Callable[..., sqlite3.Cursor]
    Write = tuple[Execute, Callable[[str | None], None]]

T = TypeVar("T")

_ROW = "SELECT tag, mode, filename, value FROM Cache WHERE key = ? AND raw = 1"
# What a row takes beside its value, roughly; more are deleted if it is less.
ROW_BYTES = 200
_OLD = "SELECT rowid, filename, size + COALESCE(length(value), 0) FROM Cache WHERE {} LIMIT 64"
_OVER = _OLD.format("expire_time < ? ORDER BY expire_time")
_OLDEST = _OLD.format("substr(tag, ?) NOT IN (?, ?) ORDER BY store_time")
_ANY = _OLD.format("rowid > 0 ORDER BY store_time")
_LASTING = (-len(versions_key(b"")), versions_key(b""), stand_key(b""))


class Row(NamedTuple):
    """What the database has under a digest."""

    key: object
    mode: object
    filename: object
    value: object


class Volume(Cache):  # type: ignore[misc]
    """The database of a directory, as it is until another takes its place.

    A write that comes to nothing raises what SQLite says, or `DriverError` where another process
    is in the way for longer than `timeout_s`.
    """

    _local: Any = None
    _disk: Any = None

    def __init__(self, directory: Path, most_bytes: int, timeout_s: float, gate: Any) -> None:
        self.path = str(directory / DBNAME)
        self.most_bytes = most_bytes
        self.timeout_s = timeout_s
        self.evictions = 0
        self.inode = 0
        self._gate = gate
        self._turn = RLock()  # threads wait for each other here, and for processes at the database
        self._connections: WeakSet[Connection] = WeakSet()
        self._first = connect(self.path, creates=True)
        self._make(directory)
        self.inode = inode(self.path)
        self._local.con = self._first
        self._connections.add(self._first)
        rows = self._sql("SELECT filename FROM Cache WHERE filename IS NOT NULL")
        self._disk.sweep({name for (name,) in rows})

    def _make(self, directory: Path) -> None:
        """Make the tables where they are not there; one transaction, so one wait for others."""
        for pragma in ("auto_vacuum = 2", "journal_mode = wal"):  # before there are tables
            self._patiently(self._first.execute, f"PRAGMA {pragma}")
        with self._transaction(self._first) as (sql, _):
            super().__init__(str(directory), timeout=0, disk=BytesDisk, **SETTINGS)
            sql(f"PRAGMA user_version = {boot()}")
        self._disk.most_bytes = self.most_bytes

    @property
    def connected(self) -> bool:
        """Whether this thread has its connection."""
        return getattr(self._local, "con", None) is not None

    def connected_now(self) -> bool:
        """Give this thread its connection, unless that would have to wait."""
        if not self._gate.acquire(blocking=False):
            return False
        try:
            return self._connected() is not None
        except sqlite3.Error:
            return False
        finally:
            self._gate.release()

    @property
    def _con(self) -> Connection:
        if not self.inode:  # it is being made
            return self._first
        connection: Connection | None = getattr(self._local, "con", None)
        return self._patiently(self._connected) if connection is None else connection

    def _connected(self) -> Connection:
        with self._gate:
            connection: Connection = connect(self.path, creates=False)
            self._local.con = connection
            self._connections.add(connection)
        return connection

    @property
    def _sql_retry(self) -> Execute:
        def execute(statement: str, *args: Any) -> sqlite3.Cursor:
            cursor: sqlite3.Cursor = self._patiently(self._sql, statement, *args)
            return cursor

        return execute

    def row(self, digest: bytes) -> Row | None:
        """The row of a key, read at once; busy is `sqlite3.OperationalError`."""
        connection = self._con
        with connection.busy:
            found = connection.execute(_ROW, (digest,)).fetchone()
        return None if found is None else Row._make(found)

    def bytes_of(self, row: Row) -> bytes:
        """The frame of a row; `ForeignRow`, or `OSError` where its file is gone."""
        frame: bytes = self._disk.fetch(row.mode, row.filename, row.value, False)
        return frame

    def remove(self, digest: bytes) -> None:
        """Delete a row, and its file."""
        self._remove("key = ? AND raw = 1", digest)

    def clear_prefix(self, prefix: bytes) -> None:
        """Delete the rows whose keys begin so, and their files."""
        if prefix:
            self._remove("substr(tag, 1, ?) = ?", len(prefix), prefix)
        else:
            self._remove("rowid IS NOT NULL")

    def _remove(self, where: str, *args: Any) -> None:
        with self._transact() as (sql, cleanup):
            for (name,) in sql(f"SELECT filename FROM Cache WHERE {where}", args).fetchall():  # noqa: S608
                cleanup(name)
            sql(f"DELETE FROM Cache WHERE {where}", args)  # noqa: S608

    def volume(self) -> int:
        """The bytes in use: pages that are not free, and files."""
        pages, free = self._pages()
        in_use: int = (pages - free) * self._page_size
        return in_use + self._counted("size")

    def _pages(self) -> tuple[int, int]:
        ((pages,),) = self._sql("PRAGMA page_count").fetchall()
        ((free,),) = self._sql("PRAGMA freelist_count").fetchall()
        return pages, free

    def _shrink(self) -> None:
        """Give back pages, where a quarter of them is free."""
        pages, free = self._pages()
        if free > max(pages // 4, 256):
            self._sql(f"PRAGMA incremental_vacuum({free - pages // 8})").fetchall()

    def count(self) -> int:
        """How many rows there are."""
        return self._counted("count")

    def _counted(self, name: str) -> int:
        found = self._sql("SELECT value FROM Settings WHERE key = ?", (name,)).fetchone()
        if found is None or type(found[0]) is not int:
            raise ForeignRow(f"{name} is no number")
        return int(found[0])

    def _cull(
        self,
        now: float,
        sql: Execute,
        cleanup: Callable[[str | None], None],
        limit: object = None,  # noqa: ARG002
    ) -> None:
        """Make room within the write that needs it: what is over, then the oldest.

        Versions of tags go last: without them nothing that is tagged can be trusted.
        """
        while (over := self.volume() - self.most_bytes) > 0:
            rows = (
                sql(_OVER, (now,)).fetchall()
                or sql(_OLDEST, _LASTING).fetchall()
                or sql(_ANY).fetchall()
            )
            if not rows:
                return
            for rowid, name, size in rows:
                sql("DELETE FROM Cache WHERE rowid = ?", (rowid,))
                cleanup(name)
                self.evictions += 1
                over -= size + ROW_BYTES
                if over <= 0:
                    break
            self._shrink()

    @contextmanager
    def _transact(
        self,
        retry: bool = False,  # noqa: ARG002
        filename: str | None = None,
    ) -> Iterator[Write]:
        """A write of one row or many, whole or not at all; reentrant in its thread.

        A file whose row is not written is removed; files of rows that are gone, afterwards.
        """
        connection = self._con
        try:
            with self._turn, connection.busy:
                if connection.in_transaction:
                    yield connection.execute, connection.gone.append
                else:
                    with self._transaction(connection) as write:
                        yield write
        except BaseException:
            if filename is not None:
                self._disk.remove(filename)
            raise

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[Write]:
        connection.gone = []
        self._patiently(connection.execute, "BEGIN IMMEDIATE")
        try:
            yield connection.execute, connection.gone.append
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        for name in filter(None, connection.gone):
            self._disk.remove(name)

    def _patiently(self, call: Callable[..., T], *args: Any) -> T:
        """Call until nobody is in the way; `DriverError` in time."""
        try:
            return patiently(self.timeout_s, call, *args)
        except sqlite3.OperationalError as fault:
            if not is_busy(fault):
                raise
            raise DriverError(f"{self.path} is locked by another process") from fault

    def close(self) -> None:
        """Close this thread's connection; diskcache does so when it has made the tables."""
        connection = getattr(self._local, "con", None)
        if connection is not None:
            self._local.con = None
            connection.close()

    def close_all(self) -> None:
        """Close the connections of all threads; each is opened anew when it is needed."""
        for connection in list(self._connections):
            held = connection.busy.acquire(timeout=self.timeout_s)
            connection.close()
            if held:
                connection.busy.release()
        self._local = type(self._local)()
