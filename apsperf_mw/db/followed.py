"""Wrapped connections and cursors whose transactions are followed; see `wrapped`."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.policy import current
from apsperf_mw.db import connections
from apsperf_mw.db.connections import EXECUTES
from apsperf_mw.db.parts import Block, Copying, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.db.facts import Facts
    from apsperf_mw.db.links import Link
    from apsperf_mw.db.wrapped import Following
    from apsperf_mw.observe.statements import Recorder

# What psycopg's connections and cursors do that is understood.
BLOCKS = frozenset({"transaction", "pipeline"})
WAYS = frozenset({"copy", "stream", "results", "set_result"})


class Connection(connections.Connection):
    """A connection whose commits make void what was made of the tables that it wrote."""

    def __init__(self, real: Any, recorder: Recorder, following: Following, link: Link) -> None:
        vars(self).update(
            _real=real, _recorder=recorder, _owner=None, _following=following, _link=link
        )

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        kind = self._link.kind
        if name in EXECUTES:
            return partial(self._noted, found)
        if name == "pgconn":  # whoever has it can send anything
            self._link.wild = True
        if not callable(found) or isinstance(found, type) or name in kind.calm:
            return found
        if name in BLOCKS and kind.waits:
            return partial(Block, self, found)
        following = self._following
        how = following.around if name in kind.turns else following.strange
        return partial(self._own, how, found)

    def _own(
        self, how: Callable[..., Any], run: Callable[..., Any], *more: Any, **named: Any
    ) -> Any:
        made = how(self._link, self._real, run, *more, **named)
        if made is self._real:
            return self
        if hasattr(made, "fetchone"):
            return self._cursor(made)
        return Part(made, self) if type(made).__name__ == "Blob" else made

    def __setattr__(self, name: str, value: Any) -> None:
        run = partial(setattr, self._real, name, value)
        self._following.around(self._link, self._real, run)

    def __exit__(self, *raised: object) -> Any:
        real = self._real
        following = self._following
        given = following.ending(self._link, real, real.__exit__, *raised)
        if self._link.kind.waits and real.closed:
            following.closing(self._link, nothing)
        return given

    def cursor(self, *given: Any, **named: Any) -> Any:
        """A cursor whose statements are followed."""
        return self._cursor(self._real.cursor(*given, **named))

    def commit(self, *given: Any, **named: Any) -> Any:
        """Commit; what was made of what it wrote is void then."""
        return self._following.ending(self._link, self._real, self._real.commit, *given, **named)

    def rollback(self, *given: Any, **named: Any) -> Any:
        """Roll back."""
        return self._following.ending(self._link, self._real, self._real.rollback, *given, **named)

    def close(self, *given: Any, **named: Any) -> Any:
        """Close it; what was not committed never was."""
        return self._following.closing(self._link, self._real.close, *given, **named)

    def _noted(self, execute: Any, statement: Any, *given: Any, **named: Any) -> Any:
        """Run the statement and note it; the cursor that the driver gives is one of ours."""
        return send(self, self._cursor, execute, statement, *given, **named)

    def _cursor(self, real: Any) -> Any:
        return self if real is self._real else Cursor(real, self)


class Cursor(connections.Cursor):
    """A cursor of such a connection."""

    # What its rows were read of, when, for whom, and where they are if they are here.
    _reads: tuple[str, ...] = ()
    _began = 0
    _plan: Any = None
    _rows: Any = None
    # Whether what it fetches may end something.
    _late = False

    def __init__(self, real: Any, owner: Connection) -> None:
        vars(self).update(
            _real=real,
            _recorder=owner._recorder,
            _owner=owner,
            _following=owner._following,
            _link=owner._link,
        )

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in EXECUTES:
            return partial(self._noted, found)
        kind = self._link.kind
        if not callable(found) or isinstance(found, type) or name in kind.calm_cursor:
            return found
        if name in WAYS and kind.waits:
            return partial(Copying, self, found) if name == "copy" else getattr(self, f"_{name}")
        return partial(self._own, found)

    def _own(self, run: Callable[..., Any], *given: Any, **named: Any) -> Any:
        made = self._following.strange(self._link, self._owner._real, run, *given, **named)
        return self if made is self._real else made

    def __enter__(self) -> Any:
        entered = self._real.__enter__()
        return self if entered is self._real else entered

    def __exit__(self, *raised: object) -> Any:
        given = self._real.__exit__(*raised)
        self._fetched(done=True)
        return given

    def __del__(self) -> None:
        if self._late:
            self._link.reading.discard(id(self))

    def _noted(self, execute: Any, statement: Any, *given: Any, **named: Any) -> Any:
        """Run the statement and note it."""
        self._begin()
        return send(self, self._adopt, execute, statement, *given, **named)

    def _adopt(self, made: Any) -> Any:
        return self if made is self._real else Cursor(made, self._owner)

    def _begin(self) -> None:
        """What it has had is gone."""
        mine = vars(self)
        mine["_rows"] = None
        if self._late:
            mine["_late"] = False
            self._link.reading.discard(id(self))

    def _sent(self, facts: Facts, began: int, statement: Any) -> None:
        """A statement of it was sent."""
        mine = vars(self)
        mine["_reads"], mine["_began"], mine["_plan"] = facts.reads, began, current.get()
        link, real = self._link, self._owner._real
        if not link.kind.lite:
            lags = link.kind.begun(real) is None and (link.kind.waits or facts.writes)
            mine["_late"] = bool(lags)
        elif self._real.description is not None:
            if facts.writes and "returning" in str(statement).lower():
                # It is committed once the last of its rows is fetched, which are in memory.
                mine["_rows"] = iter(self._real.fetchall())
            else:
                mine["_late"] = True
                link.reading.add(id(self))

    def _stream(self, statement: Any, *given: Any, **named: Any) -> Iterator[Any]:
        """The rows of a statement that is sent when the first is wanted."""
        following, link, real = self._following, self._link, self._owner._real
        facts, _ = following.before(link, real, statement)
        started, error = perf_counter(), ""
        try:
            yield from self._real.stream(statement, *given, **named)
        except Exception as fault:
            error = type(fault).__qualname__
            raise
        finally:
            self._recorder.note(str(statement), perf_counter() - started, error, given)
            following.after(link, real, facts)

    def fetchone(self) -> Any:
        """The next row."""
        rows = self._rows
        if rows is not None:
            self._fetched(done=False)
            return next(rows, None)
        row = self._real.fetchone()
        self._fetched(done=row is None)
        return row

    def fetchmany(self, *given: Any, **named: Any) -> Any:
        """The next rows."""
        rows = self._rows
        if rows is not None:
            self._fetched(done=False)
            most = next(iter((*given, *named.values())), self._real.arraysize)
            return [row for row, _ in zip(rows, range(most), strict=False)]
        found = self._real.fetchmany(*given, **named)
        self._fetched(done=not found)
        return found

    def fetchall(self) -> Any:
        """The rows that are left."""
        rows = self._rows
        found = list(rows) if rows is not None else self._real.fetchall()
        self._fetched(done=True)
        return found

    def __iter__(self) -> Iterator[Any]:
        self._fetched(done=False)
        if self._rows is not None:
            return iter(self._rows)
        return self._each() if self._late else iter(self._real)

    def _each(self) -> Iterator[Any]:
        yield from self._real
        self._fetched(done=True)

    def __next__(self) -> Any:
        if self._rows is None:
            row = next(self._real, self)
            self._fetched(done=row is self)
        else:
            row = next(self._rows, self)
        if row is self:
            raise StopIteration
        return row

    def close(self) -> Any:
        """Close it."""
        try:
            return self._real.close()
        finally:
            self._fetched(done=True)

    def _results(self) -> Iterator[Any]:
        """Itself, for each set of rows."""
        return (self for _ in self._real.results())

    def _set_result(self, index: int) -> Any:
        """Have it be at this set of rows."""
        self._real.set_result(index)
        return self

    def _fetched(self, *, done: bool) -> None:
        """Rows were fetched; `done` is whether none is left."""
        plan = current.get()
        if plan is not None and plan is not self._plan and self._reads:
            plan.read(self._reads, self._began)
            vars(self)["_plan"] = plan
        if self._late:
            self._come(done=done)

    def _come(self, *, done: bool) -> None:
        link, real = self._link, self._owner._real
        if not link.kind.lite:
            # A pipeline has come so far now.
            vars(self)["_late"] = not (done or link.kind.waits)
            self._following.around(link, real, nothing)
        elif done:
            self._begin()
            self._following.settle(link, real)


def send(
    wrapper: Any,
    adopt: Callable[[Any], Any],
    execute: Any,
    statement: Any,
    *more: Any,
    **named: Any,
) -> Any:
    """Have a statement sent, and heed what it does."""
    following, link = wrapper._following, wrapper._link
    real = wrapper._real if wrapper._owner is None else wrapper._owner._real
    facts, began = following.before(link, real, statement)
    try:
        made = wrapper._recorder.run(str(statement), execute, statement, *more, **named)
        shown = adopt(made) if hasattr(made, "fetchone") else made
        cursor = shown if isinstance(shown, Cursor) else wrapper
        if isinstance(cursor, Cursor):
            cursor._sent(facts, began, statement)
        return shown
    finally:
        following.after(link, real, facts)


def nothing() -> None:
    """What has been done already."""
