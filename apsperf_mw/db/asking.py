"""Asking a database itself."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
    """Ask a DB-API connection to PostgreSQL that nobody else has, in one transaction."""
    ask, first = asking(connection), iter([True])

    def ask_briefly(question: str) -> list[tuple[Any, ...]]:
        if next(first, False):
            cursor = connection.cursor()
            try:
                if getattr(connection, "autocommit", False) is True:
                    cursor.execute("BEGIN")  # the setting is to end with it, behind a pooler too
                cursor.execute(PATIENCE)
            finally:
                cursor.close()
        return ask(question)

    return ask_briefly


@contextmanager
def asking_apart(
    reach: Callable[[], Any], *, briefly: bool
) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Ask on a connection that nobody else has: a question that fails spoils nothing.

    It is opened for the first question, as most texts need none, and serves all of them.
    """
    with ExitStack() as stack:
        asks: list[Callable[[str], list[tuple[Any, ...]]]] = []

        def ask(question: str) -> list[tuple[Any, ...]]:
            if not asks:
                connection = stack.enter_context(closing(reach()))
                asks.append((asking_briefly if briefly else asking)(connection))
            return asks[0](question)

        yield ask
