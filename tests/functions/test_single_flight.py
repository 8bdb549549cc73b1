"""Calls at the same time: one runs, the others take what it made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Thread
from typing import Any, ClassVar
from weakref import WeakSet

import anyio
import pytest

from apsperf_mw import Suite
from tests.functions.support import PATIENT, Suspending, World, auntil, followers, suite_on, until

CROWD = 200
LOOPS = ("asyncio", "trio")


class Door:
    """What holds a function until a test opens it, from any thread or loop."""

    every: ClassVar[WeakSet[Door]] = WeakSet()

    def __init__(self) -> None:
        self.calls = 0
        self.open = Event()
        self.every.add(self)

    def enter(self) -> int:
        """Block until the door is open; which entry it was."""
        self.calls += 1
        number = self.calls
        assert self.open.wait(20)
        return number

    async def aenter(self) -> int:
        """As `enter`, and the loop goes on."""
        self.calls += 1
        number = self.calls
        await auntil(self.open.is_set)
        return number


def in_threads(
    call: Callable[[], Any], count: int, meanwhile: Callable[[], None]
) -> list[Future[Any]]:
    """What came of that many calls at once; where `meanwhile` fails, no door holds them."""
    with ThreadPoolExecutor(count) as threads:
        futures = [threads.submit(call) for _ in range(count)]
        try:
            meanwhile()
        except BaseException:
            for door in list(Door.every):
                door.open.set()
            raise
    return futures


@pytest.mark.parametrize("store", ["memory", "bytes"])
def test_a_crowd_of_threads_makes_one_call(store: str) -> None:
    world, door = World("plain", store), Door()

    @world.cached(60)
    def function(value: str) -> list[str]:
        door.enter()
        return [value]

    def all_wait() -> None:
        until(lambda: followers(world.suite.functions.calls.flights) == CROWD - 1)
        door.open.set()

    results = in_threads(lambda: function("a"), CROWD, all_wait)
    assert [future.result() for future in results] == [["a"]] * CROWD
    assert len({id(future.result()) for future in results}) == CROWD  # each has its own
    assert door.calls == 1
    assert len(world.suite.functions.calls.flights) == 0


@pytest.mark.parametrize("store", ["memory", "bytes", "suspending"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_crowd_of_tasks_makes_one_call(loop: str, store: str) -> None:
    world, door = World(loop, store), Door()

    @world.suite.cached(60, version="1")
    async def function(value: str) -> list[str]:
        await door.aenter()
        return [value]

    got: list[Any] = []

    async def one() -> None:
        got.append(await function("a"))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(CROWD):
                tasks.start_soon(one)
            await auntil(lambda: followers(world.suite.functions.calls.flights) == CROWD - 1)
            door.open.set()

    anyio.run(main, backend=loop)
    assert got == [["a"]] * CROWD
    assert len(set(map(id, got))) == CROWD
    assert door.calls == 1
    assert len(world.suite.functions.calls.flights) == 0


@pytest.mark.parametrize("store", ["memory", "suspending"])
def test_tasks_of_several_loops_in_several_threads_make_one_call(store: str) -> None:
    suite = suite_on(Suspending() if store == "suspending" else None)
    door = Door()

    @suite.cached(60, version="1")
    async def function() -> list[int]:
        return [await door.aenter()]

    async def several() -> list[list[int]]:
        got: list[list[int]] = []

        async def one() -> None:
            got.append(await function())

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(one)
        return got

    def all_wait() -> None:
        until(lambda: followers(suite.functions.calls.flights) == 59)
        door.open.set()

    backends = iter(LOOPS * 3)
    results = in_threads(lambda: anyio.run(several, backend=next(backends)), 6, all_wait)
    assert [future.result() for future in results] == [[[1]] * 10] * 6


def test_threads_and_tasks_wait_for_a_plain_function_at_once() -> None:
    suite, door = Suite(cache=PATIENT), Door()

    @suite.cached(60)
    def function() -> list[int]:
        return [door.enter()]

    async def in_a_loop() -> list[int]:
        return await anyio.to_thread.run_sync(function)

    def through_a_loop() -> list[int]:
        return anyio.run(in_a_loop)

    def all_wait() -> None:
        until(lambda: followers(suite.functions.calls.flights) == 19)
        door.open.set()

    ways: Iterator[Callable[[], list[int]]] = iter([function.__call__, through_a_loop] * 10)

    def one() -> list[int]:
        return next(ways)()

    results = in_threads(one, 20, all_wait)
    assert [future.result() for future in results] == [[1]] * 20


def test_calls_of_other_arguments_do_not_wait() -> None:
    suite, door = Suite(cache=PATIENT), Door()

    @suite.cached(60)
    def function(value: int) -> int:
        if value == 1:
            door.enter()
        return value

    thread = Thread(target=function, args=(1,))
    thread.start()
    until(lambda: door.calls == 1)
    assert function(2) == 2
    door.open.set()
    thread.join()


# Leaders that fail


def test_when_the_leader_fails_another_is_elected() -> None:
    suite, door = Suite(cache=PATIENT), Door()

    @suite.cached(60)
    def function() -> int:
        if door.enter() == 1:
            raise OSError("the first")
        return door.calls

    def all_wait() -> None:
        until(lambda: followers(suite.functions.calls.flights) == 19)
        door.open.set()

    results = in_threads(function, 20, all_wait)
    faults = [future.exception() for future in results if future.exception()]
    assert [str(fault) for fault in faults] == ["the first"]
    assert sorted(future.result() for future in results if not future.exception()) == [2] * 19
    assert door.calls == 2


@pytest.mark.parametrize("store", ["memory", "bytes", "suspending"])
@pytest.mark.parametrize("loop", LOOPS)
def test_when_the_leader_is_cancelled_another_is_elected(loop: str, store: str) -> None:
    world, door = World(loop, store), Door()
    flights = world.suite.functions.calls.flights

    @world.suite.cached(60, version="1")
    async def function() -> int:
        return await door.aenter()

    got: list[int] = []

    async def one() -> None:
        got.append(await function())

    async def main() -> None:
        async with anyio.create_task_group() as tasks, anyio.create_task_group() as leaders:
            leaders.start_soon(one)
            await auntil(lambda: door.calls == 1)
            for _ in range(5):
                tasks.start_soon(one)
            await auntil(lambda: followers(flights) == 5)
            leaders.cancel_scope.cancel()
            await auntil_shielded(lambda: door.calls == 2)
            door.open.set()

    async def auntil_shielded(true: Callable[[], bool]) -> None:
        with anyio.CancelScope(shield=True):
            await auntil(true)

    anyio.run(main, backend=loop)
    assert got == [2] * 5
    assert door.calls == 2
    assert len(flights) == 0


@pytest.mark.parametrize("loop", LOOPS)
def test_a_follower_that_is_cancelled_leaves_the_others_alone(loop: str) -> None:
    world, door = World(loop, "memory"), Door()
    flights = world.suite.functions.calls.flights
    got: list[int] = []

    @world.suite.cached(60)
    async def function() -> int:
        return await door.aenter()

    async def one() -> None:
        got.append(await function())

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await auntil(lambda: door.calls == 1)
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(one)
                await auntil(lambda: followers(flights) == 1)
                leaving.cancel_scope.cancel()
            tasks.start_soon(one)
            await auntil(lambda: followers(flights) == 2)
            door.open.set()

    anyio.run(main, backend=loop)
    assert got == [1, 1]
    assert len(flights) == 0


def test_followers_of_a_call_whose_tag_was_purged_ask_again() -> None:
    suite, door = Suite(cache=PATIENT), Door()

    @suite.cached(60, tags=["a"])
    def function() -> int:
        return door.enter()

    def all_wait() -> None:
        until(lambda: followers(suite.functions.calls.flights) == 9)
        suite.purge("a")
        door.open.set()

    results = in_threads(function, 10, all_wait)
    assert sorted(future.result() for future in results) == [1] + [2] * 9
    assert function() == 2


def test_followers_of_a_call_that_was_invalidated_ask_again() -> None:
    suite, door = Suite(cache=PATIENT), Door()

    @suite.cached(60)
    def function() -> int:
        return door.enter()

    def all_wait() -> None:
        until(lambda: followers(suite.functions.calls.flights) == 9)
        function.invalidate()
        until(lambda: followers(suite.functions.calls.flights) == 8)
        door.open.set()

    results = in_threads(function, 10, all_wait)
    assert sorted(future.result() for future in results) == [1] + [2] * 9
    assert function() == 2


def test_what_a_refresh_made_is_not_overwritten_by_what_began_before() -> None:
    suite, door = Suite(cache=PATIENT), Door()

    @suite.cached(60)
    def function() -> int:
        return door.enter() if not door.calls else 100

    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(function)
        until(lambda: door.calls == 1)
        assert function.refresh() == 100
        door.open.set()
    assert slow.result() == 1
    assert function() == 100


def test_nobody_waits_longer_than_the_patience() -> None:
    suite, door = Suite(cache={"patience_s": 0.05}), Door()

    @suite.cached(60)
    def function() -> int:
        return door.enter() if not door.calls else 100

    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(function)
        until(lambda: door.calls == 1)
        assert function() == 100
        door.open.set()
    assert slow.result() == 1
    assert function() == 100


# Recursion


def test_a_function_that_calls_itself_with_the_same_arguments_runs_through() -> None:
    suite = Suite(cache=PATIENT)
    depth = []

    @suite.cached(60)
    def function(a: int) -> int:
        depth.append(a)
        return len(depth) if len(depth) > 2 else function(a) + 10

    assert function(1) == 23
    assert function(1) == 23
    assert len(depth) == 3


@pytest.mark.parametrize("loop", LOOPS)
def test_an_async_function_may_await_itself_also_in_a_task_of_its_own(loop: str) -> None:
    suite = Suite(cache=PATIENT)
    depth = []

    @suite.cached(60)
    async def function(a: int) -> int:
        depth.append(a)
        if len(depth) > 2:
            return 1
        got: list[int] = []

        async def again() -> None:
            got.append(await function(a))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(again)
        return got[0] + 10

    async def main() -> list[int]:
        return [await function(1), await function(1)]

    assert anyio.run(main, backend=loop) == [21, 21]


def test_recursion_with_other_arguments_is_cached() -> None:
    suite = Suite(cache=PATIENT)
    calls = []

    @suite.cached(60)
    def fibonacci(n: int) -> int:
        calls.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(30) == 832040
    assert len(calls) == 31


def test_a_task_that_outlives_the_call_that_began_it_is_cached_again() -> None:
    suite = Suite(cache=PATIENT)
    calls = []

    @suite.cached(60)
    async def function() -> int:
        calls.append(1)
        if len(calls) == 1:
            later.append(asyncio.get_running_loop().create_task(afterwards()))
        return len(calls)

    later: list[Any] = []
    go = asyncio.Event()

    async def afterwards() -> list[int]:
        await go.wait()
        return [await function(), await function()]

    async def main() -> list[int]:
        assert await function() == 1
        go.set()
        return await later[0]  # type: ignore[no-any-return]

    assert asyncio.run(main()) == [1, 1]
