"""Both shells, and a clock that the test moves."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.core.support import App

TIMED = (
    "apsperf_mw.asgi",
    "apsperf_mw.asgi_plain",
    "apsperf_mw.wsgi",
    "apsperf_mw.wsgi_plain",
    "apsperf_mw.hooks",
    "apsperf_mw.cache.flow",
    "apsperf_mw.cache.conditional",
    "apsperf_mw.cache.intake",
    "apsperf_mw.cache.making",
    "apsperf_mw.cache.revival",
    "apsperf_mw.cache.shelf",
    "apsperf_mw.cache.faces",
    "apsperf_mw.cache.far",
    "apsperf_mw.cache.leases",
    "apsperf_mw.drivers.memory",
)


class Clock:
    """The monotonic and the wall clock of the suite, standing still until they are moved."""

    def __init__(self) -> None:
        self.now = 10_000.0
        self.wall = 1_800_000_000.0

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.wall += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stop_clocks(monkeypatch)


def stop_clocks(monkeypatch: pytest.MonkeyPatch, *more: str) -> Clock:
    """Have the timed modules, and more of them, go by one clock."""
    return one_clock(monkeypatch, (*TIMED, *more))


def one_clock(monkeypatch: pytest.MonkeyPatch, modules: Iterable[str]) -> Clock:
    """Have the modules go by one clock."""
    clock = Clock()
    for name in modules:
        module = import_module(name)
        if hasattr(module, "monotonic"):
            monkeypatch.setattr(module, "monotonic", lambda: clock.now)
        if hasattr(module, "time"):
            monkeypatch.setattr(module, "time", lambda: clock.wall)
    return clock


def make_client(shell: str, suite: Suite, app: App, **more: Any) -> Client:
    if shell == "wsgi":
        return WSGIClient(suite, app, **more)
    return ASGIClient(suite, app, "trio" if shell == "asgi-trio" else "asyncio")


def unwatched(**settings: Any) -> Suite:
    """A suite that observes nothing."""
    off = {"enabled": False}
    return Suite(timing=off, memory=off, tracing=off, **settings)


@pytest.fixture(params=["asgi", "wsgi"])
def wrap(request: pytest.FixtureRequest) -> Callable[..., Client]:
    """Puts a suite with these settings of the cache round an app, behind each shell in turn.

    Nobody looks on, as most others do in the tests: so both ways of a hit are seen.
    """

    def wrap(app: App, suite: Suite | None = None, **cache: Any) -> Client:
        watches = Suite if cache.get("enabled") is False else unwatched
        return make_client(request.param, suite or watches(cache=cache), app)

    return wrap


@pytest.fixture(params=["asgi", "asgi-trio", "wsgi"])
def crowd(request: pytest.FixtureRequest) -> Callable[..., Client]:
    """As `wrap`, and under trio too: for requests at the same time."""

    def crowd(app: App, suite: Suite | None = None, **cache: Any) -> Client:
        return make_client(request.param, suite or Suite(cache=cache), app)

    return crowd
