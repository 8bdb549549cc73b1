"""One run of Django's cache tests, with `SuiteCache` where they have the local-memory cache.

`python -m tests.django_suite.run TESTS DRIVER` is a process of its own: Django is set up once.
"""

from __future__ import annotations

import sys
import unittest
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from tests.django_suite.allowed import EXPECTED, OTHERS

BACKEND = "apsperf_django.cache.SuiteCache"
LABELS = (
    "cache",
    "sessions_tests.tests.CacheSessionTests",
    "sessions_tests.tests.CacheDBSessionTests",
    "template_tests.syntax_tests.test_cache",
)
APPS = ("contenttypes", "auth", "sessions", "messages", "sites")


def main(tests: Path, driver: str) -> int:
    """Run them and say what failed; 1 where that is not just what is expected."""
    set_up(tests, driver)
    from django.test.runner import DiscoverRunner

    runner = DiscoverRunner(verbosity=0, interactive=False)
    suite = unittest.TestSuite(wanted(runner.build_suite(list(LABELS))))
    suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(asked_of_all(driver)))
    databases = runner.setup_databases()
    runner.setup_test_environment()
    result = unittest.TextTestRunner(StringIO(), verbosity=0).run(suite)
    runner.teardown_databases(databases)
    return said(result, driver)


def set_up(tests: Path, driver: str) -> None:
    """Django much as its own test runner sets it up, with the suite beside it."""
    sys.path.insert(0, str(tests))
    settings.configure(
        SECRET_KEY="a secret of the tests' own",
        DATABASES={
            name: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
            for name in ("default", "other")
        },
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=[
            *(f"django.contrib.{name}" for name in APPS),
            "cache",
            "sessions_tests",
            "apsperf_django",
        ],
        SITE_ID=1,
        LANGUAGE_CODE="en",
        CACHES={"default": {"BACKEND": BACKEND, "LOCATION": driver}},
        APSPERF={"exporter": {"kind": "none"}, "memory": {"enabled": False}},
        ROOT_URLCONF="urls",
        USE_TZ=False,
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    )
    django.setup()
    from django.core.cache.backends import locmem

    from apsperf_django.cache import SuiteCache

    class InItsPlace(SuiteCache):
        """What the tests have in memory, each location a space of the driver."""

        def __init__(self, location: str, params: dict[str, Any]) -> None:
            options = {**params.get("OPTIONS", {}), "space": location}
            super().__init__(driver, {**params, "OPTIONS": options})

    locmem.LocMemCache = InItsPlace


def asked_of_all(driver: str) -> type[unittest.TestCase]:
    """The tests that Django asks of every back end, asked of ours."""
    from django.test import TestCase, override_settings

    theirs = import_module("cache.tests")
    caches = theirs.caches_setting_for_tests(BACKEND=BACKEND, LOCATION=driver)
    made = type("SuiteCacheTests", (theirs.BaseCacheTests, TestCase), {"__module__": __name__})
    found: Any = override_settings(CACHES=caches)(made)
    return found  # type: ignore[no-any-return]


def wanted(suite: Any) -> list[unittest.TestCase]:
    """The tests that are of no other back end."""
    return [each for each in suite if not type(each).__name__.startswith(OTHERS)]


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def said(result: unittest.TestResult, driver: str) -> int:
    """Print what came of them."""
    traces = {
        each.id().split(" ")[0].rpartition(".")[2]: trace
        for each, trace in (*result.failures, *result.errors)
    }
    failed = traces.keys()
    wrong = sorted(failed - EXPECTED.keys())
    for name in sorted(failed & EXPECTED.keys()):
        say(f"{driver}: {name} is expected to fail: {EXPECTED[name]}")
    for name in wrong:
        say(f"{driver}: {name} FAILED\n{traces[name]}")
    for name in sorted(EXPECTED.keys() - failed):
        say(f"{driver}: {name} passes, though it is expected to fail")
    say(f"{driver}: {result.testsRun} run, {len(result.skipped)} skipped, {len(wrong)} failed")
    return int(bool(wrong) or failed != EXPECTED.keys())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
