"""Connections to the file driver's database: nothing in it is trusted, and none waits."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from random import random
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from diskcache.core import METADATA

from apsperf_mw.drivers.file_disk import INLINE_BYTES, ForeignRow
from apsperf_mw.drivers.file_frame import boot
from apsperf_mw.runtime.threads import RLock

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

# No value of a row, and no row, may be longer; a key is part of its row.
MOST_ROW_BYTES = 1_048_576
# The last is what many get that open a log at once.
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
# What these tell of is no fault of the database's content.
_OUTSIDE = _BUSY | {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_INTERRUPT,
}
_PRAGMAS = {
    "sqlite_cache_size": 2048,
    "sqlite_mmap_size": 0,  # a page that is cut off under a map ends the process
    # Nothing outlives the machine's life, so nothing need be on the disk before that.
    "sqlite_synchronous": 0 if boot() else 1,
}
SETTINGS: dict[str, Any] = {
    **_PRAGMAS,
    "statistics": 0,
    "tag_index": 0,
    "eviction_policy": "least-recently-stored",
    "size_limit": 2**60,  # ours is kept by `Volume._cull`
    "cull_limit": 10,
    "sqlite_auto_vacuum": 2,  # when we say so
    "sqlite_journal_mode": "wal",
    "disk_min_file_size": INLINE_BYTES,
    "disk_pickle_protocol": 0,
}
OBJECTS = frozenset(
    {
        ("table", "Settings"),
        ("table", "Cache"),
        ("index", "sqlite_autoindex_Settings_1"),
        ("index", "Cache_key_raw"),
        ("index", "Cache_expire_time"),
        ("index", "Cache_store_time"),
        ("trigger", "Settings_count_insert"),
        ("trigger", "Settings_count_delete"),
        ("trigger", "Settings_size_insert"),
        ("trigger", "Settings_size_update"),
        ("trigger", "Settings_size_delete"),
    }
)


class Connection(sqlite3.Connection):
    """One thread's connection; whoever uses or closes it holds `busy`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.busy = RLock()
        self.gone: list[str | None] = []  # files whose rows this transaction deletes

    def __del__(self) -> None:
        self.close()


def connect(path: str, *, creates: bool) -> Connection:
    """A connection that waits for nobody and runs nothing that a schema asks for.

    Even its pragmas read the database: busy where a process that closes it is clearing its log.
    """
    if creates:
        with suppress(FileExistsError):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(path, flags, 0o600))
    connection = sqlite3.connect(
        Path(path).as_uri() + "?mode=rw",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )
    connection.text_factory = _text
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_ROW_BYTES)
    for pragma in ("trusted_schema = 0", "cell_size_check = 1", "journal_size_limit = 1048576"):
        connection.execute(f"PRAGMA {pragma}")
    for name, value in _PRAGMAS.items():
        connection.execute(f"PRAGMA {name.removeprefix('sqlite_')} = {value}")
    return connection


def _text(told: bytes) -> str:
    """A text of the database: whatever it is, it raises nothing."""
    return told.decode("utf-8", "replace")


def is_busy(fault: Exception) -> bool:
    """Whether somebody is in the way who will go."""
    return getattr(fault, "sqlite_errorcode", 0) & 0xFF in _BUSY


def patiently(timeout_s: float, call: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Call until nobody is in the way, or raise that somebody still is."""
    deadline = monotonic() + timeout_s
    while True:
        try:
            return call(*args, **more)
        except sqlite3.OperationalError as fault:
            if not is_busy(fault) or monotonic() >= deadline:
                raise
        sleep(0.0005 + random() * 0.002)  # noqa: S311


def is_damage(fault: Exception) -> bool:
    """Whether the fault is one of what the database holds."""
    if isinstance(fault, UnicodeDecodeError | ForeignRow):
        return True  # a text of the schema, or a count
    code = getattr(fault, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_IOERR_SHORT_READ:  # the file was cut off
        return True
    return code is not None and code & 0xFF not in _OUTSIDE


def is_ours(path: str) -> bool:
    """Whether a database is one that this driver made since the machine was started.

    diskcache takes settings from the database it opens: none may be there but what we would set.
    """
    connection = connect(path, creates=False)
    try:
        if connection.execute("PRAGMA user_version").fetchone() != (boot(),):
            return False
        objects = connection.execute("SELECT type, name FROM sqlite_master").fetchall()
        if frozenset(objects) != OBJECTS:
            return False
        told = dict(connection.execute("SELECT key, value FROM Settings").fetchall())
        sizes = [told.pop(name, None) for name in METADATA]
        return told == SETTINGS and all(type(size) is int for size in sizes)
    finally:
        connection.close()
