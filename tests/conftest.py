"""For every test: reproducible property tests, and no skip that nobody expects."""

from __future__ import annotations

import gc
import os
import re
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_CASES = 100
# Reasons for which a test may be skipped in CI, as regular expressions.
EXPECTED_SKIPS: tuple[str, ...] = (
    "only root can give a directory away",
    "atheris is not for this system",
    # Where CI may not install packages, or the server is that of a wheel.
    "this PostgreSQL server has no hypopg",
)


# With LINT=1 both sides of the suite are held to their specifications: these break them, or look at
# what is in between.
RULE_BREAKERS = (
    "test_an_unsafe_method_that_succeeds_invalidates[asgi-",
    "test_two_hosts_go_round_the_cache",
    "test_a_split_response_is_not_stored",
    "test_the_package_does_as_the_reference",
    "test_methods_that_are_not_known_are_one",
    "test_one_of_several_apps_is_chosen",
    "test_it_is_off_unless_it_is_switched_on",
    "test_a_wrapped_callable_knows",
    "test_a_body_that_is_not_of_its_length_is_discarded[wsgi-",
    "test_an_exception_amid_the_body_goes_through_and_nothing_is_stored[wsgi-True",
    "test_an_exception_after_the_start_goes_through[wsgi-length",
    "test_only_what_is_of_the_same_origin_becomes_void[wsgi-http://[broken",
    "test_a_cache_that_ends_with_the_command_is_said_to[plain_wsgi",
    "test_each_request_gets_its_own_answer[a short body-wsgi",
    "test_a_user_whom_the_wsgi_server_let_in[REMOTE_USER-None",
)
# What readers of WSGI say of methods that they do not know, and of rules that HTTP has no longer
# (RFC 9110: Location may be relative, a 304 may have fields of its content).
OLD_RULES = (
    "ignore::werkzeug.middleware.lint.HTTPWarning",
    "ignore:Unknown REQUEST_METHOD:wsgiref.validate.WSGIWarning",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave those out where everything is linted."""
    if os.environ.get("LINT") == "1":
        out = [item for item in items if item.name.startswith(RULE_BREAKERS)]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def pytest_configure(config: pytest.Config) -> None:
    """Take N (cases) and SEED from the environment; without SEED every run sees the same cases."""
    seed = _whole_number("SEED")
    cases = _whole_number("N")
    settings.register_profile(
        "apsperf",
        max_examples=DEFAULT_CASES if cases is None else cases,
        derandomize=seed is None,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("apsperf")
    if seed is not None:
        config.option.hypothesis_seed = str(seed)
    _keep_to_itself(config)
    for rule in OLD_RULES if os.environ.get("LINT") == "1" else ():
        config.addinivalue_line("filterwarnings", rule)
    if os.environ.get("CI"):
        config.pluginmanager.register(SkipGuard(), "skip-guard")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Thousands of tests are here to stay: the garbage collector need not walk them each time.

    Nor need it come so often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="module")
def little_to_walk() -> None:
    """As above, of what the tests before have left: for a module that collects again and again."""
    gc.collect()
    gc.freeze()


def _keep_to_itself(config: pytest.Config) -> None:
    """Purges reach all apps of this directory and user, but not those of another test run."""
    usual = tempfile.gettempdir()
    own = tempfile.mkdtemp(prefix="apsperf-tests-")
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", usual)
    os.environ["TMPDIR"] = tempfile.tempdir = own

    def undo() -> None:
        os.environ["TMPDIR"] = tempfile.tempdir = usual
        shutil.rmtree(own, ignore_errors=True)

    config.add_cleanup(undo)


def _whole_number(name: str) -> int | None:
    value = os.environ.get(name, "")
    if value and not (value.isascii() and value.isdigit()):
        raise pytest.UsageError(f"{name} is {value!r}; accepted: a whole number")
    return int(value) if value else None


class SkipGuard:
    """Fails a run in which a test was skipped for a reason outside `EXPECTED_SKIPS`."""

    def __init__(self) -> None:
        self.unexpected: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note whole modules that skip themselves."""
        self._note(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note single tests; an expected failure is not a skip."""
        if not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn success into failure."""
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which, and why the run failed."""
        for line in self.unexpected:
            terminalreporter.write_line(f"UNEXPECTED SKIP {line}", red=True)

    def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if not report.skipped:
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        if not any(re.search(expected, reason) for expected in EXPECTED_SKIPS):
            self.unexpected.append(f"{report.nodeid}: {reason}")


@pytest.fixture(autouse=True, scope="module")
def no_suite_is_left() -> Iterator[None]:
    """Close what a module's tests have left open: threads and callbacks slow all others down."""
    yield
    ours = sys.modules.get("apsperf_mw.suite")
    for suite in () if ours is None else ours.suites():
        suite.exporter.close(0.0)
