"""SQLAlchemy's pools: how long a connection is waited for and held, and by whom.

A time-out names the holders. Where each took its connection is looked up only once most of the pool
is taken: until then nobody will ask.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import ref

from msgspec import Struct
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from apsperf_mw.cache.policy import current
from apsperf_mw.db.seams import stand_in
from apsperf_mw.observe.measures import CREATE_TIME, USE_TIME, WAIT_TIME
from apsperf_mw.observe.sites import site_of
from apsperf_mw.runtime.threads import current_thread_id, thread_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.engine import URL, Engine

    from apsperf_mw.cache.policy import Plan
    from apsperf_mw.observe.points import Kind
    from apsperf_mw.observe.series import Attributes
    from apsperf_mw.observe.statements import Statements

    Undo = Callable[[], object]

# From this share of the pool on it is looked up where connections are taken.
CROWDED = 0.8
MOST_TOLD = 100
# Where a record of a pool notes since when it is idle.
IDLE = "apsperf_idle_since"
METRICS: tuple[tuple[str, str, str, Kind], ...] = (
    ("db.client.connection.count", "{connection}", "Connections by state.", "updown"),
    ("db.client.connection.max", "{connection}", "Connections that are allowed.", "updown"),
    ("db.client.connection.pending_requests", "{request}", "Who waits for one.", "updown"),
    ("db.client.connection.timeouts", "{timeout}", "Waits that were in vain.", "counter"),
)


# The pools that are being asked in this context.
inside: ContextVar[tuple[object, ...]] = ContextVar("apsperf_pools", default=())


class Holder(Struct, eq=False):
    """Who has a connection; `site` is unset where the pool was far from empty."""

    plan: Plan | None
    thread: int
    since: float
    site: str

    def told(self, now: float, threads: dict[int, str]) -> str:
        """As a line of a message; its statement without values."""
        plan = self.plan
        who = (
            plan.route if plan is not None else ""
        ) or f"thread {threads.get(self.thread, self.thread)}"
        where = f", taken at {self.site}" if self.site else ""
        last = plan.costs.last if plan is not None and plan.costs is not None else ""
        return f"{who} for {now - self.since:.1f} s{where}{f', last: {last}' if last else ''}"


class Pool:
    """One engine's pool, watched."""

    def __init__(self, engine: Engine, statements: Statements) -> None:
        self.told: tuple[tuple[str, str | int | bool], ...] = (
            ("db.client.connection.pool.name", name_of(engine.url)),
        )
        self.holders: dict[int, Holder] = {}
        self.waiting: dict[object, None] = {}
        self.timeouts = 0
        self.most = self.crowded = 0
        self.real: Any = None
        self.live = True
        self.listeners: tuple[tuple[str, Any], ...] = (
            ("checkout", self.taken),
            ("checkin", self.given),
            ("detach", self.given),
        )
        self._measure = statements.exporter.ledger.measure
        self._channels = statements.channels
        self._ping_s = statements.settings.ping_idle_s
        self._leak_s = statements.settings.leak_s or inf
        self._dialect = engine.dialect

    def begin(self, real: Any) -> None:
        """Watch this pool from now on: the engine's first, or the one after it is disposed of."""
        self.real = real
        self.holders.clear()
        self.most = most_of(real)
        self.crowded = int(self.most * CROWDED) or MOST_TOLD
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
            self.timeouts += 1
            holders = self.list_holders()
            self._channels.pool_timeout(str(self.told[0][1]), holders)
            fault.args = ("\n  ".join([f"{fault.args[0]}; held by:", *holders]),)
            raise
        finally:
            del self.waiting[me]
            inside.reset(token)

    def list_holders(self) -> list[str]:
        """Who has connections now, the longest first."""
        now = perf_counter()
        known = sorted(self.holders.copy().values(), key=lambda each: each.since)
        more = len(known) - MOST_TOLD
        threads = thread_names()
        lines = [each.told(now, threads) for each in known[:MOST_TOLD]]
        return [*lines, f"and {more} more"] if more > 0 else lines

    def taken(self, connection: Any, record: Any, _: Any) -> None:
        """A connection has been taken. One that was idle for long is tried first.

        Where it is dead, the pool makes another.
        """
        idle_since = record.info.pop(IDLE, None)
        if idle_since is not None and perf_counter() - idle_since > self._ping_s:
            self._try(connection)
        site = site_of() if len(self.holders) >= self.crowded else ""
        plan, since = current.get(), perf_counter()
        self.holders[id(record)] = Holder(plan, current_thread_id(), since, site)
        oldest = next(iter(self.holders.values()), None)
        if oldest is not None and since - oldest.since > self._leak_s:
            told = oldest.told(since, thread_names())
            self._channels.held(str(self.told[0][1]), told)

    def _try(self, connection: Any) -> None:
        try:
            alive = self._dialect.do_ping(connection)
        except Exception:
            alive = False
        if not alive:
            raise DisconnectionError("it was idle, and is dead")

    def given(self, _: Any, record: Any) -> None:
        """A connection has been given back, or taken out of the pool for good."""
        holder = self.holders.pop(id(record), None)
        record.info[IDLE] = perf_counter()
        if holder is not None:
            self._measure((USE_TIME, perf_counter() - holder.since, self.told))


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
    observe(statements)
    statements.pools.add(pool)
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


def observe(statements: Statements) -> None:
    """Have the exporter ask for the state of all pools, once."""
    if not statements.pools_told:
        statements.pools_told = True
        for (name, unit, what, kind), look in zip(METRICS, LOOKS, strict=True):
            statements.exporter.observe(name, unit, what, kind, partial(look, statements.pools))


def counts(pools: Iterable[Pool]) -> list[tuple[float, Attributes]]:
    """Connections that are used and idle."""
    seen: list[tuple[float, Attributes]] = []
    for pool in list(pools):
        idle = pool.real.checkedin() if isinstance(pool.real, QueuePool) else 0
        for state, value in (("used", len(pool.holders)), ("idle", idle)):
            seen.append((value, {**dict(pool.told), "db.client.connection.state": state}))
    return seen


def most(pools: Iterable[Pool]) -> list[tuple[float, Attributes]]:
    """Connections that are allowed, where there is a limit."""
    return [(pool.most, dict(pool.told)) for pool in list(pools) if pool.most]


def pending(pools: Iterable[Pool]) -> list[tuple[float, Attributes]]:
    """Who waits."""
    return [(len(pool.waiting), dict(pool.told)) for pool in list(pools)]


def timeouts(pools: Iterable[Pool]) -> list[tuple[float, Attributes]]:
    """Waits in vain so far."""
    return [(pool.timeouts, dict(pool.told)) for pool in list(pools)]


LOOKS = (counts, most, pending, timeouts)
