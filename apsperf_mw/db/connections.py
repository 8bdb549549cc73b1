"""DB-API connections whose statements are noted."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apsperf_mw.observe.statements import Recorder

EXECUTES = ("execute", "executemany", "executescript")


class Proxy:
    """Stands for another object; what it does not do itself that one does."""

    def __init__(self, real: Any, recorder: Recorder) -> None:
        object.__setattr__(self, "_real", real)
        object.__setattr__(self, "_recorder", recorder)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)

    def __enter__(self) -> Any:
        entered = self._real.__enter__()
        return self if entered is self._real else entered

    def __exit__(self, *raised: object) -> Any:
        return self._real.__exit__(*raised)

    def _noted(self, name: str, statement: Any, parameters: tuple[Any, ...]) -> Any:
        """Run the statement and note it; a driver that gives its cursor gives this one."""
        started, error = perf_counter(), ""
        try:
            given = getattr(self._real, name)(statement, *parameters)
        except BaseException as fault:
            error = type(fault).__qualname__
            raise
        finally:
            self._recorder.note(str(statement), perf_counter() - started, error)
        return self if given is self._real else given


class Cursor(Proxy):
    """A cursor whose statements are noted."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self._real)

    def execute(self, statement: Any, *parameters: Any) -> Any:
        """As the cursor's."""
        return self._noted("execute", statement, parameters)

    def executemany(self, statement: Any, *parameters: Any) -> Any:
        """As the cursor's; noted once."""
        return self._noted("executemany", statement, parameters)


class Connection(Proxy):
    """A connection whose statements are noted, those of sqlite3's short cuts too."""

    def cursor(self, *arguments: Any, **named: Any) -> Cursor:
        """A cursor whose statements are noted."""
        return Cursor(self._real.cursor(*arguments, **named), self._recorder)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in EXECUTES:
            return found

        def short(statement: Any, *parameters: Any) -> Any:
            given = self._noted(name, statement, parameters)
            return Cursor(given, self._recorder) if hasattr(given, "fetchone") else given

        return short
