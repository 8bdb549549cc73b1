"""psycopg's own cursors, whose statements are noted."""

from __future__ import annotations

from inspect import iscoroutinefunction
from time import perf_counter
from typing import TYPE_CHECKING, Any

from apsperf_mw.db.kinds import psycopg_text
from apsperf_mw.observe.statements import rows_of

if TYPE_CHECKING:
    from apsperf_mw.observe.statements import Recorder


class Noting:
    """Has connections' cursors tell a recorder of what they send."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._kinds: dict[Any, Any] = {}

    def note(self, connection: Any) -> None:
        """From now on; of those that the server keeps nothing is told."""
        kind = connection.cursor_factory
        if kind not in self._kinds:
            make = _asynchronous if iscoroutinefunction(kind.execute) else _plain
            self._kinds[kind] = make(kind, self._recorder)
        connection.cursor_factory = self._kinds[kind]


def _plain(kind: Any, recorder: Recorder) -> Any:
    class Noted(kind):  # type: ignore[misc]
        def execute(self, query: Any, *given: Any, **named: Any) -> Any:
            text = text_of(query, self)
            return recorder.run(text, super().execute, query, *given, **named)

        def executemany(self, query: Any, *given: Any, **named: Any) -> Any:
            text = text_of(query, self)
            return recorder.run(text, super().executemany, query, *given, **named)

    return Noted


def _asynchronous(kind: Any, recorder: Recorder) -> Any:
    class Noted(kind):  # type: ignore[misc]
        async def execute(self, query: Any, *given: Any, **named: Any) -> Any:
            return await _noted(recorder, self, super().execute, query, given, named)

        async def executemany(self, query: Any, *given: Any, **named: Any) -> Any:
            return await _noted(recorder, self, super().executemany, query, given, named)

    return Noted


async def _noted(
    recorder: Recorder, cursor: Any, execute: Any, query: Any, given: Any, named: Any
) -> Any:
    text, started = text_of(query, cursor), perf_counter()
    try:
        made = await execute(query, *given, **named)
    except BaseException as fault:
        recorder.note(text, perf_counter() - started, type(fault).__qualname__, given)
        raise
    recorder.note(text, perf_counter() - started, "", given, rows_of(cursor))
    return made


def text_of(query: Any, cursor: Any) -> str:
    """The statement as text, whatever form psycopg takes it in."""
    text = psycopg_text(query, cursor)
    return str(query) if text is None else text
