"""What drivers give beside cursors that reaches a connection, for one that is followed."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from apsperf_mw.db.connections import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.db.followed import Connection, Cursor


class Part(Proxy):
    """Something of a driver's that reaches its connection: whatever is done with it counts."""

    def __init__(self, real: Any, owner: Connection) -> None:
        vars(self).update(_real=real, _recorder=owner._recorder, _owner=owner)
        owner._link.wild = True

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return partial(self._do, found) if callable(found) else found

    def _do(self, run: Callable[..., Any], *given: Any, **named: Any) -> Any:
        owner = self._owner
        return owner._following.strange(owner._link, owner._real, run, *given, **named)

    def __exit__(self, *raised: object) -> Any:
        return self._do(self._real.__exit__, *raised)

    def __len__(self) -> int:
        return len(self._real)

    def __getitem__(self, key: Any) -> Any:
        return self._do(self._real.__getitem__, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._do(self._real.__setitem__, key, value)


class Inner(Proxy):
    """What a block of psycopg's gives; what it knows of its connection is the wrapped one."""

    def __init__(self, real: Any, owner: Connection, cursor: Cursor | None = None) -> None:
        vars(self).update(_real=real, _recorder=owner._recorder, _owner=owner, _cursor=cursor)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name != "sync":
            return found
        owner = self._owner
        return partial(owner._following.around, owner._link, owner._real, found)

    @property
    def connection(self) -> Any:
        """The connection, which is followed."""
        return self._owner

    @property
    def cursor(self) -> Any:
        """The cursor of a COPY."""
        return self._cursor

    def __iter__(self) -> Iterator[Any]:
        return iter(self._real)


class Block:
    """A transaction or a pipeline of psycopg's, at whose end what was sent may be committed."""

    def __init__(
        self, owner: Connection, make: Callable[..., Any], *given: Any, **named: Any
    ) -> None:
        self._owner = owner
        self._inner = make(*given, **named)
        self._given: Any = None

    def __enter__(self) -> Any:
        owner = self._owner
        owner._following.begin(owner._link, owner._real)
        self._given = Inner(self._inner.__enter__(), owner)
        return self._given

    def __exit__(self, *raised: object) -> Any:
        fault: Any = raised[1]
        if fault is not None and getattr(fault, "transaction", None) is self._given:
            fault.transaction = vars(self._given)["_real"]  # psycopg asks whether it is its own
        owner = self._owner
        leave = self._inner.__exit__
        return owner._following.around(owner._link, owner._real, leave, *raised)


class Copying:
    """A COPY of psycopg's."""

    def __init__(
        self, cursor: Cursor, copy: Any, statement: Any, *given: Any, **named: Any
    ) -> None:
        self._cursor = cursor
        self._statement = statement
        self._inner = copy(statement, *given, **named)
        self._facts: Any = None
        self._started = 0.0

    def __enter__(self) -> Any:
        cursor = self._cursor
        owner = cursor._owner
        cursor._begin()
        self._facts, _ = owner._following.before(owner._link, owner._real, self._statement)
        self._started = perf_counter()
        try:
            return Inner(self._inner.__enter__(), owner, cursor)
        except BaseException as fault:
            self._end(type(fault).__qualname__)
            raise

    def __exit__(self, *raised: object) -> Any:
        error = "" if raised[1] is None else type(raised[1]).__qualname__
        try:
            return self._inner.__exit__(*raised)
        except BaseException as failed:
            error = type(failed).__qualname__
            raise
        finally:
            self._end(error)

    def _end(self, error: str) -> None:
        owner = self._cursor._owner
        took_s = perf_counter() - self._started
        owner._recorder.note(str(self._statement), took_s, error)
        owner._following.after(owner._link, owner._real, self._facts)
