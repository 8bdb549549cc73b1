"""Connections to Django's databases that nobody else has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections

from apsperf_django.following import PLACES, apart, place

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

T = TypeVar("T")


class DjangoDoor:
    """Of the database with this alias."""

    lives = True

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self.system = connections[alias].vendor

    def leads_to(self, engine: object) -> bool:
        """Whether it is this alias, or a connection of it."""
        return engine == self._alias or getattr(engine, "alias", None) == self._alias

    def through(self, work: Callable[[Any], T]) -> T:
        """What the work gives for a driver's connection, which is closed after it."""
        return apart(connections[self._alias], work)

    def copied(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What it gives for a connection from which all rows can be copied."""
        known = connections[self._alias]
        if known.is_in_memory_db():
            known.ensure_connection()
            return work(known.connection)
        return self.through(work)

    def plain(self, text: str) -> str:
        """Django's places for values, as SQLite has them."""
        return PLACES.sub(place, text) if self.system == "sqlite" else text

    def prepare(self, connection: sqlite3.Connection) -> None:
        """The functions that Django has SQLite know."""
        from django.db.backends.sqlite3 import _functions

        _functions.register(connection)
