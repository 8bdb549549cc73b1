"""Connections that nobody else has, to ask a database something beside the app's own work."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import ref

from apsperf_mw.errors import AdviceError
from apsperf_mw.runtime.loop import in_own_loop

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

T = TypeVar("T")


class Door(Protocol):
    """Of one database; `system` is its mapper's name for its kind."""

    system: str

    @property
    def lives(self) -> bool:
        """Whether the database can be reached still."""
        ...

    def leads_to(self, engine: object) -> bool:
        """Whether it is the door of what was attached."""
        ...

    def through(self, work: Callable[[Any], T]) -> T:
        """What the work gives for a DB-API connection, which is closed after it; blocks."""
        ...

    def copied(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What it gives for a connection to SQLite from which all rows can be copied."""
        ...

    def plain(self, text: str) -> str:
        """A statement as the driver takes it."""
        ...

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Give a copy what the app's connections have, such as functions."""


class EngineDoor:
    """Of a SQLAlchemy engine, plain or async, which it does not keep alive."""

    def __init__(self, engine: Engine) -> None:
        self.system = engine.dialect.name
        self._engine = ref(engine)

    @property
    def lives(self) -> bool:
        """Whether the engine is there still."""
        return self._engine() is not None

    def leads_to(self, engine: object) -> bool:
        """Whether it is this engine, or has it within."""
        return getattr(engine, "sync_engine", engine) is self._engine()

    def through(self, work: Callable[[Any], T]) -> T:
        """As `Door` says. An async driver runs in a loop of its own meanwhile."""
        engine = self._living()
        if not engine.dialect.is_async:
            return apart(engine, work)
        from sqlalchemy.util import greenlet_spawn

        given: T = in_own_loop(lambda: greenlet_spawn(apart, engine, work))
        return given

    def copied(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `Door` says; `AdviceError` for a database in memory that is not reached from here."""
        import sqlite3

        engine = self._living()
        name = engine.url.database or ":memory:"
        if name != ":memory:" and not name.startswith("file:"):
            connection = sqlite3.connect(name, check_same_thread=False)
            try:
                return work(connection)
            finally:
                connection.close()
        if engine.dialect.is_async:
            raise AdviceError("a database in memory, by an async driver, cannot be copied")
        with engine.connect() as opened:
            held: Any = opened.connection.dbapi_connection
            return work(held)

    def plain(self, text: str) -> str:
        """It is so already."""
        return text

    def prepare(self, connection: sqlite3.Connection) -> None:
        """It has nothing of its own."""

    def _living(self) -> Engine:
        engine = self._engine()
        if engine is None:
            raise AdviceError("the engine is gone")
        return engine


def apart(engine: Engine, work: Callable[[Any], T]) -> T:
    """What the work gives for a connection of the engine's that nobody else has."""
    with closing(opened(engine)) as connection:
        return work(connection)


def opened(engine: Engine) -> Any:
    """A connection of the engine's that nobody else has; whoever asked for it closes it."""
    return engine.pool._invoke_creator(None)  # type: ignore[arg-type]
