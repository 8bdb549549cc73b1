"""The plans of slow statements: asked for on another connection, behind the request, and seldom."""

from __future__ import annotations

import sqlite3
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.advice.postgres import explained
from apsperf_mw.advice.sqlite import plan_lines
from apsperf_mw.advice.workload import WANTS, Query
from apsperf_mw.observe.samples import values_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.db.doors import Door
    from apsperf_mw.faults import Faults
    from apsperf_mw.observe.channels import Channels
    from apsperf_mw.runtime.background import Background

PLACE = "the plan of a slow statement"
# Seconds between two looks at the plan of one shape, and shapes that are remembered.
AGAIN_S = 60.0
MOST_SHAPES = 1024


class Explainer:
    """Of one database; called with a slow statement it tells its plan. Nothing is executed."""

    def __init__(
        self, door: Door, channels: Channels, background: Background, faults: Faults
    ) -> None:
        self._door = door
        self._channels = channels
        self._background = background
        self._faults = faults
        self._asked: dict[str, float] = {}

    def __call__(self, shape: str, text: str, given: tuple[Any, ...]) -> None:
        """A statement was slow."""
        ask = ASKS.get(self._door.system)
        now = monotonic()
        if ask is None or now < self._asked.get(shape, now):
            return
        query = Query(self._door.plain(text), values_of(given[0]) if given else ())
        if query.verb not in WANTS or not query.is_one:
            return
        if self._background.spawn_thread(partial(self._explain, ask, shape, query)):
            if len(self._asked) >= MOST_SHAPES:
                self._asked.clear()
            self._asked[shape] = now + AGAIN_S

    def _explain(self, ask: Callable[[Any, Query], str], shape: str, query: Query) -> None:
        try:
            plan = self._door.through(lambda connection: ask(connection, query))
        except sqlite3.OperationalError:
            return  # a database in memory is another one for each connection
        except Exception as fault:
            self._faults.note(PLACE, fault)
            return
        self._channels.plan(shape, plan)


def of_sqlite(connection: Any, query: Query) -> str:
    """SQLite's plan."""
    cursor = connection.cursor()
    try:
        cursor.execute(f"EXPLAIN QUERY PLAN {query.text}", query.given or ())
        return "\n".join(plan_lines(cursor.fetchall()))
    finally:
        cursor.close()


def of_postgres(connection: Any, query: Query) -> str:
    """PostgreSQL's, without values."""
    return explained(connection, query)


ASKS: dict[str, Callable[[Any, Query], str]] = {
    "sqlite": of_sqlite,
    "postgresql": of_postgres,
}
