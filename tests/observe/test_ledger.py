"""Nothing is lost between a request's end and its being counted, and nothing piles up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count

from apsperf_mw.observe.ledger import CROWDED, FULL, MOST_BATCHES, Ledger
from apsperf_mw.observe.record import Finished, Measured

FACTS = ("GET", "http", "/", 200, "1.1", "", "hit")


def test_ten_threads_lose_nothing() -> None:
    counted: list[Finished] = []
    ledger = Ledger(lambda: ledger.drain())  # noqa: PLW0108 - the name is bound only later
    ledger.count = counted.extend
    serial = count()

    def work() -> None:
        for n in range(3000):
            ledger.add(Finished(FACTS, float(next(serial)), 0.0))
            if n % 100 == 0:
                ledger.drain()

    with ThreadPoolExecutor(10) as threads:
        for done in [threads.submit(work) for _ in range(10)]:
            done.result()
    ledger.drain(wait=True)
    assert sorted(each.duration_s for each in counted) == list(range(30_000))


def test_a_crowded_ledger_calls_for_its_thread() -> None:
    calls: list[None] = []
    ledger = Ledger(lambda: calls.append(None))
    for _ in range(CROWDED):
        ledger.add(Finished(FACTS, 0.1, 0.1))
    assert not calls
    ledger.add(Finished(FACTS, 0.1, 0.1))
    assert calls


def test_requests_count_some_themselves_where_the_thread_hangs() -> None:
    counted: list[Finished] = []
    ledger = Ledger(lambda: None)
    ledger.count = counted.extend
    for _ in range(3 * FULL):
        ledger.add(Finished(FACTS, 0.1, 0.1))
    assert len(counted) >= 2 * FULL
    ledger.drain()
    assert len(counted) == 3 * FULL


def test_a_drain_leaves_it_to_one_that_is_under_way() -> None:
    counted: list[Finished] = []
    ledger = Ledger(lambda: None)
    ledger.count = counted.extend
    ledger.add(Finished(FACTS, 0.1, 0.1))
    with ledger.lock:
        ledger.drain()
        assert not counted
    ledger.drain()
    assert len(counted) == 1


def test_batches_are_fetched_and_counted_value_by_value() -> None:
    counted: list[Measured] = []
    ledger = Ledger(lambda: None)
    ledger.count, ledger.count_measured = lambda _: None, counted.extend
    ledger.givers.append(lambda: ledger.batches.append(("kept", [0.1, 0.2], (("a", "b"),))))
    ledger.measure(("one", 0.3, ()))
    ledger.drain()
    assert counted == [("one", 0.3, ()), ("kept", 0.1, (("a", "b"),)), ("kept", 0.2, (("a", "b"),))]
    ledger.givers.clear()
    ledger.drain()
    assert len(counted) == 3


def test_of_batches_that_nobody_counts_the_oldest_are_dropped() -> None:
    ledger = Ledger(lambda: None)
    for number in range(2 * MOST_BATCHES):
        ledger.batches.append(("kept", [float(number)], ()))
    assert len(ledger.batches) == MOST_BATCHES
    assert ledger.batches[-1][1] == [2 * MOST_BATCHES - 1.0]
    ledger.forget(lambda: None)
    assert not ledger.batches
