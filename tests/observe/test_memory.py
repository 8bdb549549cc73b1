"""The process as it is sampled, the container's limits, leaks, and what gives way first."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.errors import APSPerfError
from apsperf_mw.observe.cgroup import Limits, limits
from apsperf_mw.observe.leaks import LEAST_BYTES, MOST_ROUTES, WINDOW, WINDOWS, LeakWatch
from apsperf_mw.observe.pressure import FIRST_SHARE, REST_LOOKS, Pressure
from apsperf_mw.observe.statm import Statm
from tests.observe.support import MINUTE, ROOT, SERVED, page, plain, points

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from apsperf_mw.testing.harness import Client

    Wrap = Callable[..., Client]

MIB = 1 << 20


def plant(root: Path, files: dict[str, str]) -> Path:
    """A tree of the files that tell of control groups."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = "sys/fs/cgroup/"
TREES: list[tuple[dict[str, str], Limits]] = [
    ({}, Limits()),
    (
        {
            "proc/self/cgroup": "0::/pod/app\n",
            V2 + "pod/app/memory.max": "max\n",
            V2 + "pod/app/memory.current": "999\n",
            V2 + "pod/memory.max": f"{512 * MIB}\n",
            V2 + "pod/memory.current": f"{300 * MIB}\n",
            V2 + "pod/memory.stat": f"anon 1\ninactive_file {100 * MIB}\n",
            V2 + "pod/app/cpu.max": "150000 100000\n",
            V2 + "pod/cpu.max": "max 100000\n",
        },
        Limits(512 * MIB, 200 * MIB, 1.5),
    ),
    (  # within a namespace the group is at the top
        {
            "proc/self/cgroup": "0::/\n",
            V2 + "memory.max": "1000\n",
            V2 + "memory.current": "100\n",
            V2 + "cpu.max": "50000 100000\n",
        },
        Limits(1000, 100, 0.5),
    ),
    (
        {
            "proc/self/cgroup": "4:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n1:name=systemd:/\n",
            V2 + "memory/docker/a/memory.limit_in_bytes": "2000\n",
            V2 + "memory/docker/a/memory.usage_in_bytes": "500\n",
            V2 + "memory/docker/a/memory.stat": "total_inactive_file 100\n",
            V2 + "memory/memory.limit_in_bytes": "9223372036854771712\n",
            V2 + "cpu/docker/a/cpu.cfs_quota_us": "200000\n",
            V2 + "cpu/docker/a/cpu.cfs_period_us": "100000\n",
            V2 + "cpu/cpu.cfs_quota_us": "-1\n",
            V2 + "cpu/cpu.cfs_period_us": "100000\n",
        },
        Limits(2000, 400, 2.0),
    ),
    (  # the lowest limit counts, with what is used below it
        {
            "proc/self/cgroup": "0::/a/b\n",
            V2 + "a/b/memory.max": "3000\n",
            V2 + "a/b/memory.current": "10\n",
            V2 + "a/memory.max": "1000\n",
            V2 + "a/memory.current": "20\n",
        },
        Limits(1000, 20, None),
    ),
    (
        {
            "proc/self/cgroup": "junk\n0::/../../etc\n:::\n",
            V2 + "memory.max": "many\n",
            V2 + "cpu.max": "0 0\n",
        },
        Limits(),
    ),
]


@pytest.mark.parametrize(("files", "told"), TREES)
def test_the_limits_of_control_groups(tmp_path: Path, files: Any, told: Limits) -> None:
    assert limits(plant(tmp_path, files)) == told


def test_the_process_is_told_by_the_conventions(wrap: Wrap) -> None:
    client = wrap(plain)
    client.ask()
    gc.collect()
    names = [
        "process.memory.usage",
        "process.memory.virtual",
        "process.cpu.time",
        "process.thread.count",
        "process.unix.file_descriptor.count",
        "process.context_switches",
        "process.uptime",
        "cpython.gc.collections",
        "cpython.gc.collected_objects",
        "cpython.gc.uncollectable_objects",
        "apsperf.process.allocator.blocks",
    ]
    found = {name: points(client, name) for name in names}
    assert all(found.values()), found
    generations = [each.attributes["cpython.gc.generation"] for each in found[names[7]]]
    assert generations == [0, 1, 2]
    kinds = {each.attributes["process.context_switch.type"] for each in found[names[5]]}
    assert kinds == {"voluntary", "involuntary"}


def test_pauses_of_the_collector_are_timed_until_the_suite_is_closed() -> None:
    before = list(gc.callbacks)
    suite = Suite(exporter={"kind": "memory"})
    assert gc.callbacks == before
    suite.exporter.start()
    assert len(gc.callbacks) == len(before) + 1
    gc.collect()
    assert suite.flush(20)
    memory = suite.exporter.memory
    assert memory is not None
    told = memory.points("apsperf.gc.pause")
    assert 2 in [each.attributes["cpython.gc.generation"] for each in told]
    suite.close()
    assert gc.callbacks == before


def test_a_suite_that_is_collected_leaves_no_callback() -> None:
    before = list(gc.callbacks)
    suite = Suite(exporter={"kind": "none"})
    suite.exporter.start()
    del suite
    for _ in range(100):
        gc.collect()
        if not left(before):
            break
        sleep(0.1)  # its thread is at work for the first time
    assert not left(before)


def left(before: list[Any]) -> list[Any]:
    """The callbacks that have come since; those of other tests' suites may go meanwhile."""
    return [each for each in gc.callbacks if each not in before]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_resident_memory_by_a_kept_descriptor() -> None:
    import psutil

    read = Statm()
    assert abs(read.rss_bytes() - psutil.Process().memory_info().rss) < 8 * MIB
    descriptor = read._descriptor
    held = bytearray(32 * MIB)
    held[::4096] = b"x" * len(held[::4096])
    assert abs(read.rss_bytes() - psutil.Process().memory_info().rss) < 8 * MIB
    assert read._descriptor == descriptor
    child = os.fork()
    if child == 0:
        more = bytearray(64 * MIB)
        more[::4096] = b"x" * len(more[::4096])
        right = abs(read.rss_bytes() - psutil.Process().memory_info().rss) < 8 * MIB
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    os.close(descriptor)
    assert read.rss_bytes() == 0
    read._descriptor = -1
    assert read.rss_bytes() > 0


def fed(watch: LeakWatch, samples: int, growth: Callable[[int], float], rss: Any) -> int | None:
    """After how many samples of a route it was suspected."""
    for n in range(samples):
        if watch.add("/route", growth(n), rss(n)) is not None:
            return n + 1
    return None


@pytest.mark.parametrize("seed", range(10))
def test_a_leak_of_a_kilobyte_is_seen_within_a_thousand_samples(seed: int) -> None:
    draw = random.Random(seed)
    # Memory grows by pages: of 1 KB a request one in four shows, amid others' comings and goings.
    growth = lambda n: 4096.0 * (draw.random() < 0.25) + draw.choice([0, 0, 0, 4096, -4096])  # noqa: E731
    after = fed(LeakWatch(), 1000, growth, lambda n: 100 * MIB + n * 20 * 1024)
    assert after is not None


HEALTHY: dict[str, tuple[Callable[[int], float], Callable[[int], int]]] = {
    "still": (lambda n: 0.0, lambda n: 100 * MIB),
    "up and down": (lambda n: 65536.0 if n % 2 else -65536.0, lambda n: 100 * MIB),
    "a warm-up": (lambda n: 8192.0 if n < 400 else 0.0, lambda n: (100 + min(n, 400) // 4) * MIB),
    "freed by others": (lambda n: 4096.0, lambda n: 100 * MIB),
    "now and then much": (lambda n: 1e9 if n % 333 == 0 else 0.0, lambda n: 100 * MIB + n),
}


@pytest.mark.parametrize("case", HEALTHY)
def test_a_healthy_route_is_not_suspected(case: str) -> None:
    growth, rss = HEALTHY[case]
    assert fed(LeakWatch(), 10_000, growth, rss) is None


def test_a_route_is_suspected_once_and_too_many_routes_are_not_watched() -> None:
    watch = LeakWatch()
    told = [watch.add("/a", 4 * LEAST_BYTES, n * MIB) for n in range((WINDOWS + 5) * WINDOW)]
    (found,) = [each for each in told if each is not None]
    assert found.route == "/a"
    assert found.bytes_per_request == 4 * LEAST_BYTES
    assert watch.suspicions == {"/a": 1}
    for n in range(2 * MOST_ROUTES):
        watch.add(f"/{n}", 1.0, MIB)
    assert len(watch._routes) == MOST_ROUTES


def test_the_growth_of_a_share_of_requests_is_measured(wrap: Wrap) -> None:
    seen: list[Any] = []
    client = wrap(plain, memory={"request_ratio": 0.5})
    client.suite.exporter.watch(seen.extend)
    for _ in range(200):
        client.ask()
    assert client.suite.flush(20)
    measured = [each for each in seen if each.costs and each.costs.growth_bytes is not None]
    assert 30 < len(measured) < 170


LEAKING = """
import logging, sys
logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stdout)
kept = []

async def app(scope, receive, send):
    scope["state"]["apsperf"].route = "/items/{id}"
    if sys.argv[1] == "leaks":
        kept.append(bytearray(1024))
    page = b"x" * 2000
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": page})

suite = Suite(cache={"enabled": False}, exporter={"kind": "none"})
wrapped = suite.asgi(app)
for turn in range(int(sys.argv[2]) // 500):
    ask(wrapped, 500)
    suite.flush(20)
suite.close()
"""
N = int(os.environ.get("N", "1000"))


@pytest.mark.fuzz
@pytest.mark.parametrize("mode", ["leaks", "healthy"])
def test_a_planted_leak_is_named_and_a_healthy_route_is_not(mode: str) -> None:
    # Memory that other tests have freed would hide it: it has a process of its own.
    count = 20_000 if mode == "leaks" else max(20 * N, 20_000)
    done = subprocess.run(
        [sys.executable, "-c", SERVED + LEAKING, mode, str(count)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    if mode == "leaks":
        assert done.stdout.startswith("apsperf.memory: memory leak suspected: /items/{id}: ")
    assert len(done.stdout.splitlines()) == (mode == "leaks")


def test_the_lines_that_allocate_are_found_on_demand() -> None:
    suite = Suite()
    kept: list[bytearray] = []
    with ThreadPoolExecutor(2) as threads:
        looking = threads.submit(suite.allocations, 0.3, 5)
        while not tracemalloc.is_tracing():
            sleep(0.001)
        with pytest.raises(APSPerfError, match="another look"):
            suite.allocations(0.0)
        for _ in range(200):
            kept.append(bytearray(10_000))
        found = looking.result()
    assert not tracemalloc.is_tracing()
    assert found[0].file == __file__
    assert found[0].bytes >= 1_000_000
    assert len(found) <= 5
    suite.close()


def test_what_the_process_has_to_itself_on_demand() -> None:
    suite = Suite()
    told: Any = suite.memory_report()
    assert 0 < told["uss_bytes"] <= told["rss_bytes"] < told["virtual_bytes"]
    suite.close()


class Told:
    """What would be logged."""

    def __init__(self) -> None:
        self.sheds: list[tuple[int, int, int]] = []

    def shed(self, *figures: int) -> None:
        self.sheds.append(figures)  # type: ignore[arg-type]


def test_caches_give_way_by_half_and_then_all_where_it_stays_tight() -> None:
    used = 950
    asked: list[float] = []

    def shed(share: float) -> int:
        asked.append(share)
        return 10

    told: Any = Told()
    pressure = Pressure(0.9, lambda: Limits(1000, used, None), shed, told)
    pressure.look()
    assert asked == [FIRST_SHARE]
    for _ in range(REST_LOOKS):
        pressure.look()
    assert asked == [FIRST_SHARE]
    pressure.look()
    assert asked == [FIRST_SHARE, 1.0]
    used = 100
    pressure.look()
    used = 950
    pressure.look()
    assert asked == [FIRST_SHARE, 1.0, FIRST_SHARE]
    assert told.sheds == [(950, 1000, 10)] * 3
    assert pressure.sheds == 3


@pytest.mark.parametrize("known", [Limits(), Limits(1000, None, None), Limits(1000, 899, 2.0)])
def test_without_need_nothing_gives_way(known: Limits) -> None:
    def shed(share: float) -> int:
        raise AssertionError

    told: Any = Told()
    Pressure(0.9, lambda: known, shed, told).look()
    assert not told.sheds


def test_the_suites_own_caches_give_way(
    wrap: Wrap, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = wrap(lambda _: page(*MINUTE, body=[b"x" * 1000]))
    for n in range(20):
        client.ask(f"/{n}")
    memory = client.suite.memory
    assert memory is not None
    tight = {
        "proc/self/cgroup": "0::/\n",
        V2 + "memory.max": "1000\n",
        V2 + "memory.current": "990\n",
    }
    root = plant(tmp_path, tight)
    memory.pressure._limits = lambda: limits(root)
    memory.pressure.look()
    driver: Any = client.suite.driver("cache")
    assert 8 <= driver.stats()["entries"] <= 12
    (record,) = [each for each in caplog.records if each.name == "apsperf.memory"]
    assert "short of memory: 990 of 1000 bytes" in record.getMessage()
    assert client.ask("/after").status == 200
