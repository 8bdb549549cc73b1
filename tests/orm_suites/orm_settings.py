"""Settings for Django's own test runner: as it has them, with a tally, and the suite if asked to.

`ORM_MODE` as in `keeping`; `ORM_PORT` is that of a PostgreSQL server, else it is SQLite.
"""

# What is imported by its bare name is on the path of their runner alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import os
import sys
from typing import Any

from keeping import EAGER, MODE, SETTINGS, keep_all, times_now, write  # type: ignore[import-not-found]
from test_sqlite import *  # type: ignore[import-not-found] # noqa: F403 - Django's own
from transparent_settings import Result  # type: ignore[import-not-found]
from transparent_settings import Runner as Tallying

TEST_RUNNER = "orm_settings.Runner"
APSPERF = SETTINGS
if port := os.environ.get("ORM_PORT"):
    DATABASES = {
        name: {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": f"orm_{name}_{MODE}",
            "USER": "apsperf",
            "HOST": "127.0.0.1",
            "PORT": port,
        }
        for name in ("default", "other")
    }
if MODE != "bare":
    vars(sys.modules["__main__"])["ALWAYS_INSTALLED_APPS"].append("apsperf_django")


class Runner(Tallying):  # type: ignore[misc]
    """Django's, with the tally."""

    suite: Any = None

    def setup_test_environment(self, **kwargs: Any) -> None:
        """Have the suite there before the first statement."""
        super().setup_test_environment(**kwargs)
        if MODE != "bare":
            from apsperf_django import get_suite

            self.suite = get_suite()
        if EAGER:
            keep_all()

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        """Time the tests alone."""
        self.began = times_now()
        return super().run_suite(suite, **kwargs)

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> Any:
        """Write the tally down."""
        outcomes = dict(Result.outcomes)
        outcomes |= {test.id(): "skipped" for test, _ in result.skipped}
        outcomes |= {test.id(): "expected to fail" for test, _ in result.expectedFailures}
        outcomes |= {test.id(): "expected to fail: passed" for test in result.unexpectedSuccesses}
        write(outcomes, self.began, self.suite)
        return len(result.failures) + len(result.errors)
