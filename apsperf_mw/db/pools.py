"""SQLAlchemy's pools: how long a connection is waited for and held, and by whom."""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import ref

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from apsperf_mw.db.holding import Holding, observe
from apsperf_mw.db.seams import stand_in
from apsperf_mw.observe.measures import CREATE_TIME, WAIT_TIME

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL, Engine

    from apsperf_mw.observe.statements import Statements

    Undo = Callable[[], object]

# Where a record of a pool notes since when it is idle.
IDLE = "apsperf_idle_since"
# The pools that are being asked in this context.
inside: ContextVar[tuple[object, ...]] = ContextVar("apsperf_pools", default=())


class Pool(Holding):
    """One engine's pool."""

    def __init__(self, engine: Engine, statements: Statements) -> None:
        super().__init__(name_of(engine.url), statements)
        self.real: Any = None
        self.listeners: tuple[tuple[str, Any], ...] = (
            ("checkout", self.taken),
            ("checkin", self.given),
            ("detach", self.given),
        )
        self._ping_s = statements.settings.ping_idle_s
        self._dialect = engine.dialect

    @property
    def idle(self) -> int:
        """How many connections nobody has."""
        return self.real.checkedin() if isinstance(self.real, QueuePool) else 0

    def begin(self, real: Any) -> None:
        """Watch this pool from now on: the engine's first, or the one after it is disposed of."""
        self.real = real
        self.holders.clear()
        self.bound(most_of(real))
        places = {
            "_do_get": partial(self._timed_get, real._do_get),
            "_create_connection": partial(self._timed, CREATE_TIME, real._create_connection),
            # An engine that is disposed of gets its next pool so. Its own event would slow every
            # statement down: whoever listens to an engine has all its events sent.
            "recreate": partial(self._renewed, real.recreate),
        }
        self._undo = stand_in(real, places)

    def leave(self) -> None:
        """Watch no more, also where others stand in between and this one has to stay."""
        self.live = False
        self._undo()

    def _renewed(self, recreate: Callable[[], Any]) -> Any:
        made = recreate()
        if self.live:
            self.begin(made)
        return made

    def _timed(self, name: str, run: Callable[[], Any]) -> Any:
        if not self.live:
            return run()
        started = perf_counter()
        made = run()
        self._measure((name, perf_counter() - started, self.told))
        return made

    def _timed_get(self, get: Callable[[], Any]) -> Any:
        asked = inside.get()
        if not self.live or self in asked:  # the pool asks itself again
            return get()
        me, token = object(), inside.set((*asked, self))
        self.waiting[me] = None
        try:
            return self._timed(WAIT_TIME, get)
        except PoolTimeout as fault:
            self.name_holders(fault)
            raise
        finally:
            del self.waiting[me]
            inside.reset(token)

    def taken(self, connection: Any, record: Any, _: Any) -> None:
        """A connection has been taken. One that was idle for long is tried first.

        Where it is dead, the pool makes another.
        """
        idle_since = record.info.pop(IDLE, None)
        if idle_since is not None and perf_counter() - idle_since > self._ping_s:
            self._try(connection)
        self.hold(id(record))

    def _try(self, connection: Any) -> None:
        try:
            alive = self._dialect.do_ping(connection)
        except Exception:
            alive = False
        if not alive:
            raise DisconnectionError("it was idle, and is dead")

    def given(self, _: Any, record: Any) -> None:
        """A connection has been given back, or taken out of the pool for good."""
        record.info[IDLE] = perf_counter()
        self.let_go(id(record))


def most_of(pool: Any) -> int:
    """So many connections are allowed; 0 where there is no limit."""
    if not isinstance(pool, QueuePool):
        return 0
    over = pool._max_overflow
    return 0 if over < 0 else pool.size() + over


def name_of(url: URL) -> str:
    """The pool's name: where its connections lead, with no user and no directory."""
    port = f":{url.port}" if url.port else ""
    database = (url.database or "").rpartition("/")[2]
    return f"{url.host or url.get_backend_name()}{port}/{database}"


def watch(engine: Engine, statements: Statements) -> Undo:
    """Watch the engine's pool, and those that come after it."""
    pool = Pool(engine, statements)
    pool.begin(engine.pool)
    observe(statements, pool)
    for name, listener in pool.listeners:
        event.listen(engine, name, listener)
    # What the engine keeps alive must not keep the engine alive.
    return partial(_let_go, ref(engine), ref(pool))


def _let_go(engine: ref[Engine], pool: ref[Pool]) -> None:
    known, watched = engine(), pool()
    if known is None or watched is None:
        return
    watched.leave()
    for name, listener in watched.listeners:
        event.remove(known, name, listener)
