"""The process's memory and CPU, sampled in the background; requests pay nothing."""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.points import Kind, Values
    from apsperf_mw.observe.series import Attributes


class Sample(NamedTuple):
    """One look at the process."""

    pid: int
    at: float
    rss_bytes: int
    virtual_bytes: int
    user_s: float
    system_s: float
    threads: int


class Memory:
    """Has the process sampled every `interval_s` in the exporter's thread."""

    def __init__(self, exporter: MetricsExporter, interval_s: float) -> None:
        self.samples = samples = Samples()
        exporter.every(interval_s, samples.take)
        for name, unit, description, kind, values in samples.instruments():
            exporter.observe(name, unit, description, kind, values)


class Samples:
    """The last two looks at the process."""

    def __init__(self) -> None:
        self.latest: Sample | None = None
        self._before: Sample | None = None

    def instruments(self) -> tuple[tuple[str, str, str, Kind, Values], ...]:
        """What the semantic conventions make of them."""
        return (
            ("process.memory.usage", "By", "Physical memory in use.", "updown", self._rss),
            ("process.memory.virtual", "By", "Committed memory.", "updown", self._virtual),
            ("process.cpu.time", "s", "CPU seconds by mode.", "counter", self._cpu),
            ("process.cpu.utilization", "1", "Share of all CPUs.", "gauge", self._utilization),
            ("process.thread.count", "{thread}", "Threads.", "updown", self._threads),
        )

    def take(self) -> None:
        """Look at the process now."""
        import psutil

        process = psutil.Process()
        with process.oneshot():
            memory = process.memory_info()
            cpu = process.cpu_times()
            threads = process.num_threads()
        self._before = self.latest
        self.latest = Sample(
            process.pid, monotonic(), memory.rss, memory.vms, cpu.user, cpu.system, threads
        )

    def _rss(self) -> Iterator[tuple[float, Attributes]]:
        if self.latest is not None:
            yield self.latest.rss_bytes, {}

    def _virtual(self) -> Iterator[tuple[float, Attributes]]:
        if self.latest is not None:
            yield self.latest.virtual_bytes, {}

    def _cpu(self) -> Iterator[tuple[float, Attributes]]:
        if self.latest is not None:
            yield self.latest.user_s, {"cpu.mode": "user"}
            yield self.latest.system_s, {"cpu.mode": "system"}

    def _utilization(self) -> Iterator[tuple[float, Attributes]]:
        """The share between the last two samples; nothing before this process has taken two."""
        before, latest = self._before, self.latest
        if before is None or latest is None or before.pid != latest.pid:
            return
        available_s = max(latest.at - before.at, 1e-6) * usable_cpus()
        yield (latest.user_s - before.user_s) / available_s, {"cpu.mode": "user"}
        yield (latest.system_s - before.system_s) / available_s, {"cpu.mode": "system"}

    def _threads(self) -> Iterator[tuple[float, Attributes]]:
        if self.latest is not None:
            yield self.latest.threads, {}


def usable_cpus() -> int:
    """The CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
