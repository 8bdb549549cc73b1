"""Rows of a query that is sent when somebody looks at them first, and never where nobody does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from sqlalchemy.sql.base import Executable

from apsperf_mw.errors import LazyLoad, SettingError
from apsperf_mw.observe.sites import site_of
from apsperf_mw.runtime.loop import Waits
from apsperf_mw.runtime.threads import RLock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import Self

# Seconds after which a task that waits for another's query looks again.
PATIENCE_S = 5.0


class LazyRows(Sequence[Any]):
    """The rows of one query, as a sequence that is filled by the first look at it.

    Iteration, `len`, truth, an index and whatever a SQLAlchemy `Result` has (`all`, `first`,
    `scalars`, `mappings`, ...) send the query, once: rows are kept, as an error is. Several
    threads may look at the same; the session is theirs to share, or not. Of an async session or
    connection it is awaited, which gives itself, and looked at then.
    """

    def __init__(
        self, target: Any, statement: Any, given: Any, *, scalars: bool, unique: bool
    ) -> None:
        self._target: Any = _checked(target)
        self._statement = _query(statement)
        self._given = given
        self._scalars = scalars
        self._unique = unique
        self._made_at = site_of()
        self._awaits = iscoroutinefunction(target.execute)
        self._lock = RLock()
        self._waiting: list[Callable[[], None]] = []
        self._busy = False
        self._fault: Exception | None = None
        self._kept: Callable[[], Any] | None = None
        self._strict: Any = None
        self._rows: list[Any] | None = None

    @property
    def sent(self) -> bool:
        """Whether the query was sent."""
        return self._kept is not None or self._fault is not None

    def all(self) -> list[Any]:
        """The rows, in a list of the caller's."""
        return list(self._all())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __getitem__(self, at: Any) -> Any:
        if not isinstance(at, slice) and not hasattr(at, "__index__"):
            # Templates try names as keys first.
            raise TypeError(f"rows are found by number, not by {at!r}")
        return self._all()[at]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            # Who asks what kind of object it is does not look at the rows.
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return getattr(self._result(), name)

    def __await__(self) -> Generator[Any, Any, Self]:
        return self._awaited().__await__()

    def __repr__(self) -> str:
        state = "sent" if self.sent else "not sent"
        return f"<{type(self).__name__} {state}, made at {self._made_at or 'no line of the app'}>"

    def _all(self) -> list[Any]:
        if self._rows is None:
            self._rows = list(self._result().all())
        return self._rows

    def _result(self) -> Any:
        """The rows as SQLAlchemy gives them, from the first."""
        if self._kept is None:
            self._send()
        assert self._kept is not None
        made = self._kept()
        if self._unique:
            made = made.unique()
        elif self._strict is not None:
            made._unique_filter_state = self._strict
        return made.scalars() if self._scalars else made

    def _send(self) -> None:
        with self._lock:
            self._heed()
            if self._kept is not None:
                return
            if self._awaits:
                raise LazyLoad(f"{self!r} is of an async {type(self._target).__name__}: await it")
            try:
                self._keep(self._target.execute(self._statement, self._given))
            except Exception as fault:
                self._fail(fault)
                raise

    async def _awaited(self) -> Self:
        if not self._awaits:
            self._result()
            return self
        waits = Waits()
        while self._busy:
            await waits.wait(self._waiting.append, PATIENCE_S)
        self._heed()
        if self._kept is None:
            self._busy = True
            try:
                self._keep(await self._target.execute(self._statement, self._given))
            except Exception as fault:
                self._fail(fault)
                raise
            finally:
                self._busy = False
                self._wake()
        return self

    def _heed(self) -> None:
        """It is not sent again where it has failed."""
        if self._fault is not None:
            raise self._fault

    def _keep(self, result: Any) -> None:
        strict = getattr(result, "_unique_filter_state", None)
        self._kept, self._strict = result.freeze(), strict
        self._target = self._given = None

    def _fail(self, fault: Exception) -> None:
        if self._made_at:
            fault.add_note(f"the query was made lazily at {self._made_at}")
        self._fault = fault
        self._target = self._given = None

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for wake in waiting:
            with suppress(RuntimeError):  # a loop that is closed has nobody who waits
                wake()


def _checked(target: Any) -> Any:
    """A session or connection, plain or async."""
    if isinstance(target, type) or not callable(getattr(target, "execute", None)):
        raise SettingError(f"target: {target!r} given; accepted: a session or connection")
    return target


def _query(statement: Any) -> Any:
    """What has rows: writes are not put off until somebody looks."""
    if not isinstance(statement, Executable) or getattr(statement, "is_dml", False):
        raise SettingError(f"statement: {statement!r} given; accepted: a query of SQLAlchemy's")
    return statement
