"""The contract's part on many at once: threads, processes and forks."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from apsperf_mw.testing.contract.base import MINUTE_S, Child, Contract, forks, needs

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.drivers.base import Driver

THREADS = 8


def at_once(call: Callable[[int], Any]) -> list[Any]:
    """What each of many threads got."""
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(call, range(THREADS)))


class Crowds(Contract):
    """What one is told to be done, all see; nobody sees half of anything."""

    def test_threads_never_see_half_a_value_or_another_keys(self, driver: Driver) -> None:
        def hammer(seed: int) -> None:
            chance = random.Random(seed)  # noqa: S311
            for _ in range(100):
                key = b"%d;" % chance.randrange(20)
                match chance.randrange(4):
                    case 0:
                        driver.set(key, key * chance.choice((1, 100, 20_000)), MINUTE_S)
                    case 1:
                        driver.delete(key)
                    case _:
                        value = driver.get(key)
                        assert value is None or value == key * (len(value) // len(key))

        at_once(hammer)

    def test_of_threads_that_add_one_does(self, driver: Driver) -> None:
        for number in range(5):
            added = at_once(partial(self._add, driver, number))
            assert added.count(True) == 1
            assert driver.get(b"%d" % number) == b"%d" % added.index(True)

    def _add(self, driver: Driver, number: int, who: int) -> bool:
        return driver.add(b"%d" % number, b"%d" % who, MINUTE_S)

    def test_of_threads_that_want_the_lease_one_gets_it(self, driver: Driver) -> None:
        tokens = [t for t in at_once(lambda _: driver.lease(b"k", MINUTE_S)) if t is not None]
        assert len(tokens) == 1
        done = at_once(lambda _: driver.commit(b"k", tokens[0], b"v", MINUTE_S))
        assert done.count(True) == 1

    def test_no_bump_of_a_thread_is_lost(self, driver: Driver) -> None:
        def bump(who: int) -> list[int]:
            return [driver.bump(b"space", [b"%d %d" % (who, n)]).position for n in range(5)]

        positions = [position for bumped in at_once(bump) for position in bumped]
        assert len(set(positions)) == 5 * THREADS
        assert len(driver.versions(b"space", 0).bumps) == 5 * THREADS

    @forks
    @needs("reopen")
    def test_processes_see_what_others_have_done(self, driver: Driver) -> None:
        driver.set(b"k", b"v", MINUTE_S)
        bumped = driver.bump(b"space", [b"a"]).position

        def child() -> bytes:
            with self.another() as mine:
                assert mine.look(b"k", b"space").position == bumped
                mine.set(b"k", mine.get(b"k") or b"", MINUTE_S)
                mine.set(b"made", bytes(100_000), MINUTE_S)
                mine.bump(b"space", [b"b"])
                return mine.lease(b"job", MINUTE_S) or b""

        token = Child(child).result()
        assert driver.get(b"made") == bytes(100_000)
        assert [name for name, _ in driver.versions(b"space", 0).bumps] == [b"a", b"b"]
        assert driver.lease(b"job", MINUTE_S) is None
        assert driver.commit(b"job", token, b"v", MINUTE_S)

    @forks
    @needs("reopen")
    def test_of_processes_one_adds_and_no_bump_is_lost(self, driver: Driver) -> None:

        def child(who: int) -> bytes:
            with self.another() as mine:
                added = [mine.add(b"%d" % number, b"%d" % who, MINUTE_S) for number in range(10)]
                for number in range(10):
                    mine.bump(b"space", [b"%d %d" % (who, number)])
                return b"".join(b"1" if each else b"0" for each in added)

        children = [Child(partial(child, who)) for who in range(4)]
        rows = [each.result() for each in children]
        assert [sum(row[number] == ord("1") for row in rows) for number in range(10)] == [1] * 10
        assert len(driver.versions(b"space", 0).bumps) == 40


class Exclusive(Contract):
    """What no other may come into."""

    def test_exclusive_keeps_others_out_and_lets_itself_in(self, driver: Driver) -> None:
        driver.set(b"n", b"0", MINUTE_S)

        def count(_: int) -> None:
            for _ in range(5):
                with driver.exclusive(), driver.exclusive():
                    was = int(driver.get(b"n") or b"-1")
                    driver.set(b"n", b"%d" % (was + 1), MINUTE_S)

        at_once(count)
        assert driver.get(b"n") == b"%d" % (5 * THREADS)


@forks
class Forks(Contract):
    """A driver in a process that forks."""

    def test_it_works_on_both_sides_of_a_fork(self, driver: Driver) -> None:
        driver.set(b"k", b"v", MINUTE_S)

        def child() -> bytes:
            assert driver.get(b"k") in (b"v", None)
            for number in range(20):
                assert driver.set(b"child%d" % number, b"v", MINUTE_S)
                assert driver.get(b"child%d" % number) == b"v"
            return b"done"

        forked = Child(child)
        for number in range(20):
            assert driver.set(b"parent%d" % number, b"v", MINUTE_S)
            assert driver.get(b"parent%d" % number) == b"v"
        assert forked.result() == b"done"
        assert driver.get(b"k") == b"v"

    def test_a_fork_amid_the_writes_of_threads_leaves_no_lock_taken(self, driver: Driver) -> None:
        stop = False

        def write(who: int) -> None:
            while not stop:
                driver.set(b"%d" % who, bytes(1000), MINUTE_S)

        with ThreadPoolExecutor(2) as threads:
            writing = [threads.submit(write, who) for who in range(2)]
            try:
                for _ in range(5):
                    child = Child(lambda: b"%d" % driver.set(b"child", b"v", MINUTE_S))
                    assert child.result() == b"1"
            finally:
                stop = True
            for each in writing:
                each.result()
