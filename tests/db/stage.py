"""One database with an engine of every kind, and a view that reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from apsperf_mw import Suite

TABLES = (
    "CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT)",
    """CREATE TABLE album (id INTEGER PRIMARY KEY, title TEXT,
    artist_id INTEGER REFERENCES artist (id) ON DELETE CASCADE)""",
    "CREATE TABLE other (id INTEGER PRIMARY KEY, name TEXT)",
    """CREATE VIEW shown AS SELECT artist.name, title FROM artist
    JOIN album ON artist.id = artist_id""",
    "INSERT INTO artist VALUES (1, 'one'), (2, 'two'), (3, 'three')",
    "INSERT INTO album VALUES (1, 'first', 1), (2, 'second', 2), (3, 'third', 3)",
    "INSERT INTO other VALUES (1, 'x')",
)


class Plain:
    """An engine that blocks."""

    def __init__(self, url: str, suite: Suite, **options: Any) -> None:
        self.suite = suite
        self.engine = create_engine(url, **options)
        suite.database().attach(self.engine)

    def run(self, *statements: str, then: str = "commit", **options: Any) -> list[Any]:
        """Send these in one transaction; the rows of the last."""
        with self.engine.connect() as opened:
            connection = opened.execution_options(**options)
            rows: list[Any] = []
            for statement in statements:
                result = connection.execute(text(statement))
                rows = [tuple(row) for row in result] if result.returns_rows else []
            getattr(connection, then)()
        return rows

    def dispose(self) -> None:
        self.engine.dispose()


class Tasks:
    """An async one, in a loop that goes on from call to call."""

    def __init__(self, url: str, suite: Suite, **options: Any) -> None:
        self.suite = suite
        self.engine = create_async_engine(url, **options)
        suite.database().attach(self.engine)
        self.runner = asyncio.Runner()

    def run(self, *statements: str, then: str = "commit", **options: Any) -> list[Any]:
        """As the other's."""
        return self.runner.run(self._run(statements, then, options), context=copy_context())

    async def _run(self, statements: tuple[str, ...], then: str, options: Any) -> list[Any]:
        async with self.engine.connect() as opened:
            connection = await opened.execution_options(**options)
            rows: list[Any] = []
            for statement in statements:
                result = await connection.execute(text(statement))
                rows = [tuple(row) for row in result] if result.returns_rows else []
            await getattr(connection, then)()
        return rows

    def dispose(self) -> None:
        self.runner.run(self.engine.dispose())
        self.runner.close()


Stage = Plain | Tasks
Make = Callable[..., Stage]
