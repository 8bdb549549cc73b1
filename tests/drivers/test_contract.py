"""Every driver of ours keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apsperf_mw.drivers.file import FileDriver
from apsperf_mw.drivers.memory import MemoryDriver
from apsperf_mw.drivers.seal import Seals
from apsperf_mw.drivers.sealed import sealed_driver
from apsperf_mw.testing.dicts import AsyncDictDriver, DictDriver
from apsperf_mw.testing.drivers import AsyncDriverContract, DriverContract

SMALL = 2_000_000
SECRET = "not so secret any more"
SEALS = Seals([SECRET])


class TestMemory(DriverContract):
    def make(self) -> MemoryDriver:
        return MemoryDriver()

    def limited(self) -> tuple[MemoryDriver, int]:
        return MemoryDriver(max_bytes=SMALL), SMALL


class Filed(DriverContract):
    """Drivers in a directory of the test's."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cache"

    def make(self) -> Any:
        return FileDriver.from_url(f"file://{self.path}")

    def reopen(self) -> Any:
        return self.make()

    def limited(self) -> tuple[Any, int]:
        return FileDriver.from_url(f"file://{self.path}?max_bytes={SMALL}"), SMALL


class TestFile(Filed):
    pass


class TestSealedFile(Filed):
    def make(self) -> Any:
        return sealed_driver(super().make(), SEALS)

    def limited(self) -> tuple[Any, int]:
        driver, most = super().limited()
        return sealed_driver(driver, SEALS), most


class TestEncipheredFile(TestSealedFile):
    def make(self) -> Any:
        return sealed_driver(Filed.make(self), Seals([SECRET], encrypts=True))


class TestSealedMemory(DriverContract):
    def make(self) -> Any:
        return sealed_driver(MemoryDriver(), SEALS)


class TestDict(DriverContract):
    def make(self) -> DictDriver:
        return DictDriver()


class TestAsyncDict(AsyncDriverContract):
    def make(self) -> AsyncDictDriver:
        return AsyncDictDriver()


class TestSealedAsyncDict(AsyncDriverContract):
    def make(self) -> Any:
        return sealed_driver(AsyncDictDriver(), SEALS)


class TestAsyncDictUnderTrio(TestAsyncDict):
    backend = "trio"


def test_what_is_not_given_has_no_tests_until_it_is() -> None:
    outliving = "test_what_was_kept_is_found_by_the_next_driver"

    class Passing(DriverContract):
        pass

    class Lasting(Passing):
        def reopen(self) -> Any:
            return self.make()

    assert not callable(getattr(Passing, outliving))
    assert callable(getattr(Lasting, outliving))
    assert getattr(Lasting, outliving) is getattr(Filed, outliving)
    assert not callable(vars(Lasting)["test_bytes_are_limited"])

    class Strict(DriverContract):
        def test_bytes_are_limited(self) -> None:
            """Its own."""

    class Below(Strict):
        pass

    assert Below.test_bytes_are_limited is Strict.test_bytes_are_limited
