"""Databases of a program that has no suite of its own, or has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from apsperf_mw.db import database
from apsperf_mw.errors import SettingError
from apsperf_mw.suite import Suite

if TYPE_CHECKING:
    from types import TracebackType


class Database(database.Database):
    """Notes statements, keeps rows and gives advice; with a suite, by its settings and exporter.

    Without one it makes its own, of which the settings are the section `database`. A context
    manager: at its end a suite of its own is closed. `SettingError` for what is not accepted.
    """

    def __init__(self, suite: Suite | None = None, **settings: Any) -> None:
        if suite is not None and settings:
            raise SettingError("suite: given with settings; accepted: one of the two")
        self._own = suite is None
        self.suite = suite or Suite(database=settings)
        parts = self.suite
        super().__init__(parts.children.statements, parts.tables, parts.background, parts.faults)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all engines; a suite that was given stays as it is."""
        if self._own:
            self.suite.close()
