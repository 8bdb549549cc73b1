"""DB-API connections whose statements are noted."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apsperf_mw.observe.statements import Recorder

EXECUTES = frozenset({"execute", "executemany", "executescript"})


class Proxy:
    """Stands for a cursor or a connection: what it does not do itself that one does."""

    def __init__(self, real: Any, recorder: Recorder, owner: Any = None) -> None:
        kept = object.__setattr__
        kept(self, "_real", real)
        kept(self, "_recorder", recorder)
        kept(self, "_owner", owner)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return partial(self._noted, found) if name in EXECUTES else found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)

    def __enter__(self) -> Any:
        entered = self._real.__enter__()
        return self if entered is self._real else entered

    def __exit__(self, *raised: object) -> Any:
        return self._real.__exit__(*raised)

    def _noted(self, execute: Any, statement: Any, *given: Any, **named: Any) -> Any:
        """Run the statement and note it; a driver that gives a cursor gives one like this."""
        made = self._recorder.run(str(statement), execute, statement, *given, **named)
        if made is self._real:
            return self
        if not hasattr(made, "fetchone"):
            return made
        return Cursor(made, self._recorder, self._owner or self)


class Cursor(Proxy):
    """A cursor whose statements are noted."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self._real)

    def __next__(self) -> Any:
        return next(self._real)

    @property
    def connection(self) -> Any:
        """The connection that it was made by, which notes too."""
        return self._owner


class Connection(Proxy):
    """A connection whose statements are noted, those of drivers' short cuts too."""

    def cursor(self, *given: Any, **named: Any) -> Any:
        """A cursor whose statements are noted."""
        return Cursor(self._real.cursor(*given, **named), self._recorder, self)
