"""What the statements of Django's connections cost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.backends.utils import CursorWrapper

from apsperf_django.following import follow, following_of
from apsperf_mw.db.explaining import Explainer
from apsperf_mw.db.lazy import check
from apsperf_mw.db.sources import add

if TYPE_CHECKING:
    from collections.abc import Callable

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


def noted(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """Send the statement on, and note it; `LazyLoad` where that is refused."""
    check()
    connection, text = context["connection"], str(sql)
    recorder = recorder_of(connection)
    following = following_of(connection)
    facts = None if following is None else following.before(text, connection)
    if following is not None and facts is not None and facts.keyed is not None:
        keys = following.by_key(facts, connection, params, many=many)
        facts, execute = keys.facts, partial(keys.run, execute)
    try:
        if recorder is None:
            return execute(sql, params, many, context)
        return recorder.run(text, execute, sql, params, many, context)
    finally:
        if following is not None and facts is not None:
            following.after(facts, connection)


def recorder_of(connection: Any) -> Recorder | None:
    """Who notes the statements of a database; None before there is a suite, and without."""
    suite: Suite | None = vars(apps.app_configs["apsperf_django"]).get("suite")
    if suite is None or not suite.settings.database.record:
        return None
    recorder = suite.children.statements.of(connection.vendor, connection.alias)
    if recorder.slow is None:
        introduce(suite, connection, recorder)
    return recorder


def introduce(suite: Suite, connection: Any, recorder: Recorder) -> None:
    """Have the plans of slow statements told, and advice given."""
    from apsperf_django.doors import DjangoDoor

    door = DjangoDoor(connection.alias)
    recorder.slow = Explainer(door, suite.channels, suite.background, suite.faults)
    add(suite.children.statements, connection.alias, recorder, door)
