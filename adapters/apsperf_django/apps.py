"""The app that owns the project's suite."""

from __future__ import annotations

from functools import cached_property

from django.apps import AppConfig
from django.conf import settings

from apsperf_mw.settings import nest
from apsperf_mw.suite import Suite


class SuiteConfig(AppConfig):  # type: ignore[misc]
    """Makes the suite from `settings.APSPERF`."""

    name = "apsperf_django"
    verbose_name = "APSPerf"

    def ready(self) -> None:
        """Fail at start-up, not at the first request, for settings that are wrong."""
        self.suite  # noqa: B018

    @cached_property
    def suite(self) -> Suite:
        """The suite; `SettingError` for a setting that is unknown or not accepted."""
        return Suite(framework=nest({"APSPERF": getattr(settings, "APSPERF", {})}))
