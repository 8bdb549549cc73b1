"""Who holds a pool's connections: since when, taken where, and what of it is told and measured.

Where each was taken is looked up only once most of the pool is taken: until then nobody will ask.
"""

from __future__ import annotations

from functools import partial
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.cache.policy import current
from apsperf_mw.observe.measures import USE_TIME
from apsperf_mw.observe.sites import site_of
from apsperf_mw.runtime.threads import current_thread_id, thread_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.cache.policy import Plan
    from apsperf_mw.observe.points import Kind
    from apsperf_mw.observe.series import Attributes
    from apsperf_mw.observe.statements import Statements

    Undo = Callable[[], object]

# From this share of the pool on it is looked up where connections are taken.
CROWDED = 0.8
MOST_TOLD = 100
METRICS: tuple[tuple[str, str, str, Kind], ...] = (
    ("db.client.connection.count", "{connection}", "Connections by state.", "updown"),
    ("db.client.connection.max", "{connection}", "Connections that are allowed.", "updown"),
    ("db.client.connection.pending_requests", "{request}", "Who waits for one.", "updown"),
    ("db.client.connection.timeouts", "{timeout}", "Waits that were in vain.", "counter"),
)


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


class Holding:
    """One pool, watched."""

    def __init__(self, name: str, statements: Statements) -> None:
        self.told: tuple[tuple[str, str | int | bool], ...] = (
            ("db.client.connection.pool.name", name),
        )
        self.holders: dict[int, Holder] = {}
        self.waiting: dict[object, None] = {}
        self.timeouts = 0
        self.most = self.crowded = 0
        self.live = True
        self._measure = statements.exporter.ledger.measure
        self._channels = statements.channels
        self._leak_s = statements.settings.leak_s or inf

    @property
    def idle(self) -> int:
        """How many connections nobody has."""
        raise NotImplementedError

    def bound(self, most: int) -> None:
        """So many connections are allowed; 0 where there is no limit."""
        self.most = most
        self.crowded = int(most * CROWDED) or MOST_TOLD

    def hold(self, number: int) -> None:
        """A connection has been taken, in this context."""
        site = site_of() if len(self.holders) >= self.crowded else ""
        plan, since = current.get(), perf_counter()
        self.holders[number] = Holder(plan, current_thread_id(), since, site)
        try:
            oldest = next(iter(self.holders.values()), None)
        except RuntimeError:  # another thread has taken or given back one just now
            return
        if oldest is not None and since - oldest.since > self._leak_s:
            told = oldest.told(since, thread_names())
            self._channels.held(str(self.told[0][1]), told)

    def let_go(self, number: int) -> None:
        """It has been given back, or taken out of the pool for good."""
        holder = self.holders.pop(number, None)
        if holder is not None:
            self._measure((USE_TIME, perf_counter() - holder.since, self.told))

    def name_holders(self, fault: Exception) -> None:
        """Somebody has waited in vain: have the exception and the log say for whom."""
        self.timeouts += 1
        holders = self.list_holders()
        self._channels.pool_timeout(str(self.told[0][1]), holders)
        fault.args = ("\n  ".join([f"{fault.args[0]}; held by:", *holders]),)

    def list_holders(self) -> list[str]:
        """Who has connections now, the longest first."""
        now = perf_counter()
        known = sorted(self.holders.copy().values(), key=lambda each: each.since)
        more = len(known) - MOST_TOLD
        threads = thread_names()
        lines = [each.told(now, threads) for each in known[:MOST_TOLD]]
        return [*lines, f"and {more} more"] if more > 0 else lines


def observe(statements: Statements, pool: Holding) -> None:
    """Have the exporter ask for the pool's state, with that of all others."""
    statements.pools.add(pool)
    if not statements.pools_told:
        statements.pools_told = True
        for (name, unit, what, kind), look in zip(METRICS, LOOKS, strict=True):
            statements.exporter.observe(name, unit, what, kind, partial(look, statements.pools))


def counts(pools: Iterable[Holding]) -> list[tuple[float, Attributes]]:
    """Connections that are used and idle."""
    seen: list[tuple[float, Attributes]] = []
    for pool in list(pools):
        for state, value in (("used", len(pool.holders)), ("idle", pool.idle)):
            seen.append((value, {**dict(pool.told), "db.client.connection.state": state}))
    return seen


def most(pools: Iterable[Holding]) -> list[tuple[float, Attributes]]:
    """Connections that are allowed, where there is a limit."""
    return [(pool.most, dict(pool.told)) for pool in list(pools) if pool.most]


def pending(pools: Iterable[Holding]) -> list[tuple[float, Attributes]]:
    """Who waits."""
    return [(len(pool.waiting), dict(pool.told)) for pool in list(pools)]


def timeouts(pools: Iterable[Holding]) -> list[tuple[float, Attributes]]:
    """Waits in vain so far."""
    return [(pool.timeouts, dict(pool.told)) for pool in list(pools)]


LOOKS = (counts, most, pending, timeouts)
