"""PostgreSQL itself tells the other processes of a commit: by a NOTIFY of the same transaction.

It is sent if and only if the transaction is committed, whatever becomes of the process then.
"""

from __future__ import annotations

from os import getpid
from time import sleep
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from apsperf_mw.db.facts import ANY
from apsperf_mw.errors import SettingError
from apsperf_mw.runtime.threads import start_daemon

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.db.tables import Tables

CHANNEL = "apsperf_tables"
# PostgreSQL takes less than 8,000 bytes.
MOST_BYTES = 7_500
PLACE = "the ear for commits of other processes"
TELLS = "the word to other processes of a statement that failed"
# Between two looks at whether it is to end, and two tries to connect.
LOOK_S, AGAIN_S = 0.5, 1.0
_own = uuid4().hex


class Notifier:
    """Of one database, at this address. `SettingError` without psycopg."""

    def __init__(self, tables: Tables, conninfo: str) -> None:
        try:
            import psycopg
        except ImportError:
            needs = "pip install 'psycopg[binary]'"
            raise SettingError(f"database.notify: true needs psycopg: {needs}") from None
        self._connect = psycopg.connect
        self._fault = psycopg.Error
        self._tables = tables
        self._conninfo = conninfo
        self._pid = 0
        self._listens = False
        self._closed = False

    def here(self) -> None:
        """Listen in this process, which a fork may have made."""
        if self._pid != getpid() and not self._closed:
            self._pid, self._listens = getpid(), False
            start_daemon(self._listen, "apsperf-commits")

    def hears(self) -> bool:
        """Whether what other processes commit from now on is heard of here."""
        self.here()
        return self._listens and not self._closed

    def close(self) -> None:
        """Listen no more."""
        self._closed = True

    def tell(self, connection: Any, tags: Iterable[str]) -> None:
        """Have the connection's transaction tell of these tags when it is committed.

        What fails here fails the transaction, and is the caller's to hear of.
        """
        cursor = connection.cursor()
        try:
            cursor.execute(f"SELECT pg_notify('{CHANNEL}', '{payload(tags)}')")
            cursor.fetchall()
        finally:
            cursor.close()

    def tell_though(self, connection: Any, tags: Iterable[str]) -> None:
        """As `tell`, of a statement that has failed: its own fault is what the caller hears of."""
        try:
            self.tell(connection, tags)
        except Exception as fault:
            self._tables.note(TELLS, fault)

    def _listen(self) -> None:
        pid = getpid()
        while not self._closed and pid == self._pid:
            try:
                self._hear()
            except self._fault as fault:
                self._listens = False
                self._tables.heard((ANY,))
                self._tables.note(PLACE, fault)
                sleep(AGAIN_S)

    def _hear(self) -> None:
        with self._connect(self._conninfo, autocommit=True) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            # What was committed before is not told any more.
            self._tables.heard((ANY,))
            self._listens = True
            while not self._closed:
                for note in connection.notifies(timeout=LOOK_S):
                    whose, *tags = note.payload.split(" ")
                    if whose != own():
                        self._tables.heard(tags)


def own() -> str:
    """A name for this process."""
    return f"{_own}.{getpid()}"


def payload(tags: Iterable[str]) -> str:
    """What is told, as a text within quotes; of too many tags, that of all."""
    named = [tag.replace("'", "''") for tag in sorted(tags)]
    text = " ".join([own(), *named])
    plain = not any(" " in tag or "\\" in tag for tag in named)
    return text if plain and len(text.encode()) <= MOST_BYTES else f"{own()} {ANY}"
