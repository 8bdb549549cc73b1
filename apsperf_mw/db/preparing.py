"""Which statements PostgreSQL is to prepare: after how many executions, how many, and where none.

A pooler such as pgbouncer may give each transaction another server, which knows nothing of what the
last one has prepared. It tells its clients of a process of its own: whoever asks the server for its
number hears of another.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

    from apsperf_mw.observe.statements import Statements

    Undo = Callable[[], object]

# One row where the connection leads to the server itself. Sent without values, so that no driver
# prepares it.
ASK = "SELECT 1 WHERE pg_backend_pid() = {pid:d}"
# No process has a higher number on Linux; poolers make theirs up, of 32 bits.
MOST_PID = 4_194_304


class Preparing:
    """What the connections of one database prepare; it is asked for a pooler once.

    And once more where a later connection is told of a process that there cannot be.
    """

    def __init__(self, name: str, statements: Statements) -> None:
        self.after = statements.settings.prepare_after
        self.most = statements.settings.prepared_statements
        self.counts = statements.prepared
        self.pooled: bool | None = None
        self.live = True
        self._name = name
        self._how = statements.settings.prepare
        self._channels = statements.channels

    @property
    def allowed(self) -> bool:
        """Whether statements may be prepared, as far as it is known."""
        return self._how == "always" or (self._how == "auto" and self.pooled is False)

    @property
    def likely(self) -> bool:
        """Whether they may be, where nothing is known yet."""
        return self.allowed or (self._how == "auto" and self.pooled is None)

    def asks(self, pid: int) -> bool:
        """Whether it has to be found out, of a connection that was told of this process."""
        if self._how != "auto" or self.pooled:
            return False
        return self.pooled is None or not 0 < pid <= MOST_PID

    def hear(self, rows: int) -> None:
        """So many rows have come."""
        pooled = rows != 1
        if pooled and not self.pooled:
            self._channels.pooler(self._name)
        self.pooled = pooled


def prepare(engine: Engine, name: str, statements: Statements) -> Undo:
    """Have the engine's new connections prepare as the settings say."""
    driver = engine.dialect.driver
    if engine.dialect.name != "postgresql":
        return nothing
    if driver in {"psycopg", "psycopg_async"}:
        from apsperf_mw.db.psycopg import follow_engine

        return follow_engine(engine, Preparing(name, statements))
    if driver == "asyncpg":
        from apsperf_mw.db.asyncpg import follow_dialect

        return follow_dialect(engine.dialect, Preparing(name, statements))
    return nothing


def nothing() -> None:
    """There is nothing to undo."""


def ending(preparing: Preparing, undo: Callable[[], object]) -> Undo:
    """Leave new connections as they are, and undo this."""
    return partial(_end, preparing, undo)


def _end(preparing: Any, undo: Callable[[], object]) -> None:
    preparing.live = False
    undo()
