"""What statements cost: by shape for the whole process, and among the costs of their request.

Noting one is a few list and dictionary operations; its shape is found once for each text.
"""

from __future__ import annotations

from functools import lru_cache, partial
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet, ref

from apsperf_mw.cache.policy import current
from apsperf_mw.observe.below import note_below
from apsperf_mw.observe.fingerprints import shape_of
from apsperf_mw.observe.loads import TIDY_S, Loads
from apsperf_mw.observe.measures import QUERY
from apsperf_mw.observe.prepared import Prepared
from apsperf_mw.observe.record import REPEATS, Costs
from apsperf_mw.observe.samples import Samples
from apsperf_mw.observe.shapes import OTHERS, Shape, new_shape
from apsperf_mw.observe.sites import cause_of, site_of
from apsperf_mw.observe.spans import OwnSpan
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.cache.policy import Plan
    from apsperf_mw.observe.channels import Channels
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.samples import Sample
    from apsperf_mw.settings import DatabaseSettings

# Texts that are known by their shape, shapes that are counted of the process, and of one request.
MOST_TEXTS = 4096
MOST_KNOWN_SHAPES = 1024
MOST_SHAPES = 64
# What mappers call databases that the semantic conventions call otherwise.
SYSTEMS = {
    "mssql": "microsoft.sql_server",
    "microsoft": "microsoft.sql_server",
    "oracle": "oracle.db",
}
# Modules of cursors that have the number of their rows at hand.
AT_HAND = (
    *("sqlite3", "psycopg.", "sqlalchemy.dialects.sqlite.aiosqlite"),
    *("sqlalchemy.dialects.postgresql.asyncpg", "sqlalchemy.dialects.postgresql.psycopg"),
)
# Durations of a shape that wait to be added up.
MOST_WAITING = 256
# The request that is under way.
_plan = current.get


class Statements:
    """The statements of one suite."""

    def __init__(
        self, exporter: MetricsExporter, channels: Channels, settings: DatabaseSettings
    ) -> None:
        self.exporter = exporter
        self.channels = channels
        self.settings = settings
        self.samples = settings.samples
        self.loads = Loads(channels, settings.unused_loads)
        if self.loads.wanted:
            exporter.watch(self.loads.drain)
            exporter.every(TIDY_S, self.loads.drain)
        self._batches = exporter.ledger.batches
        exporter.ledger.givers.append(partial(_give, ref(self)))  # its thread keeps no suite alive
        self._lock = Lock()
        self._recorders: dict[tuple[str, str], Recorder] = {}
        self._others: WeakSet[Recorder] = WeakSet()
        self._shapes: dict[tuple[str, str], Shape] = {}
        # The pools that are watched, and whether the exporter asks for them.
        self.pools: WeakSet[Any] = WeakSet()
        self.pools_told = False
        self.prepared = Prepared()
        # The databases that may be asked for advice.
        self.sources: list[Any] = []
        # How to let go of each engine.
        self.ends: WeakKeyDictionary[Any, Callable[[], object]] = WeakKeyDictionary()

    def close(self) -> None:
        """Note nothing more of engines."""
        for let_go in list(self.ends.values()):
            let_go()
        self.ends.clear()
        self.loads.close()
        self.sources.clear()

    def of(self, system: str, name: str = "") -> Recorder:
        """Who notes those of a kind of database, by its name there or in a mapper.

        `name` tells several of one kind from each other.
        """
        key = SYSTEMS.get(system, system), name
        found = self._recorders.get(key)
        if found is None:
            found = self._recorders.setdefault(key, self.new(system))
        return found

    def new(self, system: str) -> Recorder:
        """One that notes those of one database."""
        made = Recorder(self, SYSTEMS.get(system, system))
        self._others.add(made)
        return made

    def shape(self, text: str, system: str) -> Shape:
        """The shape of this text; past so many, one for all others of the database."""
        key = shape_of(text), system
        with self._lock:
            found = self._shapes.get(key)
            if found is None:
                if len(self._shapes) >= MOST_KNOWN_SHAPES:
                    key = OTHERS, system
                found = self._shapes.setdefault(key, new_shape(*key))
        return found

    def fold(self, shape: Shape) -> None:
        """Add up what waits of a shape, and have it measured."""
        with self._lock:
            self._fold(shape)

    def fail(self, shape: Shape, duration_s: float) -> None:
        """One of them has failed, which is measured otherwise."""
        with self._lock:
            shape.errors += 1
            shape.add([duration_s])

    def shapes(self) -> list[Shape]:
        """All of them, added up."""
        with self._lock:
            for shape in self._shapes.values():
                self._fold(shape)
            return [shape for shape in self._shapes.values() if shape.calls]

    def _fold(self, shape: Shape) -> None:
        if batch := shape.fold():
            self._batches.append((QUERY, batch, shape.told))

    def clear(self) -> None:
        """Forget everything: in a forked child it belongs to the parent."""
        self._lock = Lock()
        self._shapes.clear()
        self.loads.clear()
        for recorder in list(self._others):
            recorder.forget()


def _give(statements: ref[Statements]) -> None:
    """Have what waits measured."""
    if (found := statements()) is not None:
        found.shapes()


class Recorder:
    """Notes the statements of one kind of database."""

    def __init__(self, statements: Statements, system: str) -> None:
        self._all = statements
        self._measure = statements.exporter.ledger.measure
        self._slow_s = statements.channels.slow_query_s
        self.system = system
        self.known: dict[str, Shape] = {}
        self.samples = Samples() if statements.samples else None
        # Who wants to know of slow ones: the shape, the text and its values.
        self.slow: Callable[[str, str, tuple[Any, ...]], object] | None = None

    def note(
        self,
        text: str,
        duration_s: float,
        error: str = "",
        given: tuple[Any, ...] = (),
        rows: int = -1,
    ) -> None:
        """A statement has ended now. `text` may have values in it, which are told to nobody.

        `given` is what was sent with it, its values first; `rows` how many it returned or
        changed, below 0 where that is not known.
        """
        shape = self.known.get(text) or self._learn(text, given)
        if rows > 0:
            shape.found.append(rows)
        if not error:
            durations = shape.durations
            durations.append(duration_s)
            if len(durations) >= MOST_WAITING:
                self._all.fold(shape)
        plan = _plan()
        if plan is not None:
            self._within(plan, shape, duration_s)
        if error or duration_s > self._slow_s or (plan is not None and plan.span is not None):
            self._tell(plan, shape, duration_s, error)
            if duration_s > self._slow_s and not error:
                self._keep_slow(shape, text, given)

    def run(self, text: str, execute: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Have a statement executed, and note it; its rows are those of the cursor that it gives.

        As psycopg's and sqlite3's give; where nothing is given that has them they are not known.
        """
        started = perf_counter()
        try:
            made = execute(*given, **named)
        except BaseException as fault:
            self.note(text, perf_counter() - started, type(fault).__qualname__, given[1:])
            raise
        took_s = perf_counter() - started
        self.note(text, took_s, "", given[1:], rows_of(made))
        return made

    def workload(self) -> list[tuple[Sample, Shape]]:
        """A statement of each shape that it has noted, the costliest first."""
        if self.samples is None:
            return []
        shapes = {shape.text: shape for shape in self.known.values()}
        for shape in shapes.values():
            self._all.fold(shape)
        found = [(self.samples.of(text), shape) for text, shape in shapes.items()]
        known = [(sample, shape) for sample, shape in found if sample is not None]
        return sorted(known, key=lambda each: -each[1].total_s)

    def forget(self) -> None:
        """Begin anew."""
        self.known.clear()
        if self.samples is not None:
            self.samples.clear()

    def _keep_slow(self, shape: Shape, text: str, given: tuple[Any, ...]) -> None:
        """What was slow is the better sample, and worth a look at its plan."""
        if self.samples is not None:
            self.samples.keep(shape.text, text, given, newer=True)
        if self.slow is not None:
            self.slow(shape.text, text, given)

    def _within(self, plan: Plan, shape: Shape, duration_s: float) -> None:
        """Add it to its request's costs; what comes again and again there has a cause."""
        costs = plan.costs
        if costs is None:
            costs = plan.costs = Costs()
        costs.database_s += duration_s
        costs.queries += 1
        shapes, text = costs.shapes, shape.text
        costs.last = text
        if shapes is None:
            costs.shapes = {text: 1}
        elif (count := shapes.get(text, 0)) or len(shapes) < MOST_SHAPES:
            shapes[text] = count + 1
            if count == REPEATS - 1:
                costs.causes = costs.causes or {}
                costs.causes[text] = site_of(), cause_of()

    def _learn(self, text: str, given: tuple[Any, ...]) -> Shape:
        if len(self.known) >= MOST_TEXTS:
            self.known.clear()
        shape = self.known[text] = self._all.shape(text, self.system)
        if self.samples is not None:
            self.samples.keep(shape.text, text, given)
        return shape

    def _tell(self, plan: Plan | None, shape: Shape, duration_s: float, error: str) -> None:
        """Have logs and spans know of it."""
        told: dict[str, Any] = dict(shape.told)
        if error:
            self._all.fail(shape, duration_s)
            told["error.type"] = error
            self._measure((QUERY, duration_s, tuple(told.items())))
        span = None if plan is None else plan.span
        if duration_s > self._slow_s:
            shape.site = site_of()
            own = span if type(span) is OwnSpan and span.sampled else None
            ids = (0, 0) if own is None else (own.trace_id, own.span_id)
            route = "" if plan is None else plan.route
            self._all.channels.slow_query(shape.text, duration_s, route, ids, shape.site)
        if span is not None:
            name = f"{shape.verb} {shape.system}" if shape.verb else shape.system
            told["db.query.text"] = shape.text
            began = monotonic() - duration_s
            note_below(self._all.exporter, span, name, "client", told, began, error)


def rows_of(cursor: Any) -> int:
    """How many rows a DB-API cursor's statement returned or changed; below 0 if that is unknown."""
    kind: Any = type(cursor)
    if not tells_rows(kind):
        return -1
    rows = cursor.rowcount
    return rows if type(rows) is int else -1


@lru_cache(maxsize=256)
def tells_rows(kind: Any) -> bool:
    """Whether a cursor has the number at hand: with some drivers it is dear to ask for."""
    modules = [each.__module__ for each in kind.__mro__]
    return any(each.startswith(AT_HAND) for each in modules)
