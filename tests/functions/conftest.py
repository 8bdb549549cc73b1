"""Every kind of function on every kind of driver, and a clock that the test moves."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.core.conftest import Clock
from tests.functions.support import World

TIMED = ("apsperf_mw.cache.calls", "apsperf_mw.cache.stores", "apsperf_mw.drivers.memory")
WORLDS = (
    ("plain", "memory"),
    ("plain", "bytes"),
    ("asyncio", "memory"),
    ("asyncio", "bytes"),
    ("asyncio", "suspending"),
    ("trio", "memory"),
    ("trio", "bytes"),
    ("trio", "suspending"),
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for name in TIMED:
        module = import_module(name)
        if hasattr(module, "monotonic"):
            monkeypatch.setattr(module, "monotonic", lambda: clock.now)
        if hasattr(module, "time"):
            monkeypatch.setattr(module, "time", lambda: clock.wall)
    return clock


@pytest.fixture(params=WORLDS, ids=" on ".join)
def world(request: pytest.FixtureRequest) -> World:
    return World(*request.param)
