"""Cached functions of every kind on every kind of driver."""

from __future__ import annotations

import asyncio
import copy
import inspect
from typing import Any

import anyio
import pytest

from apsperf_mw import DriverError, SettingError, Suite
from tests.core.conftest import Clock
from tests.functions.support import Kept, Suspending, World, suite_on


class Counter:
    """A body whose results are told apart by a number."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, value: Any) -> list[Any]:
        self.calls.append(value)
        return [value, len(self.calls)]


def counted(world: World, **options: Any) -> tuple[Any, Counter]:
    """A cached function and what counts its calls."""
    counter = Counter()

    def function(value: Any, more: Any = None) -> list[Any]:
        return counter(value)

    return world.cached(options.pop("ttl", 60), **options)(function), counter


def test_a_result_is_kept_for_its_arguments(world: World) -> None:
    function, _ = counted(world)
    assert [world.call(function, value) for value in (1, 2, 1, 2, 1)] == [
        [1, 1],
        [2, 2],
        [1, 1],
        [2, 2],
        [1, 1],
    ]
    assert world.call(function, value=1, more=None) == [1, 1]
    assert world.call(function, True) == [True, 3]
    assert not world.suite.faults.counts
    assert len(world.suite.functions.calls.flights) == 0


@pytest.mark.parametrize(("ttl", "seconds"), [("short", 300), ("medium", 1800), (7, 7), (0.5, 0.5)])
def test_a_result_is_kept_for_its_time(
    world: World, clock: Clock, ttl: Any, seconds: float
) -> None:
    function, _ = counted(world, ttl=ttl)
    world.call(function, 1)
    clock.move(seconds * 0.99)
    assert world.call(function, 1) == [1, 1]
    clock.move(seconds * 0.02)
    assert world.call(function, 1) == [1, 2]


def test_an_exception_is_not_kept(world: World) -> None:
    class Mine(Exception):
        pass

    calls = []

    @world.cached(60)
    def function() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise Mine
        return len(calls)

    for _ in range(2):
        with pytest.raises(Mine):
            world.call(function)
    assert world.call(function) == world.call(function) == 3
    assert len(world.suite.functions.calls.flights) == 0
    assert not world.suite.faults.counts


def test_a_function_may_raise_stop_iteration() -> None:
    @Suite().cached(60)
    def function() -> int:
        raise StopIteration(7)

    with pytest.raises(StopIteration):
        function()


def test_a_wrong_call_fails_as_it_does_bare(world: World) -> None:
    function, _ = counted(world)
    with pytest.raises(TypeError, match=r"function\(\) missing 1 required positional"):
        world.call(function)
    with pytest.raises(TypeError, match="unexpected keyword"):
        world.call(function, 1, other=2)


def test_invalidate_and_refresh(world: World) -> None:
    function, counter = counted(world)
    world.call(function, 1)
    world.call(function, 2)
    world.call(function.invalidate, value=1)
    assert world.call(function, 1) == [1, 3]
    assert world.call(function, 2) == [2, 2]
    assert world.call(function.refresh, 2) == [2, 4]
    assert world.call(function, 2) == [2, 4]
    assert world.call(function.__wrapped__, 2) == [2, 5]
    with pytest.raises(TypeError):
        world.call(function.invalidate)
    assert counter.calls == [1, 2, 1, 2, 2]


def test_versions_and_functions_do_not_meet(world: World) -> None:
    made = []
    for version in ("1", "2"):
        counter = Counter()

        def function(value: Any, counter: Counter = counter) -> list[Any]:
            return counter(value)

        made.append((world.cached(60, ignore=("counter",), version=version)(function), counter))
    for function, _ in made * 2:
        world.call(function, 1)
    assert [len(counter.calls) for _, counter in made] == [1, 1]


def test_functions_of_one_name_do_not_meet_in_this_process() -> None:
    suite = Suite()

    def times(n: int) -> Any:
        @suite.cached(60)
        def function(value: int) -> int:
            return value * n

        return function

    twice, thrice = times(2), times(3)
    assert [twice(5), thrice(5), twice(5), thrice(5)] == [10, 15, 10, 15]


def test_functions_of_one_name_must_be_told_apart_where_results_leave_the_process() -> None:
    suite = suite_on(Kept())
    with pytest.raises(SettingError, match=r"version=.*<lambda>"):
        suite.cached(60)(lambda: 1)
    suite.cached(60, version="1")(lambda: 1)
    suite.cached(60, version="2")(lambda: 1)
    with pytest.raises(SettingError, match=r"version=.*'2'"):
        suite.cached(60, version="2")(lambda: 1)


# Tags


def test_tags_are_purged() -> None:
    for way in ("plain", "asyncio", "trio"):
        world = World(way, "memory")
        fixed, _ = counted(world, tags=["all"])
        chosen, _ = counted(world, tags=lambda a: ["all", f"value:{a['value']}"], version="2")
        for value in (1, 2):
            world.call(fixed, value)
            world.call(chosen, value)
        world.suite.purge("value:1")
        assert world.call(chosen, 1) == [1, 3]
        assert world.call(chosen, 2) == [2, 2]
        assert world.call(fixed, 1) == [1, 1]
        world.suite.purge("all")
        assert world.call(chosen, 1) == [1, 4]
        assert world.call(chosen, 2) == [2, 5]
        assert world.call(fixed, 1) == [1, 3]


def test_a_purge_of_everything_is_one_of_results_without_tags_too() -> None:
    world = World("plain", "memory")
    function, _ = counted(world)
    function(1)
    world.suite.purge(everything=True)
    assert function(1) == function(1) == [1, 2]


@pytest.mark.parametrize("tags", [[""], [1]], ids=str)
def test_tags_that_cannot_be_are_refused(tags: Any) -> None:
    function = Suite().cached(60, tags=lambda _: tags)(lambda: 1)
    with pytest.raises(SettingError, match="tags"):
        function()


def test_what_was_being_made_while_its_tag_was_purged_is_not_kept(world: World) -> None:
    calls = []

    @world.cached(60, tags=["a"])
    def function() -> int:
        calls.append(1)
        if len(calls) == 1:
            world.suite.responses.tags.purge(["a"])
        return len(calls)

    assert world.call(function) == 1
    assert world.call(function) == 2
    if world.local:
        assert world.call(function) == 2


def test_what_was_being_made_while_it_was_invalidated_is_not_kept(world: World) -> None:
    calls = []
    key: list[Any] = []

    @world.cached(60)
    def function() -> int:
        calls.append(1)
        if len(calls) == 1:
            world.suite.functions.calls.flights.void(key[0])
        return len(calls)

    key.append(function._memo.key((), {}))
    assert [world.call(function) for _ in range(3)] == [1, 2, 2]


# The wrapper


def plain(a: int, b: str = "x") -> list[str]:
    """Says it."""
    return [b] * a


async def suspending(a: int, b: str = "x") -> list[str]:
    """Says it."""
    return [b] * a


@pytest.mark.parametrize("function", [plain, suspending], ids=["plain", "async"])
def test_the_wrapper_looks_like_the_function(function: Any) -> None:
    cached = Suite().cached(60)(function)
    assert cached.__wrapped__ is function
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(cached, name) == getattr(function, name)
    assert inspect.signature(cached) == inspect.signature(function)
    is_async = function is suspending
    assert inspect.iscoroutinefunction(cached) == is_async
    assert asyncio.iscoroutinefunction(cached) == is_async
    assert inspect.iscoroutinefunction(cached.invalidate) == is_async
    assert "Says it" in inspect.getdoc(cached)  # type: ignore[operator]


def test_a_copy_of_the_wrapper_is_the_wrapper() -> None:
    assert copy.copy(at_home) is copy.deepcopy(at_home) is at_home


at_home_suite = Suite()


@at_home_suite.cached(60)
def at_home(a: int) -> int:
    return a


def test_methods() -> None:
    suite = Suite()
    calls = []

    class Shop:
        def __init__(self, number: int) -> None:
            self.number = number

        @suite.cached(60, key=lambda a: (a["self"].number, a["a"]))
        def method(self, a: int = 1) -> list[int]:
            """Counts."""
            calls.append(a)
            return [self.number, a, len(calls)]

        @classmethod
        @suite.cached(60, ignore=("cls",))
        def of_class(cls, a: int) -> list[int]:
            calls.append(a)
            return [a, len(calls)]

        @staticmethod
        @suite.cached(60)
        def static(a: int) -> list[int]:
            calls.append(a)
            return [a, len(calls)]

        @suite.cached(60, ignore=("self",))
        async def later(self, a: int) -> list[int]:
            calls.append(a)
            return [a, len(calls)]

    one, two = Shop(1), Shop(2)
    assert [one.method(), two.method(), one.method(1), Shop.method(one)] == [
        [1, 1, 1],
        [2, 1, 2],
        [1, 1, 1],
        [1, 1, 1],
    ]
    one.method.invalidate()
    assert one.method() == [1, 1, 3]
    assert two.method.refresh() == two.method() == [2, 1, 4]
    assert one.method.__doc__ == "Counts."
    assert one.method.__name__ == "method"
    assert str(inspect.signature(one.method)) == "(a: 'int' = 1) -> 'list[int]'"
    assert one.method.__wrapped__() == [1, 1, 5]

    # Type checkers do not see what classmethod and staticmethod make of an object.
    shop: Any = Shop
    any_one: Any = one
    assert shop.of_class(1) == any_one.of_class(1) == [1, 6]
    shop.of_class.invalidate(Shop, 1)
    assert shop.of_class(1) == [1, 7]
    with pytest.raises(TypeError):
        shop.of_class.invalidate(1)
    with pytest.raises(TypeError, match="takes the class first"):
        shop.of_class.invalidate(1, 1)

    assert shop.static(1) == any_one.static(1) == [1, 8]
    any_one.static.invalidate(1)
    assert shop.static(1) == [1, 9]

    assert inspect.iscoroutinefunction(one.later)
    assert asyncio.run(one.later(1)) == asyncio.run(two.later(1)) == [1, 10]
    asyncio.run(one.later.invalidate(1))
    assert asyncio.run(two.later(1)) == [1, 11]


# Faults


@pytest.mark.parametrize("fault", [OSError("disk full"), TimeoutError(), ValueError("?")], ids=str)
def test_a_broken_store_is_no_fault_of_the_caller(world: World, fault: Exception) -> None:
    if world.local:
        driver: Any = world.suite.driver("cache")
        driver.find = driver.keep = broken(fault)
    else:
        world.kept.broken = fault
    function, _ = counted(world)
    assert [world.call(function, 1) for _ in range(3)] == [[1, 1], [1, 2], [1, 3]]
    assert world.suite.faults.counts["the store of a function"] >= 6
    assert len(world.suite.functions.calls.flights) == 0
    if not world.local:
        world.kept.broken = None  # it recovers by itself
        assert world.call(function, 1) == world.call(function, 1) == [1, 4]


def broken(fault: Exception) -> Any:
    def call(*_: Any) -> Any:
        raise fault

    return call


def test_an_invalidation_that_fails_is_not_kept_quiet() -> None:
    driver = Kept()
    suite = suite_on(driver)
    function = suite.cached(60, version="1")(lambda: 1)
    function()
    driver.broken = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        function.invalidate()


@pytest.mark.parametrize(
    "junk",
    [b"", b"\xc1", b"garbage", b"\x80\x04\x95.", bytes(1000), b"\x98" + b"\xc0" * 8],
    ids=str,
)
@pytest.mark.parametrize("way", ["plain", "asyncio"])
def test_junk_in_the_store_is_a_miss_and_counted(way: str, junk: bytes) -> None:
    world = World(way, "bytes")
    function, _ = counted(world)
    world.call(function, 1)
    for key in world.kept.held:
        world.kept.held[key] = junk
    assert world.call(function, 1) == world.call(function, 1) == [1, 2]
    # Once at first, and once more by the call that has taken the lead.
    assert world.suite.faults.counts == {"a stored frame": 2}


def test_what_the_annotation_does_not_take_any_more_is_a_miss() -> None:
    driver = Kept()

    def first(a: int) -> dict[str, int]:
        return {"a": a}

    def second(a: int) -> tuple[int]:
        return (a,)

    for function in (first, second):
        function.__qualname__ = "function"
    assert suite_on(driver).cached(60)(first)(1) == {"a": 1}
    suite = suite_on(driver)
    new = suite.cached(60)(second)
    assert new(1) == new(1) == (1,)
    assert driver.writes == 2
    assert suite.faults.counts == {"a stored frame": 2}


def test_an_async_driver_is_refused_for_a_plain_function() -> None:
    with pytest.raises(DriverError, match=r"plain must be .*: Suspending has only an async face"):
        suite_on(Suspending()).cached(60)(plain)


def test_a_blocking_driver_does_not_hold_the_loop() -> None:
    asked = anyio.Event()

    class Slow(Kept):
        def get(self, key: bytes) -> bytes | None:
            anyio.from_thread.run_sync(asked.set)  # the loop runs while this waits for it
            return super().get(key)

    function = suite_on(Slow()).cached(60)(suspending)
    assert anyio.run(function, 2) == ["x", "x"]


def test_a_closed_suite_lets_functions_run(world: World) -> None:
    function, _ = counted(world)
    world.call(function, 1)
    world.suite.close()
    assert [world.call(function, 1) for _ in range(2)] == [[1, 2], [1, 3]]
    world.call(function.invalidate, 1)
    assert world.call(function.refresh, 1) == [1, 4]
    assert world.call(function, object())[1] == 5
    if not world.local:
        assert world.kept.held == {} or isinstance(world.driver, Suspending)


def test_a_collected_suite_leaves_nothing_behind() -> None:
    import gc
    import weakref

    suite = Suite()
    function = suite.cached(60)(lambda: 1)
    function()
    gone = weakref.ref(suite)
    del suite, function
    gc.collect()
    assert gone() is None
