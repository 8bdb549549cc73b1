"""Each policy against its plainest form, and what all of them promise."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.drivers.base import Slot
from apsperf_mw.drivers.eviction import GDSF, LRU, POLICIES, Eviction, Sieve
from apsperf_mw.drivers.eviction.ghosts import LEAST_CELLS, Ghosts
from tests.eviction.references import PlainGDSF, PlainLRU, PlainSieve

FOREVER = 1e12
BOUNDLESS = 1 << 60
Step = tuple[str, int, int, int]

policies = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
asks = st.lists(st.integers(0, 12), max_size=300)
steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "put", "drop", "wait"]),
        st.integers(0, 9),  # the key
        st.one_of(st.integers(1, 30), st.integers(90, 110)),  # the size
        st.integers(1, 40),  # the time to live
    ),
    max_size=200,
)


def ask(cache: Eviction, key: object, now: float, cost_s: float = 0.01) -> bool:
    slot = cache.slots.get(key)
    if slot is not None:
        slot.hits += 1
        slot.used = now
        return True
    cache.place(key, Slot(None, 1, FOREVER, cost_s), now)
    return False


@given(st.integers(1, 8), asks)
def test_lru_evicts_as_its_plain_form(most: int, keys: list[int]) -> None:
    cache, plain = LRU(BOUNDLESS, most), PlainLRU(most)
    for now, key in enumerate(keys):
        assert ask(cache, key, float(now)) is plain.ask(key)
        assert set(cache) == set(plain.order)


@given(st.integers(1, 8), asks, st.data())
def test_sieve_evicts_as_its_plain_form(most: int, keys: list[int], data: Any) -> None:
    cache, plain = Sieve(BOUNDLESS, most), PlainSieve(most)
    for now, key in enumerate(keys):
        if key == 0:
            gone = data.draw(st.integers(0, 12))
            cache.remove(gone)
            plain.drop(gone)
        assert ask(cache, key, float(now)) is plain.ask(key)
        assert set(cache) == set(plain.queue)


@given(st.integers(1, 8), asks, st.lists(st.floats(0.001, 10), min_size=13, max_size=13))
def test_gdsf_evicts_as_its_plain_form(most: int, keys: list[int], costs: list[float]) -> None:
    cache, plain = GDSF(most, most), PlainGDSF(most, costs)
    cache._ghosts = Remembering()
    for now, key in enumerate(keys):
        assert ask(cache, key, float(now), costs[key]) is plain.ask(key)
        assert set(cache) == set(plain.rank)


class Remembering(Ghosts):
    """Forgets nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.uses: dict[object, int] = {}

    def keep(self, key: object, uses: int, entries: int) -> None:
        self.uses[key] = uses

    def recall(self, key: object) -> int:
        return self.uses.get(key, 0)


@policies
@given(taken=steps)
def test_bounds_hold_and_nobody_gets_anothers_value(
    policy: type[Eviction], taken: list[Step]
) -> None:
    cache, kept = policy(100, 6), dict[int, tuple[object, float]]()
    now = 0.0
    for number, (what, key, size, ttl) in enumerate(taken):
        slot = cache.slots.get(key)
        if what == "wait":
            now += ttl / 4
        elif what == "drop":
            assert cache.remove(key) is (slot is not None)
        elif what == "put" or slot is None or slot.deadline <= now:
            kept[key] = (number, now + ttl)
            others = set(cache) - {key}
            placed = cache.place(key, Slot(number, size, now + ttl, ttl / 100), now)
            assert placed is (size <= 100) is (key in cache)
            assert placed or set(cache) == others
        else:
            slot.hits += 1
            slot.used = now
            assert (slot.value, slot.deadline) == kept[key]
        assert_sound(cache)


def assert_sound(cache: Eviction) -> None:
    """What is counted is there, within the bounds; what is noted has no more than its bound."""
    assert cache.size_bytes == cache.currsize == sum(s.size_bytes for s in cache.slots.values())
    assert cache.size_bytes <= cache.max_bytes
    assert len(cache) <= cache.max_entries
    noted = sorted(key for bucket in cache._expiry._buckets.values() for key in bucket.values())  # type: ignore[type-var]
    assert noted == sorted(cache.slots)  # type: ignore[type-var]
    assert notes(cache) <= 2 * cache.max_entries + 66


def notes(cache: Any) -> int:
    return len(cache._ahead) + len(cache._passed) if isinstance(cache, Sieve) else len(cache._heap)


@policies
def test_notes_of_what_is_no_more_do_not_pile_up(policy: type[Eviction]) -> None:
    cache = policy(BOUNDLESS, 10)
    for number in range(3000):
        cache.place(number % 20, Slot(None, 1, 1e6, 0.01), 0.0)
        if number % 3:
            cache.remove(number % 20)
        assert_sound(cache)


@policies
def test_the_expired_go_first(policy: type[Eviction]) -> None:
    cache = policy(BOUNDLESS, 100)
    for key in range(100):
        cache.place(key, Slot(None, 1, 50.0 if key % 2 else 5000.0), 0.0)
        cache.slots[key].hits += 10 * (key % 2)  # the more often used ones expire
    for key in range(100, 150):
        cache.place(key, Slot(None, 1, 5000.0), 60.0)
    assert (cache.expired, cache.evictions) == (50, 0)
    assert not any(key in cache for key in range(1, 100, 2))
    assert all(key in cache for key in range(0, 100, 2))


@policies
def test_what_is_given_more_time_is_not_taken_for_expired(policy: type[Eviction]) -> None:
    cache = policy(BOUNDLESS, 2)
    cache.place("renewed", Slot(None, 1, 10.0, 9.0), 0.0)
    cache.place("renewed", Slot(None, 1, 1000.0, 9.0), 1.0)
    cache.place("other", Slot(None, 1, 1000.0), 20.0)
    cache.slots["renewed"].hits += 1
    cache.slots["renewed"].used = 30.0
    cache.place("new", Slot(None, 1, 1000.0), 40.0)
    assert set(cache) == {"renewed", "new"}
    cache.place("new", Slot(None, 1, 50.0), 41.0)  # and less time counts at once
    cache.place("newest", Slot(None, 1, 1000.0), 60.0)
    assert (set(cache), cache.expired) == ({"renewed", "newest"}, 1)


@policies
def test_what_lasts_for_ever_may_be_kept(policy: type[Eviction]) -> None:
    cache = policy(BOUNDLESS, 2)
    for key in range(5):
        cache.place(key, Slot(None, 1, float("inf")), float(key))
    assert (len(cache), cache.evictions) == (2, 3)


@policies
def test_an_overwrite_with_something_larger_evicts_others_or_itself_and_is_kept(
    policy: type[Eviction],
) -> None:
    for renewed in range(4):
        cache = policy(40, 10)
        for key in range(4):
            cache.place(key, Slot("old", 10, FOREVER), float(key))
        assert cache.place(renewed, Slot("new", 35, FOREVER), 9.0)
        assert {key: slot.value for key, slot in cache.items()} == {renewed: "new"}
        assert_sized(cache, 35)
        assert not cache.place(renewed, Slot("huge", 41, FOREVER), 10.0)
        assert_sized(cache, 0)


def assert_sized(cache: Eviction, size_bytes: int) -> None:
    assert cache.size_bytes == size_bytes == sum(slot.size_bytes for slot in cache.values())


@policies
def test_it_is_a_cache_of_cachetools(policy: type[Eviction]) -> None:
    cache = policy(30, 10)
    cache["a"] = Slot(1, 10, FOREVER)
    cache["b"] = Slot(2, 20, FOREVER)
    assert (cache.maxsize, cache.currsize, len(cache), sorted(cache)) == (30, 30, 2, ["a", "b"])
    assert (cache["a"].value, cache.get("c"), "b" in cache) == (1, None, True)
    assert cache.pop("b").value == 2
    with pytest.raises(ValueError, match="too large"):
        cache["c"] = Slot(3, 31, FOREVER)
    assert cache.popitem()[0] == "a"
    for missing in (cache.popitem, lambda: cache["a"], lambda: cache.__delitem__("a")):
        with pytest.raises(KeyError):
            missing()


@policies
def test_uses_are_counted_past_the_entries_end(policy: type[Eviction]) -> None:
    cache = policy(BOUNDLESS, 2)
    for key in ("a", "a", "b", "b", "b", "c", "d", "d"):
        ask(cache, key, 1.0)
    cache.place("d", Slot(None, 1, FOREVER), 2.0)
    cache.remove("d")
    assert (cache.hits(), cache.stores, cache.evictions) == (4, 5, 2)


def test_gdsf_keeps_what_is_small_costly_and_often_used() -> None:
    cache = GDSF(1000, 10)  # so that a size counts from 100 on
    cache.place("large", Slot(None, 400, FOREVER, 0.1), 0.0)
    cache.place("cheap", Slot(None, 100, FOREVER, 0.01), 0.0)
    cache.place("good", Slot(None, 100, FOREVER, 0.1), 0.0)
    cache.place("used", Slot(None, 400, FOREVER, 0.1), 0.0)
    cache.slots["used"].hits += 9
    assert [cache.popitem()[0] for _ in range(4)] == ["cheap", "large", "good", "used"]


def test_gdsf_remembers_what_was_used_often() -> None:
    cache = GDSF(BOUNDLESS, 2)
    for _ in range(5):
        ask(cache, "often", 0.0)
    cache.popitem()
    for key in ("often", "x", "y", "z"):
        ask(cache, key, 1.0)
    assert "often" in cache


def test_one_eviction_ranks_only_so_many_anew() -> None:
    for policy in (GDSF, LRU, Sieve):
        cache = policy(BOUNDLESS, 5000)
        for key in range(5000):
            cache.place(key, Slot(None, 1, FOREVER), 0.0)
        for slot in cache.slots.values():
            slot.hits += 1
        cache.place("new", Slot(None, 1, FOREVER), 1.0)
        assert sum(slot.seen for slot in cache.slots.values()) <= 1001


def test_what_is_remembered_is_halved_as_it_ages_and_bounded() -> None:
    ghosts = Ghosts()
    ghosts.keep(("a",), 40, 10)
    assert (ghosts.recall(("a",)), ghosts.recall(("b",))) == (40, 0)
    found = set()
    for number in range(4 * LEAST_CELLS):
        ghosts.keep((number, "x"), 1, 10)
        found.add(ghosts.recall(("a",)))
    assert found <= {40, 20, 10, 5, 2, 0}
    assert len(ghosts._cells) == LEAST_CELLS
    ghosts.keep(("b",), 10**9, LEAST_CELLS - 1)
    assert ghosts.recall(("b",)) == 255
    assert len(ghosts._cells) == 4 * LEAST_CELLS


@policies
def test_readers_need_no_lock(policy: type[Eviction]) -> None:
    """One thread writes, others read and mark: none sees a value of another key, or an error."""
    cache = policy(50 * 64, 64)
    seen = [0, 0, 0]

    def read(number: int) -> None:
        chance = random.Random(number)
        while seen[number] < 5000:
            key = chance.randrange(100)
            slot = cache.slots.get(key)
            if slot is not None:
                slot.hits += 1
                slot.used = float(seen[number])
                assert slot.value == key
                seen[number] += 1

    with ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(read, number) for number in range(3)]
        chance, now = random.Random(9), 0
        while not all(reader.done() for reader in readers):
            key, now = chance.randrange(100), now + 1
            cache.place(key, Slot(key, chance.randrange(1, 100), now + 50.0), float(now))
    assert [reader.result() for reader in readers] == [None] * 3
    assert_sound(cache)
