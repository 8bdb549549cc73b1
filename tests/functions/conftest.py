"""Every kind of function on every kind of driver, and a clock that the test moves."""

from __future__ import annotations

import pytest

from tests.core.conftest import Clock, one_clock
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
    return one_clock(monkeypatch, TIMED)


@pytest.fixture(params=WORLDS, ids=" on ".join)
def world(request: pytest.FixtureRequest) -> World:
    return World(*request.param)
