"""The contract of `apsperf_mw.drivers.base` as tests, for any driver; needs pytest.

A driver passes if this does:

    from apsperf_mw.testing.drivers import DriverContract

    class TestMine(DriverContract):
        @pytest.fixture(autouse=True)
        def place(self, tmp_path):
            self.url = f"mine://{tmp_path}"

        def make(self):                 # on an empty store
            return Mine.from_url(self.url)

        def reopen(self):               # the same store again, where it outlives its driver
            return Mine.from_url(self.url)

        def limited(self):              # and its bytes, where it is bounded
            return Mine.from_url(f"{self.url}/small?max_bytes=1000000"), 1_000_000

Where `reopen` or `limited` does not apply, leave it out: the tests that need it are then absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from anyio.from_thread import start_blocking_portal

from apsperf_mw.testing.contract.base import MINUTE_S, Opened
from apsperf_mw.testing.contract.crowds import THREADS, Crowds, Exclusive, Forks
from apsperf_mw.testing.contract.rights import Leases, Tags
from apsperf_mw.testing.contract.values import Counts, Values

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.drivers.base import AsyncDriver


class DriverContract(Values, Counts, Leases, Tags, Crowds, Exclusive, Forks):
    """For the blocking face of a driver."""


class AsyncDriverContract(Values, Leases, Tags, Crowds):
    """For an async face: its calls are made in a loop of `backend`, which runs in a thread."""

    backend = "asyncio"

    def opened(self, driver: Any) -> Opened:
        """The driver with its loop."""
        return Afloat(driver, self.backend)

    def test_exclusive_keeps_others_out_and_lets_itself_in(self, driver: Any) -> None:
        """As of the blocking face: tasks, not threads, keep each other out."""
        far: AsyncDriver = driver.far

        async def count() -> None:
            for _ in range(5):
                async with far.aexclusive(), far.aexclusive():
                    was = int(await far.aget(b"n") or b"-1")
                    await far.aset(b"n", b"%d" % (was + 1), MINUTE_S)

        async def crowd() -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(THREADS):
                    tasks.start_soon(count)

        driver.set(b"n", b"0", MINUTE_S)
        driver.run(crowd)
        assert driver.get(b"n") == b"%d" % (5 * THREADS)


class Afloat(Opened):
    """An async driver and the loop that it is called in, for the length of a block."""

    def __init__(self, driver: AsyncDriver, backend: str) -> None:
        super().__init__(driver)
        self._portal = start_blocking_portal(backend)

    def __enter__(self) -> Any:
        called = Called(self.driver, self._portal.__enter__().call)
        self._called = called.__getattr__
        return called

    def __exit__(self, *fault: object) -> None:
        try:
            self._called("close")()
        finally:
            self._portal.__exit__(None, None, None)


class Called:
    """An async driver's methods, without their `a`, as functions that wait for them."""

    def __init__(self, far: AsyncDriver, run: Callable[..., Any]) -> None:
        self.far = far
        self.run = run

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.far, f"a{name}")
        return lambda *args: self.run(method, *args)
