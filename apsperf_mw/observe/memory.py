"""The process's memory and CPU, sampled in the background; requests pay nothing."""

from __future__ import annotations

import os
import sys
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple

from apsperf_mw.observe.cgroup import Limits, limits
from apsperf_mw.observe.collecting import instruments, pauses
from apsperf_mw.observe.leaks import LeakWatch
from apsperf_mw.observe.pressure import Pressure
from apsperf_mw.observe.statm import statm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from apsperf_mw.observe.channels import Channels
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.points import Kind, Point, Values
    from apsperf_mw.observe.record import Finished
    from apsperf_mw.settings import MemorySettings


class Sample(NamedTuple):
    """One look at the process."""

    pid: int
    at: float
    rss_bytes: int
    virtual_bytes: int
    user_s: float
    system_s: float
    threads: int
    descriptors: int
    voluntary: int
    involuntary: int
    uptime_s: float


class Memory:
    """Has the process sampled every `interval_s` in the exporter's thread.

    `shed` empties a share of the suite's own caches, and says how many bytes that has freed.
    """

    def __init__(
        self,
        exporter: MetricsExporter,
        settings: MemorySettings,
        channels: Channels,
        shed: Callable[[float], int],
        root: Path | None = None,
    ) -> None:
        self.limits: Callable[[], Limits] = limits if root is None else lambda: limits(root)
        self.samples = samples = Samples(self.limits)
        self.leaks = LeakWatch()
        self.pressure = Pressure(settings.soft_limit, self.limits, shed, channels)
        self._channels = channels
        exporter.every(settings.interval_s, samples.take)
        for each in (*samples.instruments(), *instruments(), *self._instruments()):
            exporter.observe(*each)
        if settings.soft_limit:
            exporter.every(1.0, self.pressure.look)
        if settings.leak_watch and settings.request_ratio:
            exporter.watch(self.watch)
        exporter.in_child(self.leaks.clear)
        exporter.on_start(pauses)

    def watch(self, batch: list[Finished]) -> None:
        """Look at the growth of sampled requests; a suspicion goes to the log."""
        measured = [(each.raw[2], each.costs) for each in batch if each.costs is not None]
        for route, costs in measured:
            if costs.growth_bytes is None:
                continue
            found = self.leaks.add(route, costs.growth_bytes, statm.rss_bytes())
            if found is not None:
                self._channels.leak(*found)

    def _instruments(self) -> tuple[tuple[str, str, str, Kind, Values], ...]:
        return (
            (
                "apsperf.memory.leak_suspicions",
                "{suspicion}",
                "Routes that were suspected of a memory leak.",
                "counter",
                self._suspicions,
            ),
            (
                "apsperf.memory.sheds",
                "{shed}",
                "Times that caches were emptied for want of memory.",
                "counter",
                lambda: [(self.pressure.sheds, {})],
            ),
        )

    def _suspicions(self) -> list[Point]:
        return [(count, {"http.route": route}) for route, count in self.leaks.suspicions.items()]


class Samples:
    """The last two looks at the process."""

    def __init__(self, limits: Callable[[], Limits] = limits) -> None:
        self.latest: Sample | None = None
        self._before: Sample | None = None
        self._limits = limits

    def instruments(self) -> tuple[tuple[str, str, str, Kind, Values], ...]:
        """What the semantic conventions make of them, and the container's limit."""
        return (
            ("process.memory.usage", "By", "Physical memory in use.", "updown", self._rss),
            ("process.memory.virtual", "By", "Committed memory.", "updown", self._virtual),
            ("process.cpu.time", "s", "CPU seconds by mode.", "counter", self._cpu),
            ("process.cpu.utilization", "1", "Share of the CPUs.", "gauge", self._utilization),
            ("process.thread.count", "{thread}", "Threads.", "updown", self._threads),
            (
                "process.unix.file_descriptor.count",
                "{file_descriptor}",
                "Open file descriptors.",
                "updown",
                self._descriptors,
            ),
            (
                "process.context_switches",
                "{context_switch}",
                "Times that the process was taken off a CPU.",
                "counter",
                self._switches,
            ),
            ("process.uptime", "s", "Seconds that the process has run.", "gauge", self._uptime),
            (
                "apsperf.process.memory.limit",
                "By",
                "Memory that the container may use.",
                "updown",
                self._limit,
            ),
            (
                "apsperf.process.memory.utilization",
                "1",
                "Share of the container's memory in use.",
                "gauge",
                self._share,
            ),
            (
                "apsperf.process.allocator.blocks",
                "{block}",
                "Blocks that the interpreter's allocator has given out.",
                "updown",
                lambda: [(sys.getallocatedblocks(), {})],
            ),
        )

    def take(self) -> None:
        """Look at the process now."""
        import psutil

        process = psutil.Process()
        with process.oneshot():
            memory, cpu = process.memory_info(), process.cpu_times()
            switches = process.num_ctx_switches()
            latest = Sample(
                process.pid,
                monotonic(),
                memory.rss,
                memory.vms,
                cpu.user,
                cpu.system,
                process.num_threads(),
                process.num_fds() if hasattr(process, "num_fds") else 0,
                switches.voluntary,
                switches.involuntary,
                time() - process.create_time(),
            )
        self._before, self.latest = self.latest, latest

    def _rss(self) -> Iterator[Point]:
        if self.latest is not None:
            yield self.latest.rss_bytes, {}

    def _virtual(self) -> Iterator[Point]:
        if self.latest is not None:
            yield self.latest.virtual_bytes, {}

    def _cpu(self) -> Iterator[Point]:
        if self.latest is not None:
            yield self.latest.user_s, {"cpu.mode": "user"}
            yield self.latest.system_s, {"cpu.mode": "system"}

    def _utilization(self) -> Iterator[Point]:
        """The share between the last two samples; nothing before this process has taken two."""
        before, latest = self._before, self.latest
        if before is None or latest is None or before.pid != latest.pid:
            return
        available_s = max(latest.at - before.at, 1e-6) * (self._limits().cpus or usable_cpus())
        yield (latest.user_s - before.user_s) / available_s, {"cpu.mode": "user"}
        yield (latest.system_s - before.system_s) / available_s, {"cpu.mode": "system"}

    def _threads(self) -> Iterator[Point]:
        if self.latest is not None:
            yield self.latest.threads, {}

    def _descriptors(self) -> Iterator[Point]:
        if self.latest is not None and self.latest.descriptors:
            yield self.latest.descriptors, {}

    def _switches(self) -> Iterator[Point]:
        if self.latest is not None:
            yield self.latest.voluntary, {"process.context_switch.type": "voluntary"}
            yield self.latest.involuntary, {"process.context_switch.type": "involuntary"}

    def _uptime(self) -> Iterator[Point]:
        if self.latest is not None:
            yield self.latest.uptime_s, {}

    def _limit(self) -> Iterator[Point]:
        if (limit := self._limits().memory_bytes) is not None:
            yield limit, {}

    def _share(self) -> Iterator[Point]:
        limit, used, _ = self._limits()
        if limit and used is not None:
            yield used / limit, {}


def look(memory: Memory | None) -> dict[str, object]:
    """The process's memory now; `uss_bytes` is what it would give back, which takes a while."""
    import psutil

    full = psutil.Process().memory_full_info()
    found = limits() if memory is None else memory.limits()
    return {
        "rss_bytes": full.rss,
        "uss_bytes": full.uss,
        "virtual_bytes": full.vms,
        "limit_bytes": found.memory_bytes,
        "used_bytes": found.used_bytes,
        "allocated_blocks": sys.getallocatedblocks(),
        "suspected_routes": {} if memory is None else dict(memory.leaks.suspicions),
    }


def usable_cpus() -> int:
    """The CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
