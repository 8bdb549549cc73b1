"""Databases of wrapped connections: each is asked on a connection that nobody else has."""

from __future__ import annotations

from contextlib import closing
from os import fsdecode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apsperf_mw.db.asking import asking_apart
from apsperf_mw.db.facts import OPAQUE
from apsperf_mw.db.texts import Texts, can_parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.db.facts import Facts
    from apsperf_mw.db.kinds import Kind
    from apsperf_mw.db.notifying import Notifier
    from apsperf_mw.db.tables import Tables

PLACE = "the look at a database's schema"
TOLD = "the word to other processes of a commit"
CONNECT_S = 5
FILE_S = 0.1
MOST_SIGHTS = 256


class Sight:
    """Of one database, for all of its wrapped connections; `reach` opens a connection to it."""

    def __init__(
        self,
        system: str,
        tables: Tables,
        reach: Callable[[], Any],
        notifier: Notifier | None = None,
    ) -> None:
        self.reach = reach
        self._texts = Texts(system, tables.tags, rows=tables.rows)
        self._note = tables.note
        self.notifier = notifier
        self._usual: str | None = None
        self._briefly = system != "sqlite"
        # Whether its statements can be read.
        self.reads = system == "sqlite" or can_parse()
        self.known = self._texts.known
        self.forget = self._texts.forget

    def heed(self) -> None:
        """Forget what is known where tables were altered; hear of it."""
        self._texts.heed()
        if self.notifier is not None:
            self.notifier.here()

    def learn(self, text: str, tick: int) -> Facts:
        """The facts of a text; everything is possible where they cannot be told."""
        try:
            with asking_apart(self.reach, briefly=self._briefly) as ask:
                return self._texts.learn(text, ask, tick)
        except Exception as fault:
            self._note(PLACE, fault)
            return OPAQUE

    def usual(self) -> str:
        """The isolation level of a transaction that sets none; empty where it cannot be told."""
        if self._usual is None:
            try:
                with asking_apart(self.reach, briefly=self._briefly) as ask:
                    ((found,),) = ask("SHOW default_transaction_isolation")
            except Exception as fault:
                self._note(PLACE, fault)
                return ""
            self._usual = str(found).upper()
        return self._usual

    def tell(self, tags: Iterable[str]) -> None:
        """Tell the other processes of what is committed, where PostgreSQL is to do it."""
        if self.notifier is None:
            return
        try:
            with closing(self.reach()) as connection:
                self.notifier.tell(connection, tags)
                connection.commit()
        except Exception as fault:
            self._note(TOLD, fault)


class Sights:
    """Of the databases of one suite."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._known: dict[tuple[Any, ...], Sight] = {}

    def of(self, real: Any, kind: Kind, system: str) -> tuple[Sight | None, bool]:
        """Where a connection leads, None where that is not known.

        And whether it has nothing that other connections to the database do not have.
        """
        try:
            if kind.lite and system == "sqlite":
                return self._file(real)
            if kind.waits and system == "postgresql":
                return self._server(real), True
        except Exception as fault:
            self._tables.note(PLACE, fault)
            return None, False
        return None, True

    def _file(self, real: Any) -> tuple[Sight | None, bool]:
        import sqlite3

        # It reads no file and begins no transaction: the list is in memory.
        found = sqlite3.Cursor(real).execute("PRAGMA database_list").fetchall()
        path = fsdecode(found[0][2] or "")
        if not path:
            return None, len(found) == 1

        def reach() -> Any:
            address = f"{Path(path).as_uri()}?mode=ro"
            return sqlite3.connect(address, timeout=FILE_S, uri=True)

        return self._sight(("sqlite", path), "sqlite", reach, None), len(found) == 1

    def _server(self, real: Any) -> Sight:
        import psycopg
        from psycopg.conninfo import make_conninfo

        info = real.info
        key = ("postgresql", info.host, info.port, info.dbname, info.user, info.options)
        if (found := self._known.get(key)) is not None:
            return found
        more = {"password": info.password} if info.password else {}
        conninfo = make_conninfo("", **info.get_parameters(), **more)

        def reach() -> Any:
            return psycopg.connect(conninfo, connect_timeout=CONNECT_S)

        return self._sight(key, "postgresql", reach, conninfo)

    def _sight(
        self, key: tuple[Any, ...], system: str, reach: Callable[[], Any], conninfo: str | None
    ) -> Sight:
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MOST_SIGHTS:
                self._known.clear()
            notifier = None if conninfo is None else self._tables.notifier(conninfo)
            found = self._known[key] = Sight(system, self._tables, reach, notifier)
        return found
