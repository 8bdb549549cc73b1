"""The pytest plugin: fixtures for apps that have a suite. It loads nothing until one is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from apsperf_mw.suite import Suite
    from apsperf_pytest.captured import Captured
    from apsperf_pytest.clock import Clock
    from apsperf_pytest.queries import Queries

MARK = "apsperf_no_cache"


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker means."""
    config.addinivalue_line("markers", f"{MARK}: the test runs with the caches of suites off")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Switch caches off for a test that bears the marker, and for its fixtures."""
    if item.get_closest_marker(MARK) is None:
        return (yield)
    from apsperf_pytest.switch import caches_off

    with caches_off():
        return (yield)


@pytest.fixture
def apsperf_suite() -> Iterator[Suite]:
    """A suite for one test: in memory, empty, with everything traced and exported into memory.

    Override it to have the other fixtures look at the suite of your app.
    """
    from apsperf_mw.suite import Suite

    made = Suite(
        default="memory",
        cache={"purge_file": "none"},
        exporter={"kind": "memory"},
        tracing={"sample_ratio": 1.0},
    )
    yield made
    made.close()


@pytest.fixture
def apsperf_clock() -> Iterator[Clock]:
    """A clock that the test moves: `apsperf_clock.move(60)`."""
    from apsperf_pytest.clock import Clock

    clock = Clock()
    clock.set_up()
    try:
        yield clock
    finally:
        clock.tear_down()


@pytest.fixture
def apsperf_captured(apsperf_suite: Suite) -> Captured:
    """What `apsperf_suite` has exported: `spans(name)`, `points(metric)`, `total(metric)`."""
    from apsperf_pytest.captured import Captured

    return Captured(apsperf_suite)


@pytest.fixture
def apsperf_isolated() -> None:
    """Every suite of this process, emptied of responses before the test."""
    from apsperf_mw.suite import suites

    for suite in suites():
        suite.purge(everything=True, hard=True)


@pytest.fixture
def assert_max_queries() -> Callable[[int], AbstractContextManager[Queries]]:
    """A context that fails where more statements are sent in it than it is called with."""
    from apsperf_pytest.queries import assert_max_queries as found

    return found
