"""Asking a database itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def asking(connection: Any) -> Callable[[str], list[tuple[Any, ...]]]:
    """Ask a DB-API connection."""

    def ask(question: str) -> list[tuple[Any, ...]]:
        cursor = connection.cursor()
        try:
            cursor.execute(question)
            rows = cursor.fetchall()
        finally:
            cursor.close()
        return [tuple(row.values()) if hasattr(row, "values") else tuple(row) for row in rows]

    return ask
