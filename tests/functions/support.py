"""What the tests of cached functions share."""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable
from threading import Event
from types import ModuleType
from typing import Any

import anyio

from apsperf_mw import Suite
from apsperf_mw.cache.flights import Flights
from apsperf_mw.drivers.base import AsyncDriver, Driver
from apsperf_mw.testing.dicts import OWN, AsyncDictDriver, DictDriver

PATIENT = {"patience_s": 60.0}


class Kept(DictDriver):
    """Bytes in a dict; a test may break it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        self.check("set")
        assert ttl_s > 0
        self.writes += not key.endswith(OWN)
        return super().set(key, value, ttl_s)

    def close(self) -> None:
        self.clear()


class Suspending(AsyncDictDriver):
    """As `Kept`, with awaits only."""

    inner = Kept
    kept: Kept


def suite_on(driver: Driver | AsyncDriver | None, **cache: Any) -> Suite:
    """A suite on a driver of the test's own, or on memory."""
    if driver is None:
        return Suite(cache={**PATIENT, **cache})
    module: Any = ModuleType("functions_driver_under_test")
    module.make = lambda _: driver
    sys.modules[module.__name__] = module
    try:
        return Suite(cache={**PATIENT, **cache, "driver": f"{module.__name__}:make"})
    finally:
        del sys.modules[module.__name__]


class World:
    """One kind of function on one kind of driver."""

    def __init__(self, way: str, store: str) -> None:
        self.way = way
        made: dict[str, Callable[[], Any]] = {
            "memory": lambda: None,
            "bytes": Kept,
            "suspending": Suspending,
        }
        self.driver = made[store]()
        self.suite = suite_on(self.driver)
        self.local = store == "memory"

    @property
    def kept(self) -> Kept:
        """What holds the bytes."""
        found = self.driver.kept if isinstance(self.driver, Suspending) else self.driver
        assert isinstance(found, Kept)
        return found

    def cached(self, *args: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        """The suite's decorator for a plain body, made async where this world is."""

        def decorate(body: Callable[..., Any]) -> Any:
            function = body if self.way == "plain" else as_async(body)
            return self.suite.cached(*args, **{"version": "1", **options})(function)

        return decorate

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The result of one call."""
        if self.way == "plain":
            return function(*args, **kwargs)

        async def main() -> Any:
            return await function(*args, **kwargs)

        return anyio.run(main, backend=self.way)


def as_async(body: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """The body as an async function of the same signature."""
    from functools import wraps

    @wraps(body)
    async def function(*args: Any, **kwargs: Any) -> Any:
        await anyio.sleep(0)
        return body(*args, **kwargs)

    return function


def followers(flights: Flights) -> int:
    """How many calls wait for another."""
    fleets = list(flights._airborne.values())
    return sum(len(flight.wakers) for fleet in fleets for flight in list(fleet))


def until(true: Callable[[], bool]) -> None:
    """Look again and again, and give the other threads time."""
    for _ in range(20_000):
        if true():
            return
        Event().wait(0.001)
    raise AssertionError("it never came true")


async def auntil(true: Callable[[], bool]) -> None:
    """Look again and again, and give the loop back."""
    with anyio.fail_after(20):
        while not true():
            await anyio.sleep(0.001)


def told(each: object) -> str:
    """A name for a value, the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(each))[:40]
