"""Settings for Django's own test runner: as it has them, with a tally, and wrapped if asked to."""

from __future__ import annotations

import json
import os
import unittest
from collections import Counter
from pathlib import Path
from typing import Any

from django.test.runner import DiscoverRunner
from test_sqlite import *  # type: ignore[import-not-found] # noqa: F403 - Django's own

OURS = "apsperf_django.middleware.SuiteMiddleware"
TEST_RUNNER = "transparent_settings.Runner"
requests: Counter[str] = Counter()
made: Counter[str] = Counter()


class Result(unittest.TextTestResult):
    """Keeps each test's outcome."""

    outcomes: dict[str, str] = {}

    def addSuccess(self, test: Any) -> None:  # noqa: N802 - unittest's name
        """It passed; a subtest that failed before counts."""
        super().addSuccess(test)
        self.outcomes.setdefault(test.id(), "passed")

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802 - unittest's name
        """It failed."""
        super().addFailure(test, err)
        self.outcomes[test.id()] = "failed"

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802 - unittest's name
        """It could not be run to its end."""
        super().addError(test, err)
        self.outcomes[test.id()] = "failed"

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802 - unittest's name
        """A part of it."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.outcomes[test.id()] = "failed"


class Runner(DiscoverRunner):  # type: ignore[misc]
    """Django's, with the tally."""

    def setup_test_environment(self, **kwargs: Any) -> None:
        """Wrap every handler that is made from now on."""
        super().setup_test_environment(**kwargs)
        if os.environ.get("TRANSPARENCY_WRAP"):
            wrap()

    def get_resultclass(self) -> Any:
        """What keeps outcomes."""
        return Result

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> Any:
        """Write the tally down."""
        tally = {
            "outcomes": Result.outcomes,
            "requests": requests,
            "apps": made["suites"],
        }
        Path(os.environ["TRANSPARENCY_TALLY"]).write_text(json.dumps(tally), "utf-8")
        return super().suite_result(suite, result, **kwargs)


def wrap() -> None:
    """Put the middleware first, whatever a test's MIDDLEWARE is, a suite for each handler."""
    from django.conf import settings
    from django.core.handlers.base import BaseHandler
    from wrapping import SETTINGS  # type: ignore[import-not-found]

    import apsperf_django.middleware as ours
    from apsperf_mw import Suite

    load = BaseHandler.load_middleware

    def suite() -> Suite:
        fresh = Suite(**SETTINGS)
        made["suites"] += 1
        fresh.hooks.ends = (*fresh.hooks.ends, lambda x: requests.update([x.result]))
        return fresh

    def load_wrapped(self: Any, is_async: bool = False) -> None:
        before = settings.MIDDLEWARE
        settings.MIDDLEWARE = [OURS, *before]
        try:
            load(self, is_async)
        finally:
            settings.MIDDLEWARE = before

    setattr(ours, "get_suite", suite)  # noqa: B010 - it is not exported there
    BaseHandler.load_middleware = load_wrapped
