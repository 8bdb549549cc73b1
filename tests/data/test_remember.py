"""`remember`: a value is made once, whoever wants it, and in the background while it is stale."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from apsperf_mw import Suite
from apsperf_mw.drivers.versions import lease_key
from tests.core.conftest import Clock, one_clock
from tests.data.support import QUIET, Shared, SharedSuspending, Shop, suite_with
from tests.functions.support import Kept, auntil, followers, until
from tests.functions.test_single_flight import Door, in_threads

CROWD = 50
TIMED = ("apsperf_mw.data.verbs", "apsperf_mw.data.making", "apsperf_mw.drivers.memory")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the data caches go by."""
    return one_clock(monkeypatch, TIMED)


def test_it_makes_what_is_not_there_and_keeps_it(shop: Shop) -> None:
    assert shop.remember(("a", 1), lambda: {"n": 1}, "short") == {"n": 1}
    assert shop.remember(("a", 1), lambda: {"n": 2}, "short") == {"n": 1}
    assert shop.get(("a", 1)) == {"n": 1}


def test_it_takes_an_async_function_too(tmp_path: Path) -> None:
    shop = Shop("asyncio", "suspending", tmp_path)

    async def make() -> int:
        await anyio.sleep(0)
        return 5

    assert shop.remember("a", make, 60) == 5
    assert shop.get("a") == 5


def test_what_make_raises_comes_through_and_nothing_is_left(shop: Shop) -> None:
    def fail() -> None:
        raise ValueError("not now")

    for _ in range(2):
        with pytest.raises(ValueError, match="not now"):
            shop.remember("a", fail, 60, tags="t")
    assert shop.remember("a", lambda: 1, 60) == 1
    assert not shop.cache.stock.flights
    assert not [key for key in getattr(shop.driver, "held", ()) if key.endswith(b"lease")]


def test_a_value_that_is_wanted_for_making_itself_is_simply_made(shop: Shop) -> None:
    def outer() -> Any:
        return shop.cache.remember("a", lambda: 1, 60)

    async def aouter() -> Any:
        return await shop.cache.aremember("a", lambda: 1, 60)

    assert shop.remember("a", outer if shop.way == "plain" else aouter, 60) == 1


@pytest.mark.parametrize("store", ["memory", "bytes", "shared", "file"])
def test_a_crowd_of_threads_makes_it_once(store: str, tmp_path: Path) -> None:
    shop, door = Shop("plain", store, tmp_path), Door()

    def make() -> list[int]:
        return [door.enter()]

    def all_wait() -> None:
        until(lambda: followers(shop.cache.stock.flights) == CROWD - 1)
        door.open.set()

    got = in_threads(lambda: shop.remember("a", make, 60, tags="t"), CROWD, all_wait)
    assert [future.result() for future in got] == [[1]] * CROWD
    assert len({id(future.result()) for future in got}) == CROWD  # each has its own
    assert not shop.cache.stock.flights


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("store", ["memory", "suspending", "shared suspending", "file"])
def test_a_crowd_of_tasks_makes_it_once(store: str, loop: str, tmp_path: Path) -> None:
    shop, door = Shop(loop, store, tmp_path), Door()
    got: list[list[int]] = []

    cache: Any = shop.cache

    async def make() -> list[int]:
        return [await door.aenter()]

    async def ask() -> None:
        got.append(await cache.aremember("a", make, 60, tags="t"))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(CROWD):
                group.start_soon(ask)
            await auntil(lambda: followers(shop.cache.stock.flights) == CROWD - 1)
            door.open.set()

    anyio.run(main, backend=loop)
    assert got == [[1]] * CROWD
    assert not shop.cache.stock.flights


def test_a_cancelled_maker_leaves_the_making_to_another(tmp_path: Path) -> None:
    shop, door = Shop("asyncio", "shared suspending", tmp_path), Door()
    cache: Any = shop.cache

    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(cache.aremember, "a", door.aenter, 60)
                await auntil(lambda: door.calls == 1)
                scope.cancel()
        assert await cache.aremember("a", lambda: 7, 60) == 7

    anyio.run(main)


Change = Callable[[Shop], Any]


@pytest.mark.parametrize(
    "change",
    [
        lambda shop: shop.delete("a"),
        lambda shop: shop.delete_many(["a"]),
        lambda shop: shop.clear(),
        lambda shop: shop.invalidate("t"),
    ],
    ids=["delete", "delete_many", "clear", "invalidate"],
)
@pytest.mark.parametrize("store", ["memory", "bytes", "shared", "file"])
def test_what_is_made_void_meanwhile_is_not_kept(
    store: str, change: Change, tmp_path: Path
) -> None:
    shop, door = Shop("plain", store, tmp_path), Door()

    def make() -> int:
        return door.enter()

    def meanwhile() -> None:
        until(lambda: door.calls == 1)
        change(shop)
        door.open.set()

    (got,) = in_threads(lambda: shop.remember("a", make, 60, tags="t"), 1, meanwhile)
    assert got.result() == 1
    assert shop.get("a") is None


@pytest.mark.parametrize("store", ["memory", "bytes", "file"])
def test_a_value_that_was_set_meanwhile_is_not_overwritten(store: str, tmp_path: Path) -> None:
    shop, door = Shop("plain", store, tmp_path), Door()

    def meanwhile() -> None:
        until(lambda: door.calls == 1)
        shop.set("a", "newer", 60)
        door.open.set()

    (got,) = in_threads(lambda: shop.remember("a", door.enter, 60), 1, meanwhile)
    assert got.result() == 1
    assert shop.get("a") in {"newer", None}


def test_processes_make_it_once_between_them() -> None:
    driver, door = Shared(), Door()
    one, two = (suite_with(driver).cache("theirs") for _ in range(2))

    def meanwhile() -> None:
        until(lambda: door.calls == 1)
        (other,) = in_threads(lambda: two.remember("a", door.enter, 60), 1, door.open.set)
        assert other.result() == 1

    (got,) = in_threads(lambda: one.remember("a", door.enter, 60), 1, meanwhile)
    assert got.result() == 1
    assert door.calls == 1


def test_who_lost_the_lease_does_not_overwrite() -> None:
    driver, door = Shared(), Door()
    slow, quick = (suite_with(driver).cache("theirs") for _ in range(2))

    def meanwhile() -> None:
        until(lambda: door.calls == 1)
        driver.delete(lease_key(slow.stock.name("a")))  # its time is over
        assert quick.remember("a", lambda: "newer", 60) == "newer"
        door.open.set()

    (got,) = in_threads(lambda: slow.remember("a", door.enter, 60), 1, meanwhile)
    assert got.result() == 1
    assert slow.get("a") == "newer"


def test_a_process_that_died_is_waited_for_no_longer_than_patience() -> None:
    driver = Shared()
    cache = suite_with(driver, cache={"patience_s": 0.05}).cache("theirs")
    driver.add(lease_key(cache.stock.name("a")), b"of nobody", 60)
    assert cache.remember("a", lambda: 1, 60) == 1
    assert cache.get("a") is None  # another has the right to keep it


class Answerless(SharedSuspending):
    """Takes a lease, and its answer does not come."""

    async def alease(self, key: bytes, ttl_s: float, token: bytes = b"") -> bytes | None:
        await super().alease(key, ttl_s, token)
        await anyio.sleep_forever()
        raise AssertionError("it does not end")


def test_a_lease_whose_answer_is_not_waited_for_is_given_back() -> None:
    driver = Answerless()
    cache = suite_with(driver).cache("theirs")

    async def leave() -> None:
        with anyio.move_on_after(0.05):
            await cache.aremember("a", lambda: 1, 60)
        assert await driver.aget(lease_key(cache.stock.name("a"))) is None

    anyio.run(leave)


def remember_in(place: str, results: Any) -> None:
    suite = Suite(drivers={"file": place}, cache={"patience_s": 30}, **QUIET)
    cache = suite.cache("file")

    def make() -> int:
        return cache.incr("made", ttl=60)

    results.put([cache.remember(("k", n), make, 60) for n in range(20)])


def test_real_processes_make_each_value_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    results, place = spawn.Queue(), f"file://{tmp_path}/cache"
    workers = [spawn.Process(target=remember_in, args=(place, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    got = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert got[0] == got[1] == list(range(1, 21))


@pytest.mark.parametrize("way", ["plain", "asyncio", "trio"])
def test_a_stale_value_is_given_while_a_new_one_is_made(
    way: str, clock: Clock, tmp_path: Path
) -> None:
    shop = Shop(way, "memory", tmp_path)
    made = iter(range(1, 10))

    def ask() -> Any:
        return shop.remember("a", lambda: next(made), 10, tags="t", stale_while_revalidate=50)

    async def astale() -> None:
        cache: Any = shop.cache
        options = {"stale_while_revalidate": 50, "tags": "t"}
        assert await cache.aremember("a", lambda: next(made), 10, **options) == 1
        await auntil(lambda: not cache.stock.background and not cache.stock.flights)

    assert [ask(), ask()] == [1, 1]
    clock.move(11)
    assert shop.get("a") is None
    if way == "plain":
        assert ask() == 1
        until(lambda: not shop.cache.stock.background)
    else:
        anyio.run(astale, backend=way)
    assert ask() == 2
    clock.move(61)
    assert ask() == 3


def test_a_refresh_that_fails_is_counted_and_the_old_value_stays(
    clock: Clock, tmp_path: Path
) -> None:
    shop = Shop("plain", "memory", tmp_path)

    def fail() -> int:
        raise ValueError("not now")

    shop.remember("a", lambda: 1, 10, stale_while_revalidate=50)
    clock.move(11)
    for _ in range(2):
        assert shop.remember("a", fail, 10, stale_while_revalidate=50) == 1
        until(lambda: not shop.cache.stock.background)
    assert shop.suite.faults.counts[f"a refresh of {shop.cache.stock.place}"] == 2
    assert not shop.cache.stock.flights


def test_hops_do_not_hold_the_loop(tmp_path: Path) -> None:
    """A driver that blocks is called in threads, and the loop runs on meanwhile."""
    door = Door()

    class Slow(Kept):
        def get(self, key: bytes) -> bytes | None:
            door.enter()
            return super().get(key)

    cache = suite_with(Slow()).cache("theirs")

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(cache.aget, "a")
            await auntil(lambda: door.calls == 1)
            door.open.set()

    anyio.run(main)
