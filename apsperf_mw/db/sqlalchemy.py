"""SQLAlchemy's engines: statements are noted where the dialect hands them to the driver.

That seam is a tenth of the price of the public events, and not documented: it is tried once, on a
database in memory, and where it does not hold the events serve.
"""

from __future__ import annotations

from functools import cache, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any
from warnings import warn
from weakref import WeakKeyDictionary, ref

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.pool import QueuePool

from apsperf_mw.db.doors import EngineDoor
from apsperf_mw.db.following import HIT, Following
from apsperf_mw.db.lazy import check, refused
from apsperf_mw.db.pools import name_of, watch
from apsperf_mw.db.preparing import prepare
from apsperf_mw.db.seams import stand_in
from apsperf_mw.db.sources import add, remove
from apsperf_mw.errors import SettingError
from apsperf_mw.observe.statements import rows_of
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.db.tables import Tables
    from apsperf_mw.observe.statements import Recorder, Statements
    from apsperf_mw.settings import DatabaseSettings

    Explain = Callable[[EngineDoor], Callable[[str, str, tuple[Any, ...]], object]]
    Undo = Callable[[], object]
    Note = Callable[..., object]

# Those that take the parameters too, and the one that does not.
SEAMS, ALONE = ("do_execute", "do_executemany"), "do_execute_no_params"
# How to let an engine's dialect go again, for each suite's statements.
_attached: WeakKeyDictionary[Any, dict[int, list[Undo]]] = WeakKeyDictionary()
_lock = Lock()


def attach(
    engine: object, statements: Statements, tables: Tables | None, explain: Explain | None = None
) -> None:
    """Note the engine's statements, and follow its transactions for these tables' sake.

    `explain` gives what wants to know of slow ones.
    """
    plain = engine_of(engine)
    with _lock:
        known = _attached.setdefault(plain, {})
        if id(statements) not in known:
            begin = at_the_seam if holds() else by_events
            recorder = statements.new(plain.dialect.name)
            door = EngineDoor(plain)
            name = name_of(plain.url)
            source = add(statements, name, recorder, door)
            if explain is not None:
                recorder.slow = explain(door)
            following = None if tables is None else Following(plain, tables)
            undos: list[Undo] = [
                begin(plain, recorder, following),
                watch(plain, statements),
                prepare(plain, name, statements),
                partial(remove, statements, source),
            ]
            if following is not None:
                undos.append(following.leave)
            if statements.loads.wanted:
                undos.append(watch_loads(plain, statements))
            known[id(statements)] = undos
            statements.ends[plain] = partial(_let_go, ref(plain), id(statements))


def watch_loads(engine: Engine, statements: Statements) -> Undo:
    """Have a share of what is loaded watched for what nobody looks at."""
    from apsperf_mw.db.loads import Watch

    loads = statements.loads
    found = next((each for each in loads.watchers if isinstance(each, Watch)), None)
    if found is None:
        found = Watch(loads, statements.exporter.faults)
        loads.watchers.append(found)
    return found.watch(engine)


def pool_options(url: Any, settings: DatabaseSettings) -> dict[str, Any]:
    """What a pool is made with; nothing for one that knows no such limits."""
    known: Any = make_url(url)
    if not issubclass(known.get_dialect().get_pool_class(known), QueuePool):
        return {}
    return {
        "pool_size": settings.max_connections,
        "max_overflow": 0,
        "pool_timeout": settings.connection_timeout,
    }


def detach(engine: object, statements: Statements) -> None:
    """Note them no more."""
    _let_go(ref(engine_of(engine)), id(statements))


def _let_go(engine: ref[Engine], of: int) -> None:
    plain = engine()
    with _lock:
        undone = () if plain is None else _attached.get(plain, {}).pop(of, ())
    for undo in undone:
        undo()


def engine_of(engine: object) -> Engine:
    """The engine itself; an async one has it within."""
    plain = getattr(engine, "sync_engine", engine)
    if not isinstance(plain, Engine):
        raise SettingError(f"engine: {engine!r} given; accepted: an Engine or AsyncEngine")
    return plain


class Seam:
    """Stands between a dialect and its driver."""

    def __init__(self, dialect: Any, note: Note, following: Following | None = None) -> None:
        self.note = note
        self.following = following
        places = {name: self._noted(getattr(dialect, name)) for name in SEAMS}
        self._undo = stand_in(dialect, {**places, ALONE: self._alone(getattr(dialect, ALONE))})

    def leave(self) -> None:
        """Note nothing more, also where others stand in between and this one has to stay."""
        self.note = nothing
        self.following = None
        self._undo()

    def _noted(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        refuses = refused.get

        def noted(cursor: Any, statement: str, parameters: Any, context: Any = None) -> Any:
            if refuses():
                check()
            following = self.following
            given = (parameters, context)
            step = None
            # Whoever calls a dialect by hand may leave the context out.
            if following is not None and hasattr(context, "root_connection"):
                step = following.before(statement, context, given)
                if step is HIT:
                    return None
            # As `Recorder.run`, without its call: this is the hot path.
            started = perf_counter()
            try:
                made = execute(cursor, statement, parameters, context)
            except BaseException as fault:
                self.note(statement, perf_counter() - started, type(fault).__qualname__, given)
                if step is not None and following is not None:
                    following.after(step, cursor, None)
                raise
            took_s = perf_counter() - started
            self.note(statement, took_s, "", given, rows_of(cursor))
            if step is not None and following is not None:
                following.after(step, cursor, took_s)
            return made

        return noted

    def _alone(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """As `_noted`, of what is executed without parameters."""

        def without(cursor: Any, statement: str, _: Any, context: Any) -> Any:
            return execute(cursor, statement, context)

        noted = self._noted(without)
        return lambda cursor, statement, context=None: noted(cursor, statement, (), context)


def at_the_seam(engine: Engine, recorder: Recorder, following: Following | None) -> Undo:
    """Stand between the engine's dialect and the driver."""
    return Seam(engine.dialect, recorder.note, following).leave


def nothing(*_: object) -> None:
    """What is noted once nobody wants to hear of it."""


@cache
def holds() -> bool:
    """Whether this release of SQLAlchemy sends statements by way of the seam; says so if not."""
    seen: list[str] = []
    engine = create_engine("sqlite://")
    try:
        Seam(engine.dialect, lambda text, *_: seen.append(text))
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1").close()
    except Exception:
        seen.clear()
    finally:
        engine.dispose()
    if seen != ["SELECT 1"]:
        warn(
            "apsperf-mw does not know this SQLAlchemy's inside: it listens to its events, which "
            "cost some microseconds more a statement",
            RuntimeWarning,
            stacklevel=4,
        )
        return False
    return True


class Events:
    """Listens to an engine's events."""

    def __init__(self, engine: Engine, recorder: Recorder, following: Following | None) -> None:
        self._recorder = recorder
        self._following = following
        self._begun = f"apsperf_begun_{id(recorder)}"
        self._engine = ref(engine)
        self._listeners = (
            ("before_cursor_execute", self._before),
            ("after_cursor_execute", self._after),
            ("handle_error", self._failed),
        )
        for name, listener in self._listeners:
            event.listen(engine, name, listener)

    def leave(self) -> None:
        """Listen no more."""
        engine = self._engine()
        for name, listener in () if engine is None else self._listeners:
            event.remove(engine, name, listener)

    def _before(self, _: Any, __: Any, text: str, given: Any, context: Any, ___: Any) -> None:
        check()
        following = self._following
        step = None if following is None else following.before(text, context, None)
        setattr(context, self._begun, (perf_counter(), step, given))

    def _after(self, _: Any, __: Any, text: str, ___: Any, context: Any, ____: Any) -> None:
        self._end(text, context)

    def _failed(self, told: Any) -> None:
        if told.statement is not None:
            error = type(told.original_exception).__qualname__
            self._end(told.statement, told.execution_context, error)

    def _end(self, text: str, context: Any, error: str = "") -> None:
        since, step, given = getattr(context, self._begun, (None, None, None))
        if since is not None:
            rows = -1 if error else rows_of(context.cursor)
            self._recorder.note(text, perf_counter() - since, error, (given,), rows)
        if step is not None and self._following is not None:
            self._following.after(step, None, None if error else 0.0)


def by_events(engine: Engine, recorder: Recorder, following: Following | None) -> Undo:
    """Listen to the engine's events."""
    return Events(engine, recorder, following).leave
