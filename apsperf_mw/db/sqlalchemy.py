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
from sqlalchemy.engine import Engine

from apsperf_mw.db.lazy import check, refused
from apsperf_mw.db.pools import watch
from apsperf_mw.db.seams import stand_in
from apsperf_mw.errors import SettingError
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.observe.statements import Recorder, Statements

    Undo = Callable[[], object]
    Note = Callable[..., object]

SEAMS = ("do_execute", "do_executemany", "do_execute_no_params")
# How to let an engine's dialect go again, for each suite's statements.
_attached: WeakKeyDictionary[Any, dict[int, list[Undo]]] = WeakKeyDictionary()
_lock = Lock()


def attach(engine: object, statements: Statements) -> None:
    """Note the engine's statements."""
    plain = engine_of(engine)
    recorder = statements.of(plain.dialect.name)
    with _lock:
        known = _attached.setdefault(plain, {})
        if id(statements) not in known:
            begin = at_the_seam if holds() else by_events
            known[id(statements)] = [begin(plain, recorder), watch(plain, statements)]
            statements.ends[plain] = partial(_let_go, ref(plain), id(statements))


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

    def __init__(self, dialect: Any, note: Note) -> None:
        self.note = note
        self._undo = stand_in(
            dialect, {name: self._noted(getattr(dialect, name)) for name in SEAMS}
        )

    def leave(self) -> None:
        """Note nothing more, also where others stand in between and this one has to stay."""
        self.note = nothing
        self._undo()

    def _noted(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        refuses = refused.get

        def noted(cursor: Any, statement: str, *more: Any, **named: Any) -> Any:
            if refuses():
                check()
            # As `Recorder.run`, without its call: this is the hot path.
            started = perf_counter()
            try:
                given = execute(cursor, statement, *more, **named)
            except BaseException as fault:
                self.note(statement, perf_counter() - started, type(fault).__qualname__)
                raise
            self.note(statement, perf_counter() - started)
            return given

        return noted


def at_the_seam(engine: Engine, recorder: Recorder) -> Undo:
    """Stand between the engine's dialect and the driver."""
    return Seam(engine.dialect, recorder.note).leave


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


def by_events(engine: Engine, recorder: Recorder) -> Undo:
    """Listen to the engine's events."""
    begun = f"apsperf_begun_{id(recorder)}"

    def before(_: Any, __: Any, ___: Any, ____: Any, context: Any, _____: Any) -> None:
        check()
        setattr(context, begun, perf_counter())

    def after(_: Any, __: Any, text: str, ___: Any, context: Any, ____: Any) -> None:
        recorder.note(text, perf_counter() - getattr(context, begun, perf_counter()))

    def failed(told: Any) -> None:
        since = getattr(told.execution_context, begun, None)
        if since is not None and told.statement is not None:
            error = type(told.original_exception).__qualname__
            recorder.note(told.statement, perf_counter() - since, error)

    listeners = (
        ("before_cursor_execute", before),
        ("after_cursor_execute", after),
        ("handle_error", failed),
    )
    for name, listener in listeners:
        event.listen(engine, name, listener)

    known = ref(engine)

    def undo() -> None:
        for name, listener in listeners if known() else ():
            event.remove(known(), name, listener)

    return undo
