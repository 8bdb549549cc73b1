"""What `suite.cache` adds to the library under it, beside other caches.

`python -m benchmarks.data [--rounds N] [--redis URL]`: get and set of a small dict from one
thread, and from one task where a cache has only that, in slices that take turns, so that what the
machine does otherwise meets all alike. Each number is the median of the slices' means. Peers that
are not installed are left out; the library under a cache keeps the value's bytes or, in memory,
the object itself, as it is meant to.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from apsperf_mw import Suite
from benchmarks.report import against_bar, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Call = Callable[[], Any]

KEY, TTL_S = "album:7", 600
VALUE = {"id": 7, "title": "Low", "tracks": ["Speed of Life", "Breaking Glass"], "price": 12.5}
RAW = msgspec.msgpack.encode(VALUE)
# Microseconds that we may add to the library under it.
BARS = {"memory": 3.0, "file": 10.0, "redis": 15.0}
CALLS = {"memory": 2000, "file": 100, "redis": 100}
OURS = "suite.cache"
HEAD = ("store", "verb", "cache", "us", "added us", "bar")


class Entrant(NamedTuple):
    """One cache: how it gets and sets; `tasks` says that both are awaited. The first is raw."""

    store: str
    name: str
    get: Call
    set: Call
    tasks: bool = False


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="slices of each")
    parser.add_argument("--redis", metavar="URL", help="a server that may be written to")
    asked = parser.parse_args(arguments)
    print(compared(asked.rounds, asked.redis))
    return 0


def compared(rounds: int, redis: str | None = None) -> str:
    """The table of all stores."""
    with (
        tempfile.TemporaryDirectory() as place,
        ExitStack() as stack,
        asyncio.Runner() as runner,
    ):
        stores = [in_memory(stack), in_files(place, stack)]
        if redis:
            stores.append(in_redis(redis, stack))
        rows = [row for each in stores for row in measured(list(each), rounds, runner)]
    return table(HEAD, rows)


def measured(
    entrants: list[Entrant], rounds: int, runner: asyncio.Runner
) -> Iterator[tuple[str, ...]]:
    """The rows of one store, its raw library first."""
    for verb in ("set", "get"):
        slices: dict[str, list[float]] = {each.name: [] for each in entrants}
        for turn in range(rounds + 1):
            for each in entrants:
                took = _slice_us(each, getattr(each, verb), runner)
                if turn:  # the first connects
                    slices[each.name].append(took)
        bare = median(slices[entrants[0].name])
        for each in entrants:
            took = median(slices[each.name])
            bar = BARS[each.store] if each.name.startswith(OURS) else None
            added = took - bare
            yield (
                each.store,
                verb,
                each.name,
                f"{took:.2f}",
                f"{added:.2f}" if each is not entrants[0] else "",
                against_bar(added, bar, "us") if bar else "",
            )


def _slice_us(entrant: Entrant, call: Call, runner: asyncio.Runner) -> float:
    calls = CALLS[entrant.store]
    if entrant.tasks:
        return runner.run(_aslice_us(call, calls))
    began = perf_counter()
    for _ in range(calls):
        call()
    return (perf_counter() - began) / calls * 1e6


async def _aslice_us(call: Call, calls: int) -> float:
    began = perf_counter()
    for _ in range(calls):
        await call()
    return (perf_counter() - began) / calls * 1e6


def ours(store: str, url: str, stack: ExitStack, *, tasks: bool = False) -> Iterator[Entrant]:
    """Our cache on a driver, from threads and, where asked, from tasks."""
    suite = Suite(exporter={"kind": "none"}, memory={"enabled": False})
    stack.callback(suite.close)
    cache = suite.cache(url)
    driver: Any = suite.registry.get(url)
    keep = partial(driver.set, b"album:7", RAW, TTL_S)
    yield Entrant(store, "the driver alone", partial(driver.get, b"album:7"), keep)
    yield Entrant(store, OURS, partial(cache.get, KEY), partial(cache.set, KEY, VALUE, TTL_S))
    tagged = partial(cache.set, "tagged", VALUE, TTL_S, tags=["albums"])
    yield Entrant(store, f"{OURS} with a tag", partial(cache.get, "tagged"), tagged)
    if tasks:
        aget, aset = partial(cache.aget, KEY), partial(cache.aset, KEY, VALUE, TTL_S)
        yield Entrant(store, f"{OURS} async", aget, aset, tasks=True)


def in_memory(stack: ExitStack) -> Iterator[Entrant]:
    """`cachetools.TTLCache`, ours, and others in the process."""
    from cachetools import TTLCache

    raw: Any = TTLCache(1000, TTL_S)
    yield Entrant(
        "memory", "cachetools", partial(raw.get, KEY), partial(raw.__setitem__, KEY, VALUE)
    )
    yield from ours("memory", "memory", stack, tasks=True)
    yield from flask_caching("memory", "SimpleCache")
    yield from django("memory", "locmem.LocMemCache", "")
    if (aiocache := _installed("aiocache")) is not None:
        cache = aiocache.SimpleMemoryCache()
        yield Entrant(
            "memory",
            "aiocache",
            partial(cache.get, KEY),
            partial(cache.set, KEY, VALUE, TTL_S),
            tasks=True,
        )
    if (cashews := _installed("cashews")) is not None:
        cache = cashews.Cache()
        cache.setup("mem://")
        get, put = partial(cache.get, KEY), partial(cache.set, KEY, VALUE, TTL_S)
        yield Entrant("memory", "cashews", get, put, tasks=True)


def in_files(place: str, stack: ExitStack) -> Iterator[Entrant]:
    """`diskcache`, ours, and others on the disk."""
    from diskcache import Cache

    raw = stack.enter_context(Cache(f"{place}/raw"))
    yield Entrant("file", "diskcache", partial(raw.get, KEY), partial(raw.set, KEY, RAW, TTL_S))
    yield from ours("file", f"file://{place}/ours", stack)
    yield from flask_caching("file", "FileSystemCache", CACHE_DIR=f"{place}/flask")
    yield from django("file", "filebased.FileBasedCache", f"{place}/django")


def in_redis(url: str, stack: ExitStack) -> Iterator[Entrant]:
    """`redis-py`, ours, and Django's."""
    raw = stack.enter_context(import_module("redis").Redis.from_url(url))
    put = partial(raw.set, KEY, RAW, px=TTL_S * 1000)
    yield Entrant("redis", "redis-py", partial(raw.get, KEY), put)
    yield from ours("redis", url, stack)
    yield from django("redis", "redis.RedisCache", url)


def flask_caching(store: str, kind: str, **more: str) -> Iterator[Entrant]:
    """Flask-Caching with one of its back ends."""
    module = _installed("flask_caching")
    if module is None:
        return
    from flask import Flask

    app = Flask(__name__)
    cache = module.Cache(app, config={"CACHE_TYPE": kind, **more})
    app.app_context().push()
    put = partial(cache.set, KEY, VALUE, TTL_S)
    yield Entrant(store, "Flask-Caching", partial(cache.get, KEY), put)


def django(store: str, kind: str, location: str) -> Iterator[Entrant]:
    """One of Django's back ends."""
    module, _, name = kind.partition(".")
    made: Any = getattr(import_module(f"django.core.cache.backends.{module}"), name)
    cache = made(location, {})
    put = partial(cache.set, KEY, VALUE, TTL_S)
    yield Entrant(store, f"Django's {name}", partial(cache.get, KEY), put)


def _installed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


if __name__ == "__main__":
    sys.exit(main())
