"""The app that owns the project's suite."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.signals import setting_changed

from apsperf_mw.settings import nest
from apsperf_mw.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.doctor import Route

NAME = "apsperf_django"
# The app as it was seen last.
_seen: dict[str, Any] = {}


class SuiteConfig(AppConfig):  # type: ignore[misc]
    """Makes the suite from `settings.APSPERF`, when it is asked for first."""

    name = NAME
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
        setting_changed.connect(self._heed, dispatch_uid=NAME)

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
        from apsperf_django import ready

        ready.forget()
        if setting == "MIDDLEWARE":
            from apsperf_django.guards import forget

            forget()
        if setting == "APSPERF":
            suite = self.__dict__.pop("suite", None)
            if suite is not None:
                suite.close()


def suite_made() -> Suite | None:
    """The suite, if there is one already.

    Also where the app is not installed for now, as in a test with other INSTALLED_APPS: its
    connections are the same, and what they write is to be heard.
    """
    config = apps.app_configs.get(NAME)
    if config is None:
        config = _seen.get(NAME)
        if config is None:
            return None
    else:
        _seen[NAME] = config
    suite: Suite | None = config.__dict__.get("suite")
    return suite


def listed() -> Iterable[Route]:
    """The project's routes."""
    from apsperf_django.listing import routes

    return routes()
