"""The app that owns the project's suite."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.conf import settings
from django.core.signals import setting_changed

from apsperf_mw.settings import nest
from apsperf_mw.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.doctor import Route


class SuiteConfig(AppConfig):  # type: ignore[misc]
    """Makes the suite from `settings.APSPERF`, when it is asked for first."""

    name = "apsperf_django"
    verbose_name = "APSPerf"

    def ready(self) -> None:
        """Have the settings checked with the project's, and heed their change in tests."""
        from apsperf_django import checks  # noqa: F401 - they register themselves
        from apsperf_django.pools import fill_pools
        from apsperf_django.rows import teach
        from apsperf_django.statements import watch_connections

        fill_pools()
        watch_connections()
        teach()
        setting_changed.connect(self._heed, dispatch_uid="apsperf_django")

    @cached_property
    def suite(self) -> Suite:
        """The suite; `SettingError` for a setting that is unknown or not accepted."""
        made = Suite(framework=nest({"APSPERF": getattr(settings, "APSPERF", {})}))
        made.lists = listed
        loads = made.children.statements.loads
        if loads.wanted and made.settings.database.record:
            from apsperf_django.loads import watch

            watch(loads, made.faults)
        return made

    def _heed(self, *, setting: str, **_: Any) -> None:
        """Let a suite go whose settings have changed; handlers made from now on get a new one."""
        if setting == "MIDDLEWARE":
            from apsperf_django.guards import forget

            forget()
        if setting == "APSPERF":
            suite = self.__dict__.pop("suite", None)
            if suite is not None:
                suite.close()


def listed() -> Iterable[Route]:
    """The project's routes."""
    from apsperf_django.listing import routes

    return routes()
