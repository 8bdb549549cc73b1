"""The pools of psycopg_pool: as SQLAlchemy's are watched, with a thread or a task that waits."""

from __future__ import annotations

from functools import partial
from inspect import iscoroutinefunction
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import ref

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from apsperf_mw.db.cursors import Noting
from apsperf_mw.db.holding import Holding, observe
from apsperf_mw.db.preparing import Preparing
from apsperf_mw.db.psycopg import tune, tune_async
from apsperf_mw.db.seams import stand_in
from apsperf_mw.errors import SettingError
from apsperf_mw.observe.measures import CREATE_TIME, WAIT_TIME
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.observe.statements import Recorder, Statements
    from apsperf_mw.settings import DatabaseSettings

# psycopg_pool keeps so many connections open where nobody says how many.
USUAL = 4
_lock = Lock()


class Wait:
    """One who waits for a connection, and is told who has them where that is in vain."""

    __slots__ = ("_pool",)

    def __init__(self, pool: Holding) -> None:
        self._pool = pool

    def __enter__(self) -> None:
        self._pool.waiting[self] = None

    def __exit__(self, kind: object, fault: object, _: object) -> None:
        del self._pool.waiting[self]
        if isinstance(fault, PoolTimeout):
            self._pool.name_holders(fault)


class Pool(Holding):
    """One of them, which it does not keep alive."""

    def __init__(self, pool: Any, statements: Statements, recorder: Recorder | None) -> None:
        name = name_of(pool)
        super().__init__(name, statements)
        self.bound(pool.max_size)
        self._real = ref(pool)
        self._preparing = Preparing(name, statements)
        self._noting = None if recorder is None else Noting(recorder)
        waits = iscoroutinefunction(type(pool).getconn)
        get, put, connect = (
            (self._getconn_async, self._putconn_async, self._connect_async)
            if waits
            else (self._getconn, self._putconn, self._connect)
        )
        places = {"getconn": get, "putconn": put, "_connect": connect}
        self._undo = stand_in(
            pool,
            {
                name: partial(place, self._below(pool, name))
                for name, place in places.items()
                if hasattr(pool, name)
            },
        )

    @property
    def idle(self) -> int:
        """How many connections nobody has."""
        pool = self._real()
        return 0 if pool is None else int(pool.get_stats().get("pool_available", 0))

    def leave(self) -> None:
        """Watch no more, also where others stand in between and this one has to stay."""
        self.live = False
        self._preparing.live = False
        self._undo()

    def took(self, connection: Any) -> None:
        """A connection has been taken before anybody watched."""
        if id(connection) not in self.holders:
            self.hold(id(connection))

    def _below(self, pool: Any, name: str) -> Callable[..., Any]:
        """What stands there now; the pool's own method without the pool, which has threads."""
        other: Callable[..., Any] | None = vars(pool).get(name)
        if other is not None:
            return other
        method = getattr(type(pool), name)
        return lambda *given, **named: method(self._real(), *given, **named)

    def _getconn(self, get: Callable[..., Any], *given: Any, **named: Any) -> Any:
        if not self.live:
            return get(*given, **named)
        started = perf_counter()
        with Wait(self):
            connection = get(*given, **named)
        self._took(connection, started)
        return connection

    async def _getconn_async(self, get: Callable[..., Any], *given: Any, **named: Any) -> Any:
        if not self.live:
            return await get(*given, **named)
        started = perf_counter()
        with Wait(self):
            connection = await get(*given, **named)
        self._took(connection, started)
        return connection

    def _took(self, connection: Any, started: float) -> None:
        self._measure((WAIT_TIME, perf_counter() - started, self.told))
        pool = self._real()
        if pool is not None and pool.max_size != self.most:
            self.bound(pool.max_size)  # it can be resized
        self.hold(id(connection))

    def _putconn(self, put: Callable[..., Any], connection: Any) -> Any:
        self.let_go(id(connection))
        return put(connection)

    async def _putconn_async(self, put: Callable[..., Any], connection: Any) -> Any:
        self.let_go(id(connection))
        return await put(connection)

    def _connect(self, connect: Callable[..., Any], *given: Any, **named: Any) -> Any:
        started = perf_counter()
        made = connect(*given, **named)
        if self.live:
            self._measure((CREATE_TIME, perf_counter() - started, self.told))
            tune(made, self._preparing)
            self._note(made)
        return made

    async def _connect_async(self, connect: Callable[..., Any], *given: Any, **named: Any) -> Any:
        started = perf_counter()
        made = await connect(*given, **named)
        if self.live:
            self._measure((CREATE_TIME, perf_counter() - started, self.told))
            await tune_async(made, self._preparing)
            self._note(made)
        return made

    def _note(self, made: Any) -> None:
        if self._noting is not None:
            self._noting.note(made)


def watch(pool: Any, statements: Statements, recorder: Recorder | None) -> Pool:
    """Watch it from now on, or still. `SettingError` for what is none."""
    if not isinstance(pool, ConnectionPool | AsyncConnectionPool):
        raise SettingError(f"pool: {pool!r} given; accepted: a pool of psycopg_pool")
    with _lock:
        known: Any = statements.ends.get(pool)
        if known is not None:
            return known.__self__  # type: ignore[no-any-return]
        made = Pool(pool, statements, recorder)
        observe(statements, made)
        statements.ends[pool] = made.leave
        return made


def options_of(settings: DatabaseSettings, given: dict[str, Any]) -> dict[str, Any]:
    """What a pool is made with: as the settings say, but for what is given."""
    most = given.get("max_size") or max(settings.max_connections, given.get("min_size", 0))
    known = {
        "min_size": min(USUAL, most),
        "max_size": most,
        "timeout": settings.connection_timeout,
    }
    return {**known, **given}


def name_of(pool: Any) -> str:
    """Where its connections lead, with no user; by the name it was given where that is not told."""
    if callable(pool.conninfo) or callable(pool.kwargs):
        return str(pool.name)
    try:
        parts = conninfo_to_dict(pool.conninfo or "", **_places(pool.kwargs or {}))
    except ProgrammingError:
        return str(pool.name)
    port = f":{parts['port']}" if parts.get("port") else ""
    database = str(parts.get("dbname") or "").rpartition("/")[2]
    return f"{parts.get('host') or 'postgresql'}{port}/{database}"


def _places(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: kwargs[name] for name in ("host", "port", "dbname") if name in kwargs}
