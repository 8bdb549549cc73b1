"""Nothing is lost between a request's end and its being counted, and nothing piles up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count

from apsperf_mw.observe.ledger import CROWDED, FULL, Ledger
from apsperf_mw.observe.record import Finished

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
