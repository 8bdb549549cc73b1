"""What a driver adds to the library under it: `python -m benchmarks.drivers [--rounds N]`.

Get and set of 2 KB on a Redis that the benchmark starts, in slices that take turns, so that what
the machine does otherwise meets all alike. Each number is the median of the slices' means.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

from apsperf_mw.drivers.memory import MemoryDriver
from apsperf_mw.drivers.redis import RedisDriver
from apsperf_mw.drivers.tiered import Tiered
from benchmarks.report import against_bar, table
from tests.drivers.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[], Any]

KEY, VALUE, TTL_S = b"bench", b"v" * 2000, 600.0
NAME = b"apsperf{bench}"


class Pair(NamedTuple):
    """A verb through a driver of ours, beside the same through the library or driver under it."""

    title: str
    ours: Call
    bare: Call
    bar_us: float
    calls: int
    tasks: bool = False


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drivers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="slices of each")
    rounds: int = parser.parse_args(arguments).rounds
    with (
        tempfile.TemporaryDirectory() as directory,
        Server(Path(directory) / "redis") as server,
        ExitStack() as stack,
    ):
        runner = stack.enter_context(asyncio.Runner())
        rows = [measured(pair, rounds, runner) for pair in pairs(server, stack, runner)]
    print(table(("driver", "verb", "under it us", "ours us", "added us", "bar"), rows))
    return 0


def pairs(server: Server, stack: ExitStack, runner: asyncio.Runner) -> list[Pair]:
    """Everything that is compared; the stack closes it."""
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    ours, near = RedisDriver.from_url(server.url), Tiered.from_url(f"tiered+{server.url}")
    raw, memory = stack.enter_context(Redis(port=server.port)), MemoryDriver()
    tasks: Any = AsyncRedis(port=server.port)
    stack.callback(lambda: runner.run(tasks.aclose()))
    stack.callback(ours.close)
    stack.callback(near.close)
    for driver in (ours, memory):
        driver.set(KEY, VALUE, TTL_S)
    _warm(near)
    return [
        Pair("redis get", partial(ours.get, KEY), partial(raw.get, NAME), 15, 200),
        Pair("redis set", partial(ours.set, KEY, VALUE, TTL_S), partial(_set, raw), 15, 200),
        Pair("redis aget", partial(ours.aget, KEY), partial(tasks.get, NAME), 15, 200, tasks=True),
        Pair(
            "redis aset",
            partial(ours.aset, KEY, VALUE, TTL_S),
            partial(_set, tasks),
            15,
            200,
            tasks=True,
        ),
        Pair("tiered hit", partial(near.get, b"near"), partial(memory.get, KEY), 1, 5000),
    ]


def measured(pair: Pair, rounds: int, runner: asyncio.Runner) -> tuple[str, ...]:
    """One row: the medians of slices that take turns."""
    slices: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(rounds + 1):
        for name in ("ours", "bare"):
            call: Call = getattr(pair, name)
            took = runner.run(_aslice(call, pair.calls)) if pair.tasks else _slice(call, pair.calls)
            if turn:  # the first connects
                slices[name].append(took)
    ours, bare = median(slices["ours"]), median(slices["bare"])
    driver, verb = pair.title.split()
    return (
        driver,
        verb,
        f"{bare:.2f}",
        f"{ours:.2f}",
        f"{ours - bare:.2f}",
        against_bar(ours - bare, pair.bar_us, "us"),
    )


def _slice(call: Call, calls: int) -> float:
    began = perf_counter()
    for _ in range(calls):
        call()
    return (perf_counter() - began) / calls * 1e6


async def _aslice(call: Call, calls: int) -> float:
    began = perf_counter()
    for _ in range(calls):
        await call()
    return (perf_counter() - began) / calls * 1e6


def _set(client: Any) -> Any:
    return client.set(NAME, VALUE, px=int(TTL_S * 1000))


def _warm(near: Tiered) -> None:
    """Have the copy there."""
    near.set(b"near", VALUE, TTL_S)
    deadline = monotonic() + 10
    while near.copy(b"near") is None:
        near.get(b"near")
        sleep(0.01)
        if monotonic() > deadline:
            raise RuntimeError("no copy is kept")


if __name__ == "__main__":
    sys.exit(main())
