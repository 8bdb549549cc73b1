"""What the parts of the contract stand on: `make`, `reopen`, and child processes."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from select import select
from signal import SIGKILL
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.drivers.base import Driver

    Test = TypeVar("Test", bound=Callable[..., None])

MINUTE_S = 60.0
# What a child takes at most.
LONGEST_S = 30.0


class Absent:
    """Stands where a test would, which pytest then does not see."""

    def __init__(self, test: Any) -> None:
        self.test = test


def needs(given: str) -> Callable[[Test], Test]:
    """Mark a test that is there only in classes that give this method."""

    def mark(test: Test) -> Test:
        test.needs = given  # type: ignore[attr-defined]
        return test

    return mark


class Contract:
    """What a subclass gives; everything else is tests.

    Without `reopen` or `limited` the tests that need it are absent, not skipped.
    """

    # A time to live that the driver can tell from twice as long.
    short_s = 0.1

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for name in dir(cls):
            found = getattr(cls, name) if name.startswith("test_") else None
            test = found.test if isinstance(found, Absent) else found
            given = getattr(test, "needs", None)
            if given:
                is_given = getattr(cls, given) is not getattr(Contract, given)
                setattr(cls, name, test if is_given else Absent(test))

    def make(self) -> Any:
        """A driver on an empty store."""
        raise NotImplementedError

    def reopen(self) -> Any:
        """Another driver on the store of the last `make`; for stores that outlive their driver."""
        raise NotImplementedError

    def limited(self) -> tuple[Any, int]:
        """A driver on an empty store of few bytes, and how many; for stores with a limit."""
        raise NotImplementedError

    @pytest.fixture
    def driver(self) -> Iterator[Driver]:
        """A driver on an empty store."""
        with self.opened(self.make()) as driver:
            yield driver

    def opened(self, driver: Any) -> Opened:
        """The blocking form of a driver; it is closed at the end."""
        return Opened(driver)

    def another(self) -> Opened:
        """What `reopen` gives; it is closed at the end."""
        return self.opened(self.reopen())

    def wait_out(self) -> None:
        """Wait until what has `short_s` to live is over."""
        sleep(self.short_s * 1.5)


class Opened:
    """A driver that is closed at the end of a block."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def __enter__(self) -> Driver:
        return self.driver  # type: ignore[no-any-return]

    def __exit__(self, *fault: object) -> None:
        self.driver.close()


class Child:
    """A forked process that runs a call; what it says ends up in `result`."""

    def __init__(self, call: Callable[[], bytes]) -> None:
        self._reads, writes = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
            self.pid = os.fork()
        if self.pid == 0:
            _run(call, writes)
        os.close(writes)

    def result(self) -> bytes:
        """What the call returned; an `AssertionError` where it raised or hangs."""
        with os.fdopen(self._reads, "rb") as pipe:
            if not select([pipe], [], [], LONGEST_S)[0]:
                os.kill(self.pid, SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError("the child hangs: a lock may have been taken as it was forked")
            told = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, told.decode("utf-8", "replace")
        return told


def _run(call: Callable[[], bytes], writes: int) -> None:
    status = 1
    try:
        os.write(writes, call())
        status = 0
    except BaseException:
        os.write(writes, traceback.format_exc().encode()[-4000:])
    finally:
        sys.stdout.flush()
        os._exit(status)


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
