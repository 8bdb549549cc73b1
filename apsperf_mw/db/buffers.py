"""Rows of SQLAlchemy's statements that are here already."""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import Any

from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy
from sqlalchemy.engine.interfaces import ExecuteStyle

ONCE = ExecuteStyle.EXECUTE


class Unsent:
    """A cursor whose statement was not sent: what it would tell of it is told all the same."""

    __slots__ = ("_cursor", "description", "rowcount")

    def __init__(self, cursor: Any, description: Any, rowcount: int) -> None:
        self._cursor = cursor
        self.description = description
        self.rowcount = rowcount

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class Buffered(FullyBufferedCursorFetchStrategy):
    """Rows as those of a cursor that has none left."""

    __slots__ = ()

    def __init__(self, columns: Any, rows: Any) -> None:
        self.alternate_cursor_description = columns
        self._rowbuffer = deque(rows)


def fetch(context: Any, cursor: Any) -> None:
    """Have the rows that a write returns fetched, so that its database commits it now."""
    if cursor is None or cursor.description is None:
        return
    columns, rows = [tuple(column) for column in cursor.description], cursor.fetchall()
    context.cursor_fetch_strategy = Buffered(columns, rows)
    context.fetchall_for_returning = lambda _: rows  # of many rows that are inserted at once


def may_hold(context: Any) -> bool:
    """Whether all rows of what a context sends may be taken from its cursor before it looks.

    Not where it reads the cursor itself, as for a column's default, and not what is streamed.
    """
    options = context.execution_options
    return not (
        context._is_server_side
        or context.execute_style is not ONCE
        or context.isinsert  # these three are `is_crud`, which is a call
        or context.isupdate
        or context.isdelete
        or options.get("stream_results")
        or options.get("yield_per")
        or not hasattr(context, "unicode_statement")  # it has no statement, but a default alone
        or not is_sqlalchemys(context.__class__)
    )


@lru_cache(maxsize=256)
def is_sqlalchemys(kind: Any) -> bool:
    """Whether nobody else looks at the cursor once a statement was sent."""
    return str(kind.post_exec.__module__).startswith("sqlalchemy.")
