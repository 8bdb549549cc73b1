"""What a suite knows of an app's databases."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeVar

from apsperf_mw.db.connections import Connection
from apsperf_mw.db.lazy import no_lazy
from apsperf_mw.db.preparing import nothing
from apsperf_mw.db.stats import stats
from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from psycopg_pool import AsyncConnectionPool, ConnectionPool
    from sqlalchemy.engine import Connection as Connection_
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.orm import Session

    from apsperf_mw.advice.advising import Advice
    from apsperf_mw.db.batches import Batch
    from apsperf_mw.db.doors import Door
    from apsperf_mw.db.explaining import Explainer
    from apsperf_mw.db.kept import Kept
    from apsperf_mw.db.lazy_rows import LazyRows
    from apsperf_mw.db.stats import Stats
    from apsperf_mw.db.tables import Tables
    from apsperf_mw.faults import Faults
    from apsperf_mw.observe.statements import Statements
    from apsperf_mw.runtime.background import Background

EngineT = TypeVar("EngineT")
PoolT = TypeVar("PoolT")


class Database:
    """Notes the statements of engines and connections; `suite.database()` gives it."""

    def __init__(
        self,
        statements: Statements,
        tables: Tables | None = None,
        background: Background | None = None,
        faults: Faults | None = None,
    ) -> None:
        self._statements = statements
        self._tables = tables
        self._background = background
        self._faults = faults

    def attach(self, engine: EngineT) -> EngineT:
        """Note what a SQLAlchemy engine, plain or async, sends from now on; gives the engine.

        Once a transaction of it commits, what was made of the tables that it wrote is void.
        Attached already, it stays so. `SettingError` for what is no engine.
        """
        from apsperf_mw.db.sqlalchemy import attach

        attach(engine, self._statements, self._tables, self._explain())
        return engine

    def _explain(self) -> Callable[[Door], Explainer] | None:
        """What tells the plans of a database's slow statements."""
        background, faults = self._background, self._faults
        if background is None or faults is None:
            return None
        from apsperf_mw.db.explaining import Explainer

        return lambda door: Explainer(door, self._statements.channels, background, faults)

    def create_engine(self, url: Any, **options: Any) -> Engine:
        """A SQLAlchemy engine that is attached, whose pool is as the settings say.

        `database.max_connections` at most, `database.connection_timeout` seconds of waiting for
        one; `options` are SQLAlchemy's, and win.
        """
        from sqlalchemy import create_engine

        from apsperf_mw.db.sqlalchemy import pool_options

        made = create_engine(url, **{**pool_options(url, self._statements.settings), **options})
        return self.attach(made)

    def create_async_engine(self, url: Any, **options: Any) -> AsyncEngine:
        """As `create_engine`, for an async driver."""
        from sqlalchemy.ext.asyncio import create_async_engine

        from apsperf_mw.db.sqlalchemy import pool_options

        known = pool_options(url, self._statements.settings)
        return self.attach(create_async_engine(url, **{**known, **options}))

    def detach(self, engine: object) -> None:
        """Note no more of an engine or pool; one that is not attached is left alone."""
        if callable(getattr(engine, "putconn", None)):
            self._statements.ends.pop(engine, nothing)()
            return
        from apsperf_mw.db.sqlalchemy import detach

        detach(engine, self._statements)

    def create_pool(self, conninfo: str = "", **options: Any) -> ConnectionPool:
        """A pool of psycopg_pool that is watched and open, as the settings say.

        `database.max_connections` at most, `database.connection_timeout` seconds of waiting for
        one; `options` are psycopg_pool's, and win. `open=False`: it is opened by the app.
        """
        from psycopg_pool import ConnectionPool

        from apsperf_mw.db.psycopg_pools import options_of

        options = options_of(self._statements.settings, options)
        opens = options.pop("open", True)
        made = self.watch_pool(ConnectionPool(conninfo, open=False, **options))
        if opens:
            made.open()
        return made

    def create_async_pool(self, conninfo: str = "", **options: Any) -> AsyncConnectionPool:
        """As `create_pool`, for tasks; `async with pool` or `await pool.open()` opens it."""
        from psycopg_pool import AsyncConnectionPool

        from apsperf_mw.db.psycopg_pools import options_of

        options = options_of(self._statements.settings, options)
        return self.watch_pool(AsyncConnectionPool(conninfo, **{**options, "open": False}))

    def watch_pool(self, pool: PoolT, *, statements: bool = True) -> PoolT:
        """Watch a pool of psycopg_pool from now on, and note its statements; gives the pool.

        Connections that are open already are watched, but their statements are not noted. False
        where an engine that is attached takes them: it notes its own. Watched already, it stays
        so. `SettingError` for what is none.
        """
        from apsperf_mw.db.psycopg_pools import watch

        watch(pool, self._statements, self._statements.of("postgresql") if statements else None)
        return pool

    def wrap(self, connection: Any, system: str = "") -> Any:
        """A DB-API connection (PEP 249) whose statements are noted, with all else of the other.

        Once a transaction of it commits, what was made of the tables that it wrote is void; all
        is where that cannot be told. `read` keeps rows of it. Wrap it before it is used, and use
        it by what this gives. `system` is the database's name in the semantic conventions, such as
        `postgresql`; unset, it is told by the connection's module. `SettingError` for what is
        none, or is awaited.
        """
        waits = iscoroutinefunction(getattr(connection, "commit", None))
        if waits or not callable(getattr(connection, "cursor", None)):
            raise SettingError(f"connection: {connection!r} given; accepted: a DB-API connection")
        known = system or system_of(connection)
        recorder = self._statements.of(known)
        if self._tables is None:
            return Connection(connection, recorder)
        from apsperf_mw.db.followed import Connection as Followed
        from apsperf_mw.db.wrapped import following_of

        following = following_of(self._tables)
        return Followed(connection, recorder, following, following.link(connection, known))

    def read(
        self, connection: Any, statement: Any, parameters: Any = None, *, cache: Any = True
    ) -> list[Any]:
        """A statement's rows, by a connection that `wrap` gave; they are kept if they can be.

        Never older than the last commit of a table that they were read of. `cache` is a class,
        seconds, True for `database.query_ttl`, or False. Rows are as the connection's row factory
        makes them; tuples, `sqlite3.Row` and dictionaries are kept, and what a transaction reads
        of what it wrote itself is not. Connections to one database are taken to be set up alike.
        `SettingError` for a connection that is not wrapped, or another `cache`.
        """
        from apsperf_mw.db.followed import Connection as Followed
        from apsperf_mw.db.kept import sent

        if isinstance(connection, Followed):
            kept: Kept = connection._following.kept
            return kept.read(connection, statement, parameters, cache)
        if isinstance(connection, Connection):
            return sent(connection, statement, parameters)[0]
        raise SettingError(f"connection: {connection!r} given; accepted: one that wrap() gave")

    def batch(
        self,
        target: Connection_ | Session,
        *,
        chunk: int = 5000,
        progress: Callable[[int], object] | None = None,
    ) -> Batch:
        """Write many rows of a SQLAlchemy connection or session by the fastest way there is.

        A context manager with `add(object)`, `insert`, `upsert` and `update` of a table's rows;
        `chunk` rows of a kind go at once, after which `progress` hears how many were written.
        `BatchError` names the row that cannot be. Within `run_sync` for an async one.
        """
        from apsperf_mw.db.batches import Batch

        return Batch(target, chunk, progress)

    def stream(
        self, target: Connection_ | Session, statement: Any, *, chunk: int = 1000
    ) -> Iterator[Any]:
        """The rows of a query, of which so many are in this process at once.

        PostgreSQL keeps a cursor for them: read them within the transaction. They are not kept.
        """
        if type(chunk) is not int or chunk < 1:
            raise SettingError(f"chunk: {chunk!r} given; accepted: a whole number above 0")
        options = {"yield_per": chunk, "apsperf_cache": False}
        return iter(target.execute(statement, execution_options=options))

    def lazy(
        self,
        target: Any,
        statement: Any,
        values: Any = None,
        *,
        scalars: bool = False,
        unique: bool = False,
    ) -> LazyRows:
        """The rows of a query that is sent, once, when somebody looks at them; else it is not.

        `target` is a SQLAlchemy session or connection, plain or async; of an async one the rows
        are awaited. Rows are those of `execute`, with `scalars` their first column alone, with
        `unique` each once. An error says the line that has made them. A session that was closed
        meanwhile begins anew, as SQLAlchemy has it: look at them while yours is open.
        """
        from apsperf_mw.db.lazy_rows import LazyRows

        return LazyRows(target, statement, values, scalars=scalars, unique=unique)

    def no_lazy(self) -> AbstractContextManager[None]:
        """Have `LazyLoad` raised inside for whatever is loaded when an attribute is asked for.

        Of engines that are attached, and of Django's connections; in this task or thread.
        """
        return no_lazy()

    def advise(
        self, engine: object = None, *, budget_s: float = 30.0, max_indexes: int = 10
    ) -> Advice:
        """Which indexes the statements noted so far want, each tried on the database's planner.

        PostgreSQL needs its extension HypoPG, SQLite is copied; nothing is made. `engine` says
        which where several are attached, itself or by its name: host:port/database, or Django's
        alias. Blocks for so many seconds at most. `AdviceError` where no advice can be given,
        `SettingError` for an engine that is not attached.
        """
        from apsperf_mw.advice.sources import advise_through, workload_of
        from apsperf_mw.db.sources import find

        source = find(self._statements, engine)
        queries = workload_of(source.recorder, source.door)
        return advise_through(source.door, queries, budget_s=budget_s, max_indexes=max_indexes)

    def stats(self) -> Stats:
        """Each statement's calls, times and errors in this process, the costliest first."""
        tables = self._tables
        return stats(self._statements, None if tables is None else tables.results)


# What the modules of drivers speak to.
MODULES = {
    "sqlite3": "sqlite",
    "psycopg": "postgresql",
    "psycopg2": "postgresql",
    "pymysql": "mysql",
    "MySQLdb": "mysql",
    "mysql": "mysql",
    "oracledb": "oracle.db",
    "pyodbc": "microsoft.sql_server",
}


def system_of(connection: object) -> str:
    """The database that a driver's connection leads to."""
    for kind in type(connection).__mro__:
        if found := MODULES.get(kind.__module__.partition(".")[0]):
            return found
    return "other_sql"
