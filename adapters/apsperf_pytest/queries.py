"""How many statements a piece of code sends, and of which shapes."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from apsperf_mw.observe.children import listening
from apsperf_mw.observe.fingerprints import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_SHOWN = 10


class Queries:
    """What has been sent so far; `len` of it is how many."""

    def __init__(self) -> None:
        self.shapes: Counter[str] = Counter()

    def __len__(self) -> int:
        return self.shapes.total()

    def note(self, text: Any, *_: Any) -> None:
        """One more."""
        self.shapes[shape_of(str(text))] += 1

    def __str__(self) -> str:
        listed = [f"{count:5} x {shape}" for shape, count in self.shapes.most_common(MOST_SHOWN)]
        more = len(self.shapes) - MOST_SHOWN
        return "\n".join([*listed, *([f"and {more} more shapes"] if more > 0 else [])])


@contextmanager
def counted() -> Iterator[Queries]:
    """Count the statements that any thread sends inside.

    Those of Django's and of SQLAlchemy's connections, and those told to `suite.statement`.
    """
    queries = Queries()
    with ExitStack() as stack:
        stack.enter_context(listening(queries.note))
        if "sqlalchemy" in sys.modules:
            stack.enter_context(_of_sqlalchemy(queries))
        if "django.db" in sys.modules:
            _of_django(queries, stack)
        yield queries


@contextmanager
def assert_max_queries(most: int) -> Iterator[Queries]:
    """Fail where more statements are sent inside; the message lists them by shape."""
    with counted() as queries:
        yield queries
    if len(queries) > most:
        raise AssertionError(f"{len(queries)} queries, {most} at most:\n{queries}")


@contextmanager
def _of_sqlalchemy(queries: Queries) -> Iterator[None]:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def heard(connection: Any, cursor: Any, statement: str, *_: Any) -> None:  # noqa: ARG001
        queries.note(statement)

    event.listen(Engine, "before_cursor_execute", heard)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", heard)


def _of_django(queries: Queries, stack: ExitStack) -> None:
    """Of every thread's connections: those that are open, and those that open meanwhile."""
    from django.db.backends.utils import CursorWrapper

    real = CursorWrapper._execute_with_wrappers

    def heard(cursor: Any, sql: Any, params: Any, many: Any, executor: Any) -> Any:
        queries.note(sql)
        return real(cursor, sql, params, many, executor)

    setattr(CursorWrapper, "_execute_with_wrappers", heard)  # noqa: B010 - whose it is for now
    stack.callback(setattr, CursorWrapper, "_execute_with_wrappers", real)
