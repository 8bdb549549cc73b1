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


# No question to PostgreSQL waits for long: the app itself may hold the lock that it waits for.
PATIENCE = "SET LOCAL lock_timeout = 200"


def asking_briefly(connection: Any) -> Callable[[str], list[tuple[Any, ...]]]:
    """Ask a DB-API connection to PostgreSQL that nobody else has."""

    def ask(question: str) -> list[tuple[Any, ...]]:
        cursor = connection.cursor()
        try:
            if getattr(connection, "autocommit", False) is True:
                cursor.execute("BEGIN")  # the setting is to end with it, behind a pooler too
            cursor.execute(PATIENCE)
        finally:
            cursor.close()
        return asking(connection)(question)

    return ask
