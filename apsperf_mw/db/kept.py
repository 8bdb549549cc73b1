"""Rows read through wrapped connections, kept where that is asked for.

They are kept as the connection's row factory gives them: tuples, `sqlite3.Row` and dictionaries.
Each reader has a list of its own.
"""

from __future__ import annotations

from sqlite3 import Row
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from apsperf_mw.db.drivers import READ_COMMITTED, sqlite_held
from apsperf_mw.db.facts import Facts
from apsperf_mw.db.sharing import Sharing

if TYPE_CHECKING:
    from apsperf_mw.db.followed import Connection
    from apsperf_mw.db.links import Link
    from apsperf_mw.db.results import Asked, Entry
    from apsperf_mw.db.sights import Sight
    from apsperf_mw.db.tables import Tables
    from apsperf_mw.db.wrapped import Following

    Shared = Sharing[Following]

# What parameters may come in.
GIVEN = frozenset({type(None), dict, tuple, list})


class Kept:
    """Of the wrapped connections of one suite."""

    def __init__(self, tables: Tables, following: Following) -> None:
        self._tables = tables
        self._following = following
        self._results = tables.results
        self._shared: WeakKeyDictionary[Sight, Shared] = WeakKeyDictionary()

    def read(
        self, connection: Connection, statement: Any, parameters: Any, cache: Any
    ) -> list[Any]:
        """A statement's rows, which may have been there."""
        shared, asked = self._asked(connection, statement, parameters, cache)
        if shared is None or asked is None:
            return sent(connection, statement, parameters)[0]
        link, real = connection._link, connection._real
        found = shared.find(asked, real, link, idle=is_idle(link, real))
        if found is not None:
            shared.take(found)
            return own(found)
        self._results.counts.misses += 1
        try:
            return self._keep(connection, statement, parameters, asked)
        finally:
            self._results.land(asked)

    def _asked(
        self, connection: Connection, statement: Any, parameters: Any, cache: Any
    ) -> tuple[Shared | None, Asked | None]:
        link, real = connection._link, connection._real
        text = link.kind.text(statement, real)
        asked = self._results.asked(0, text or "", parameters, cache)
        sight = link.sight
        if asked is None or text is None or sight is None or type(parameters) not in GIVEN:
            return None, None
        self._following.begin(link, real)  # what was altered since is heard of
        facts = self._following.facts(link, real, statement)
        looks = (real.row_factory, getattr(real, "text_factory", None))
        if not (facts.fixed and is_hashable(looks)):
            return None, None
        if not (self._following.may_share(link, facts) and sees_now(link, real)):
            self._results.counts.bypasses += 1
            return None, None
        shared = self._sharing(sight)
        # Without parameters a percent sign of psycopg's is one, else it is written as two.
        asked.key = (shared.number, parameters is None, *asked.key, *looks)
        return shared, asked

    def _sharing(self, sight: Sight) -> Shared:
        found = self._shared.get(sight)
        if found is None:
            made: Shared = Sharing(self._tables, self._following)
            made.ear = sight.notifier
            found = self._shared.setdefault(sight, made)
        return found

    def _keep(
        self, connection: Connection, statement: Any, parameters: Any, asked: Asked
    ) -> list[Any]:
        started = perf_counter()
        rows, cursor = sent(connection, statement, parameters)
        took_s = perf_counter() - started
        link = connection._link
        form = form_of(rows)
        if form is not None and not (link.kind.lite and sqlite_held(connection._real)):
            names, plain = form
            facts = Facts(cursor._reads)
            self._results.keep(asked, facts, cursor._began, took_s, names, plain)
        return rows


def sent(connection: Any, statement: Any, parameters: Any) -> tuple[list[Any], Any]:
    """A statement's rows from the database, and the cursor that they came by."""
    cursor = connection.cursor()
    try:
        cursor.execute(statement, *(() if parameters is None else (parameters,)))
        rows = cursor.fetchall() if cursor.description is not None else []
    finally:
        cursor.close()
    return rows, cursor


def is_idle(link: Link, real: Any) -> bool:
    """Whether the connection's transaction has not begun in the database yet."""
    return not link.reading and link.kind.begun(real) is False


def sees_now(link: Link, real: Any) -> bool:
    """Whether the connection's next statement sees what is committed by then."""
    begun = link.kind.begun(real)
    if begun is False:
        return not link.reading
    if begun is None or link.kind.lite or link.sight is None:
        return False
    level = real.isolation_level
    return (link.sight.usual() if level is None else level.name) in READ_COMMITTED


def is_hashable(looks: object) -> bool:
    """Whether a key can be made of them: a factory is any callable."""
    try:
        hash(looks)
    except TypeError:
        return False
    return True


def form_of(rows: list[Any]) -> tuple[tuple[str, ...] | None, list[tuple[Any, ...]]] | None:
    """The names in rows that are dictionaries, and rows to keep; None of other objects."""
    kinds = set(map(type, rows))
    if kinds == {dict}:
        names = tuple(rows[0])
        return names, [tuple(row.values()) for row in rows]
    if all(kind in (tuple, Row) or is_named(kind) for kind in kinds):
        return None, rows.copy()
    return None


def is_named(kind: type) -> bool:
    """Whether it is a named tuple."""
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def own(found: Entry) -> list[Any]:
    """What is kept, as one reader's own."""
    if found.columns is None:
        return list(found.own())
    return [dict(zip(found.columns, row, strict=True)) for row in found.own()]
