"""Work in the background: bounded, never lost, and gone with its owner."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from contextvars import ContextVar
from threading import Event
from typing import Any

import anyio
import pytest

from apsperf_mw.runtime.background import Background
from tests.functions.support import auntil, until

LOOPS = ("asyncio", "trio")
seen: ContextVar[str] = ContextVar("seen", default="empty")


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "apsperf-background"}


def ours(before: set[threading.Thread]) -> set[threading.Thread]:
    return threads() - before


def until_idle(background: Background) -> None:
    until(lambda: len(background) == 0)


def waiting(gate: Event) -> Callable[[], None]:
    def run() -> None:
        assert gate.wait(20)

    return run


def test_threads_are_bounded_and_used_again() -> None:
    faults: list[BaseException] = []
    background, gate, before = Background(faults.append, most_threads=3), Event(), threads()
    assert [background.spawn_thread(waiting(gate)) for _ in range(5)] == [True] * 3 + [False] * 2
    assert len(background) == 3
    assert all(each.daemon for each in ours(before))
    gate.set()
    until_idle(background)
    first = ours(before)
    for _ in range(50):
        assert background.spawn_thread(lambda: None)
        until_idle(background)
    assert ours(before) <= first
    assert len(first) == 3
    assert not faults


def test_many_threads_may_spawn_at_once() -> None:
    done: list[int] = []
    background = Background(done.append, most_threads=4)  # type: ignore[arg-type]

    def spawn() -> None:
        for _ in range(200):
            until(lambda: background.spawn_thread(lambda: done.append(1)))

    spawners = [threading.Thread(target=spawn) for _ in range(4)]
    for each in spawners:
        each.start()
    for each in spawners:
        each.join()
    until_idle(background)
    assert done == [1] * 800


@pytest.mark.parametrize("fault", [ValueError("a"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_a_thread_raises_is_handed_on(fault: BaseException) -> None:
    faults: list[BaseException] = []
    background = Background(faults.append)

    def run() -> None:
        raise fault

    for _ in range(3):
        assert background.spawn_thread(run)
        until_idle(background)
    assert faults == [fault] * 3


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_task_raises_is_handed_on(loop: str) -> None:
    faults: list[BaseException] = []
    background = Background(faults.append)

    async def run() -> None:
        await anyio.sleep(0)
        raise ValueError("a")

    async def main() -> None:
        assert background.spawn_task(run)
        await auntil(lambda: len(background) == 0)

    anyio.run(main, backend=loop)
    assert [str(fault) for fault in faults] == ["a"]


@pytest.mark.parametrize("loop", LOOPS)
def test_tasks_are_bounded_and_not_collected(loop: str) -> None:
    background = Background(lambda fault: None, most_tasks=3)
    done: list[int] = []

    async def main() -> None:
        gate = anyio.Event()

        async def run() -> None:
            await gate.wait()
            done.append(1)

        assert [background.spawn_task(run) for _ in range(4)] == [True] * 3 + [False]
        gc.collect()
        gate.set()
        await auntil(lambda: len(background) == 0)
        assert background.spawn_task(run)
        await auntil(lambda: len(done) == 4)

    anyio.run(main, backend=loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("begun", [False, True], ids=["before it began", "amid"])
def test_a_task_that_its_loop_ends_has_not_failed(loop: str, begun: bool) -> None:
    faults: list[BaseException] = []
    lost: list[int] = []
    background = Background(faults.append)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            if begun:
                tasks.start_soon(anyio.sleep_forever)
            await anyio.sleep_forever()

    async def main() -> None:
        assert background.spawn_task(run, lambda: lost.append(1))
        for _ in range(5 if begun else 0):
            await anyio.sleep(0)

    anyio.run(main, backend=loop)
    assert len(background) == 0
    assert lost == [1]
    assert not faults


def test_tasks_of_a_loop_that_was_closed_on_them_are_forgotten() -> None:
    background = Background(lambda fault: None, most_tasks=1)

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    loop = asyncio.new_event_loop()
    tasks: list[Any] = []

    async def main() -> None:
        assert background.spawn_task(forever)
        tasks.extend(background._tasks)
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    loop.close()

    async def other() -> None:
        done = asyncio.Event()

        async def run() -> None:
            done.set()

        assert background.spawn_task(run)
        await done.wait()

    asyncio.run(other())
    tasks[0]._log_destroy_pending = False  # the test holds it on purpose
    tasks[0].get_coro().close()


@pytest.mark.parametrize("way", ["thread", *LOOPS])
def test_a_run_has_an_empty_context(way: str) -> None:
    background, got = Background(lambda fault: None), []
    seen.set("of the caller")

    async def run() -> None:
        got.append(seen.get())

    async def main() -> None:
        seen.set("of the caller")
        assert background.spawn_task(run)
        await auntil(lambda: bool(got))

    if way == "thread":
        background.spawn_thread(lambda: got.append(seen.get()))
        until(lambda: bool(got))
    else:
        anyio.run(main, backend=way)
    assert got == ["empty"]


def test_a_closed_one_takes_no_more_and_ends_its_threads() -> None:
    background, gate, before = Background(lambda fault: None), Event(), threads()
    done = []

    def run() -> None:
        assert gate.wait(20)
        done.append(1)

    assert background.spawn_thread(run)
    background.close()
    assert not background.spawn_thread(run)
    gate.set()
    until(lambda: not ours(before))
    assert done == [1]

    async def task() -> None: ...

    async def main() -> None:
        assert not background.spawn_task(task)

    anyio.run(main)


def test_the_threads_end_with_their_owner() -> None:
    owner = [Background(lambda fault: None)]
    gate, before = Event(), threads()
    for _ in range(3):
        owner[0].spawn_thread(waiting(gate))
    gate.set()
    until_idle(owner[0])
    assert len(ours(before)) == 3
    owner.clear()
    gc.collect()
    until(lambda: not ours(before))


def test_a_thread_that_has_nothing_to_do_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apsperf_mw.runtime.background.LINGER_S", 0.01)
    background, before = Background(lambda fault: None), threads()
    for _ in range(3):
        assert background.spawn_thread(lambda: None)
        until(lambda: not ours(before))
    assert len(background) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_has_threads_of_its_own() -> None:
    background = Background(lambda fault: None, most_threads=1)
    gate = Event()
    assert background.spawn_thread(waiting(gate))
    child = os.fork()
    if child == 0:
        done = Event()
        spawned = background.spawn_thread(done.set)
        os._exit(0 if spawned and done.wait(10) else 1)
    gate.set()
    assert os.waitpid(child, 0)[1] == 0
