"""The process's memory and CPU, sampled in the background; requests pay nothing."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.series import Attributes


class Sample(NamedTuple):
    """One look at the process; `cpu_utilization` is in cores since the sample before."""

    at: float
    rss_bytes: int
    cpu_user_s: float
    cpu_system_s: float
    cpu_utilization: float
    threads: int


class Memory:
    """Takes a sample every `interval_s` in the exporter's thread."""

    def __init__(self, exporter: MetricsExporter, interval_s: float) -> None:
        self.latest: Sample | None = None
        self._exporter = exporter
        exporter.every(interval_s, self.sample)
        observe = exporter.observe
        observe("process.memory.usage", "By", "Physical memory in use.", "updown", self._rss)
        observe("process.cpu.time", "s", "CPU seconds by mode.", "counter", self._cpu)
        observe("process.cpu.utilization", "1", "Cores in use.", "gauge", self._utilization)
        observe("process.thread.count", "{thread}", "Threads.", "updown", self._threads)

    def start(self, _: object) -> None:
        """Have the sampling begin with the first request."""
        if not self._exporter.started:
            self._exporter.start()

    def sample(self) -> None:
        """Look at the process now."""
        import psutil

        process = psutil.Process()
        with process.oneshot():
            rss = process.memory_info().rss
            cpu = process.cpu_times()
            threads = process.num_threads()
        now = monotonic()
        self.latest = Sample(
            now, rss, cpu.user, cpu.system, self._cores(now, cpu.user + cpu.system), threads
        )

    def _cores(self, now: float, cpu_s: float) -> float:
        before = self.latest
        if before is None or now <= before.at:
            return 0.0
        return max(cpu_s - before.cpu_user_s - before.cpu_system_s, 0.0) / (now - before.at)

    def _rss(self) -> Iterator[tuple[float, Attributes]]:
        if self.latest is not None:
            yield self.latest.rss_bytes, {}

    def _cpu(self) -> Iterator[tuple[float, Attributes]]:
        if self.latest is not None:
            yield self.latest.cpu_user_s, {"cpu.mode": "user"}
            yield self.latest.cpu_system_s, {"cpu.mode": "system"}

    def _utilization(self) -> Iterator[tuple[float, Attributes]]:
        if self.latest is not None:
            yield self.latest.cpu_utilization, {}

    def _threads(self) -> Iterator[tuple[float, Attributes]]:
        if self.latest is not None:
            yield self.latest.threads, {}
