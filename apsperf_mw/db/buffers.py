"""Rows of SQLAlchemy's statements that are here already."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy


def buffered(columns: Any, rows: Any) -> FullyBufferedCursorFetchStrategy:
    """Rows as those of a cursor that has none left."""
    return FullyBufferedCursorFetchStrategy(None, columns, rows)


def fetch(context: Any, cursor: Any) -> None:
    """Have the rows that a write returns fetched, so that its database commits it now."""
    if cursor is None or cursor.description is None:
        return
    columns, rows = [tuple(column) for column in cursor.description], cursor.fetchall()
    context.cursor_fetch_strategy = buffered(columns, rows)
    context.fetchall_for_returning = lambda _: rows  # of many rows that are inserted at once
