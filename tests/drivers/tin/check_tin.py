"""The tests that come with the third party's driver."""

from __future__ import annotations

from typing import Any

from apsperf_mw.drivers.registry import Registry
from apsperf_mw.testing.drivers import DriverContract


class TestTin(DriverContract):
    def make(self) -> Any:
        return Registry({}).get("tin://test")
