"""Stale results: given at once, and made anew exactly once, in the background."""

from __future__ import annotations

from contextvars import ContextVar
from threading import Event
from typing import Any

import anyio
import pytest

from tests.core.conftest import Clock
from tests.functions.support import World, auntil, until
from tests.functions.test_background import waiting
from tests.functions.test_single_flight import LOOPS, Door, in_threads

STORES = ("memory", "bytes")
who: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.mark.parametrize("store", STORES)
def test_threads_get_the_stale_result_and_one_refresh_runs(store: str, clock: Clock) -> None:
    world, door = World("plain", store), Door()

    @world.cached(10, stale_while_revalidate=20)
    def function() -> list[int]:
        if door.calls:
            return [door.enter()]
        door.calls += 1
        return [1]

    assert function() == [1]
    clock.move(15)
    results = in_threads(function, 50, lambda: None)  # all come back although the door is shut
    assert [future.result() for future in results] == [[1]] * 50
    until(lambda: door.calls == 2)
    door.open.set()
    until(lambda: len(world.suite.functions.calls.background) == 0)
    assert function() == [2]
    assert door.calls == 2
    assert len(world.suite.functions.calls.flights) == 0
    assert not world.suite.faults.counts


@pytest.mark.parametrize("store", [*STORES, "suspending"])
@pytest.mark.parametrize("loop", LOOPS)
def test_tasks_get_the_stale_result_and_one_refresh_runs(
    loop: str, store: str, clock: Clock
) -> None:
    world, door = World(loop, store), Door()
    calls = world.suite.functions.calls

    @world.suite.cached(10, stale_while_revalidate=20, version="1")
    async def function() -> list[int]:
        if door.calls:
            return [await door.aenter()]
        door.calls += 1
        return [1]

    got: list[Any] = []

    async def one() -> None:
        got.append(await function())

    async def main() -> None:
        await one()
        clock.move(15)
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(one)
        await auntil(lambda: door.calls == 2)
        door.open.set()
        await auntil(lambda: len(calls.background) == 0)
        await one()

    anyio.run(main, backend=loop)
    assert got == [[1]] * 51 + [[2]]
    assert door.calls == 2
    assert len(calls.flights) == 0
    assert not world.suite.faults.counts


def test_past_its_time_the_stale_result_is_not_given(world: World, clock: Clock) -> None:
    calls = []

    @world.cached(10, stale_while_revalidate=20)
    def function() -> int:
        calls.append(1)
        return len(calls)

    assert world.call(function) == 1
    clock.move(30)
    assert world.call(function) == 2


def test_a_stale_result_whose_tag_was_purged_is_not_given(clock: Clock) -> None:
    world = World("plain", "memory")
    calls = []

    @world.cached(10, tags=["a"], stale_while_revalidate=20)
    def function() -> int:
        calls.append(1)
        return len(calls)

    assert function() == 1
    clock.move(15)
    world.suite.purge("a")
    assert function() == 2


def test_a_refresh_that_fails_is_counted_and_tried_again(clock: Clock) -> None:
    world = World("plain", "memory")
    background = world.suite.functions.calls.background
    calls = []

    @world.cached(10, stale_while_revalidate=20)
    def function() -> int:
        calls.append(1)
        if len(calls) == 2:
            raise OSError("down")
        return len(calls)

    assert function() == 1
    clock.move(15)
    for expected in (1, 1, 3):
        assert function() == expected
        until(lambda: len(background) == 0)
    assert world.suite.faults.counts == {"a refresh of a function": 1}


def test_when_all_threads_are_busy_the_next_call_tries_again(clock: Clock) -> None:
    world, gate = World("plain", "memory"), Event()
    background = world.suite.functions.calls.background
    calls = []

    @world.cached(10, stale_while_revalidate=20)
    def function() -> int:
        calls.append(1)
        return len(calls)

    assert function() == 1
    clock.move(15)
    while background.spawn_thread(waiting(gate)):
        pass
    assert [function(), function()] == [1, 1]
    assert len(calls) == 1
    assert len(world.suite.functions.calls.flights) == 0
    gate.set()
    until(lambda: len(background) == 0)
    assert function() == 1
    until(lambda: len(background) == 0)
    assert function() == 2


def test_a_refresh_knows_nothing_of_the_request_that_began_it(clock: Clock) -> None:
    world = World("plain", "memory")

    @world.cached(10, stale_while_revalidate=20)
    def function() -> str:
        return who.get()

    who.set("ann")
    assert function() == "ann"
    clock.move(15)
    assert function() == "ann"
    until(lambda: len(world.suite.functions.calls.background) == 0)
    assert function() == "nobody"


@pytest.mark.parametrize("loop", LOOPS)
def test_a_refresh_whose_loop_ends_leaves_the_next_loop_free(loop: str, clock: Clock) -> None:
    world = World(loop, "memory")
    calls: list[int] = []

    @world.suite.cached(10, stale_while_revalidate=20)
    async def function() -> int:
        calls.append(1)
        if len(calls) == 2:
            await anyio.sleep_forever()
        return len(calls)

    async def once() -> int:
        return await function()

    async def twice() -> list[int]:
        got = [await function()]
        await auntil(lambda: not len(world.suite.functions.calls.background))
        return [*got, await function()]

    assert anyio.run(once, backend=loop) == 1
    clock.move(15)
    assert anyio.run(once, backend=loop) == 1  # its refresh is cancelled, perhaps before it began
    assert len(world.suite.functions.calls.flights) == 0
    calls[:] = [1, 1]
    assert anyio.run(twice, backend=loop) == [1, 3]
    assert not world.suite.faults.counts


def test_a_refresh_by_hand_makes_a_stale_result_fresh(world: World, clock: Clock) -> None:
    calls = []

    @world.cached(10, stale_while_revalidate=20)
    def function() -> int:
        calls.append(1)
        return len(calls)

    assert world.call(function) == 1
    clock.move(15)
    assert world.call(function.refresh) == 2
    assert world.call(function) == 2
