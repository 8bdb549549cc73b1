"""How many rows a statement has found, before they are fetched."""

from __future__ import annotations

from itertools import islice
from typing import Any


class Fetched:
    """A cursor of SQLite's whose rows are fetched already, until it is sent something again."""

    def __init__(self, cursor: Any, rows: list[Any]) -> None:
        self.cursor = cursor
        self._rows = iter(rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)

    def __iter__(self) -> Any:
        return self._rows

    def execute(self, *given: Any, **named: Any) -> Any:
        """As the cursor's, whose rows come from it then."""
        self._rows = self.cursor
        return self.cursor.execute(*given, **named)

    def executemany(self, *given: Any, **named: Any) -> Any:
        """As the cursor's."""
        self._rows = self.cursor
        return self.cursor.executemany(*given, **named)

    def executescript(self, *given: Any) -> Any:
        """As the cursor's."""
        self._rows = self.cursor
        return self.cursor.executescript(*given)

    def fetchone(self) -> Any:
        """The next row, or None."""
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next rows."""
        return list(islice(self._rows, self.cursor.arraysize if size is None else size))

    def fetchall(self) -> list[Any]:
        """All that are left."""
        return list(self._rows)


def counted(wrapper: Any) -> int:
    """The rows of the statement that one of Django's cursors was sent; -1 where it cannot be told.

    SQLite knows when it has fetched them.
    """
    count = int(wrapper.rowcount)
    if count >= 0 or wrapper.db.vendor != "sqlite" or wrapper.description is None:
        return count
    rows = wrapper.fetchall()
    inner = wrapper.cursor
    wrapper.cursor = Fetched(inner.cursor if isinstance(inner, Fetched) else inner, rows)
    return len(rows)
