"""What a driver in this process holds, as metrics."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from apsperf_mw.drivers.base import LocalDriver

if TYPE_CHECKING:
    from apsperf_mw.drivers.base import AsyncDriver, Driver
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.points import Kind
    from apsperf_mw.observe.series import Attributes

METRICS: tuple[tuple[str, str, str, Kind, str], ...] = (
    ("apsperf.cache.entries", "{entry}", "Entries in the cache.", "updown", "entries"),
    ("apsperf.cache.size", "By", "Bytes in the cache.", "updown", "size_bytes"),
    ("apsperf.cache.evictions", "{entry}", "Entries evicted.", "counter", "evictions"),
)


def observe_driver(exporter: MetricsExporter, driver: Driver | AsyncDriver) -> None:
    """Have the exporter ask what is in this process; to ask another would take a round trip."""
    near = getattr(driver, "near", None)
    memory = driver if near is None else near.memory
    if isinstance(memory, LocalDriver):
        for name, unit, what, kind, key in METRICS:
            exporter.observe(name, unit, what, kind, partial(_stat, memory, key))


def _stat(driver: LocalDriver, key: str) -> list[tuple[float, Attributes]]:
    return [(driver.stats()[key], {})]
