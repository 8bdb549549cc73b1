"""What the tests of data caches share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from apsperf_mw import Suite
from apsperf_mw.data.cache import DataCache
from apsperf_mw.drivers.base import AsyncDriver, Driver
from tests.functions.support import Kept, Suspending

QUIET: dict[str, Any] = {"exporter": {"kind": "none"}, "memory": {"enabled": False}}


class Shared(Kept):
    """As `Kept`, and other processes would see it."""

    shared = True


class SharedSuspending(Suspending):
    inner = Shared
    shared = True


def suite_with(driver: Driver | AsyncDriver | None = None, **more: Any) -> Suite:
    """A suite with a driver `theirs` of the test's own."""
    cache = {"patience_s": 60.0, **more.pop("cache", {})}
    suite = Suite(cache=cache, **QUIET, **more)
    if driver is not None:
        suite.registry.register("theirs", lambda _: driver)
    return suite


class Shop:
    """A cache on one kind of driver, used from threads or from tasks of one kind of loop."""

    def __init__(self, way: str, store: str, place: Path) -> None:
        made: dict[str, Callable[[], Any]] = {
            "bytes": Kept,
            "shared": Shared,
            "suspending": Suspending,
            "shared suspending": SharedSuspending,
        }
        self.way = way
        self.driver = made[store]() if store in made else None
        self.suite = suite_with(self.driver, drivers={"file": f"file://{place}/cache"})
        self.store = "theirs" if store in made else store
        self.cache = self.open()

    def open(self, **more: Any) -> DataCache:
        """A cache in the store."""
        return self.suite.cache(self.store, **more)

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        """A verb of the cache, through the face that this shop uses."""
        return lambda *args, **kwargs: self.on(self.cache, verb, *args, **kwargs)

    def on(self, cache: DataCache, verb: str, *args: Any, **kwargs: Any) -> Any:
        """What a verb of a cache gives."""
        if self.way == "plain":
            return getattr(cache, verb)(*args, **kwargs)

        async def main() -> Any:
            return await getattr(cache, f"a{verb}")(*args, **kwargs)

        return anyio.run(main, backend=self.way)

    def break_with(self, fault: BaseException | None) -> None:
        """Have every call of the driver raise it."""
        assert self.driver is not None
        self.driver.broken = fault
