"""What the statements of Django's connections cost."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.signals import connection_created
from django.db.backends.utils import CursorWrapper

from apsperf_django.apps import suite_made
from apsperf_django.following import follow, following_of
from apsperf_django.pools import heed
from apsperf_mw.db.explaining import Explainer
from apsperf_mw.db.lazy import check
from apsperf_mw.db.sources import add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.observe.statements import Recorder
    from apsperf_mw.suite import Suite


_callproc = CursorWrapper.callproc


def callproc(cursor: Any, *given: Any, **named: Any) -> Any:
    """As Django's; what a procedure does is not known."""
    try:
        return _callproc(cursor, *given, **named)
    finally:
        following = following_of(cursor.db)
        if following is not None:
            following.anything(cursor.db)


def watch_connections() -> None:
    """Note the statements of connections that are open, and of those that open later."""
    setattr(CursorWrapper, "callproc", callproc)  # noqa: B010 - types would not have it
    connection_created.connect(_watch, dispatch_uid="apsperf_django")
    for connection in connections.all(initialized_only=True):
        _watch(connection)


def _watch(connection: Any, **_: Any) -> None:
    wrappers = connection.execute_wrappers
    if noted not in wrappers:
        wrappers.insert(0, noted)
    follow(connection)
    suite = suite_made()
    if suite is not None and suite.settings.database.record:
        heed(connection, suite.children.statements)


def noted(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """Send the statement on, and note it; `LazyLoad` where that is refused."""
    check()
    connection, text = context["connection"], str(sql)
    recorder = recorder_of(connection)
    following = following_of(connection)
    if following is None:
        return send(recorder, text, execute, sql, params, many, context)
    facts, failed = following.before(text, connection), True
    if facts.keyed is not None:
        keys = following.by_key(facts, connection, params, many=many)
        facts, execute = keys.facts, partial(keys.run, execute)
    try:
        given = send(recorder, text, execute, sql, params, many, context)
        if facts.writes and following.transactions.is_late(facts, connection):
            fetch(context["cursor"])
        failed = False
        return given
    finally:
        following.after(facts, connection, failed=failed)


def send(recorder: Recorder | None, text: str, execute: Callable[..., Any], *given: Any) -> Any:
    """Send a statement, noted where somebody notes it."""
    if recorder is None:
        return execute(*given)
    return recorder.run(text, execute, *given)


class Fetched:
    """A cursor whose rows are here already; all else is the cursor's."""

    def __init__(self, cursor: Any) -> None:
        self.real = cursor
        self._rows: Iterator[Any] = iter(cursor.fetchall())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchone(self) -> Any:
        """The next row, or None."""
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """So many of them."""
        return list(islice(self._rows, self.real.arraysize if size is None else size))

    def fetchall(self) -> list[Any]:
        """All that are left."""
        return list(self._rows)

    def execute(self, *given: Any) -> Any:
        """Another statement, whose rows are the cursor's."""
        self._rows = self.real
        return self.real.execute(*given)

    def executemany(self, *given: Any) -> Any:
        """As `execute`."""
        self._rows = self.real
        return self.real.executemany(*given)


def fetch(wrapper: Any) -> None:
    """Have the rows that a write returns fetched, so that SQLite commits it now."""
    cursor = wrapper.cursor
    if cursor.description is not None:
        wrapper.cursor = Fetched(cursor.real if type(cursor) is Fetched else cursor)


def recorder_of(connection: Any) -> Recorder | None:
    """Who notes the statements of a database; None before there is a suite, and without."""
    suite = suite_made()
    if suite is None or not suite.settings.database.record:
        return None
    recorder = suite.children.statements.of(connection.vendor, connection.alias)
    # One that is none of the project's, by which a test database is made, cannot be had again.
    if recorder.slow is None and connection.alias in connections.settings:
        introduce(suite, connection, recorder)
    return recorder


def introduce(suite: Suite, connection: Any, recorder: Recorder) -> None:
    """Have the plans of slow statements told, and advice given."""
    from apsperf_django.doors import DjangoDoor

    door = DjangoDoor(connection.alias)
    recorder.slow = Explainer(door, suite.channels, suite.background, suite.faults)
    add(suite.children.statements, connection.alias, recorder, door)
