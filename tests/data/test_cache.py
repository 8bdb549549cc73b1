"""The verbs of a data cache, on every driver and from every kind of caller."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from msgspec import Struct

from apsperf_mw import SettingError
from apsperf_mw.data.values import UnstorableValue
from apsperf_mw.errors import DriverError, UnknownDriver
from tests.data.support import Shop, suite_with
from tests.functions.support import Kept, Suspending, until

DAY = {"on": date(2026, 3, 1), "at": (1, 2), "who": {"a", "b"}}


class Album(Struct):
    title: str
    tracks: tuple[int, ...]


@dataclass
class Price:
    amount: int
    since: date


def test_what_was_set_comes_back_as_it_was_and_is_the_callers_own(shop: Shop) -> None:
    assert shop.set("day", DAY, "short")
    assert shop.get("day") == DAY
    shop.get("day")["who"].add("c")
    assert shop.get("day") == DAY
    assert shop.get("night") is None
    assert shop.get("night", 7) == 7


def test_none_is_a_value(shop: Shop) -> None:
    assert shop.set("nothing", None, 60)
    assert shop.get("nothing", "default") is None
    assert shop.remember("nothing", lambda: 1, 60) is None


def test_text_bytes_and_tuples_are_keys_that_never_meet(shop: Shop) -> None:
    keys: list[Any] = ["a", b"a", ("a",), ("a", 1), ("a", "1"), "", b"", (), "a\0lease", "é" * 3000]
    for number, key in enumerate(keys):
        assert shop.set(key, number, 60)
    assert [shop.get(key) for key in keys] == list(range(len(keys)))


@pytest.mark.parametrize("key", [1, None, ["a"], object(), ("a", object())])
def test_another_key_is_an_error_that_says_what_is_accepted(shop: Shop, key: Any) -> None:
    with pytest.raises(TypeError, match="key: .*; accepted: text, bytes, or a tuple"):
        shop.get(key)


def test_add_keeps_only_where_there_is_nothing(shop: Shop) -> None:
    assert shop.add("a", 1, 60)
    assert not shop.add("a", 2, 60)
    assert shop.get("a") == 1


def test_add_takes_the_place_of_what_is_void(shop: Shop) -> None:
    shop.set("a", 1, 60, tags=["t"])
    shop.invalidate("t")
    assert shop.add("a", 2, 60)
    assert shop.get("a") == 2


def test_delete_says_whether_there_was_something(shop: Shop) -> None:
    shop.set("a", 1, 60)
    assert shop.delete("a")
    assert not shop.delete("a")
    assert shop.get("a") is None


def test_many_at_once(shop: Shop) -> None:
    assert shop.set_many({"a": 1, ("b", 2): DAY, "c": 3}, 60) == []
    assert shop.get_many(["a", ("b", 2), "x"]) == {"a": 1, ("b", 2): DAY}
    assert shop.delete_many(["a", "c", "x"]) == 2
    assert shop.get_many(["a", ("b", 2), "c"]) == {("b", 2): DAY}


def test_many_keep_their_tags(shop: Shop) -> None:
    shop.set_many({"a": 1, "b": 2}, 60, tags="t")
    shop.set("c", 3, 60)
    shop.invalidate("t")
    assert shop.get_many(["a", "b", "c"]) == {"c": 3}


def test_a_number_is_counted_on(shop: Shop) -> None:
    with pytest.raises(KeyError):
        shop.incr("n")
    assert shop.incr("n", ttl=60) == 1
    assert shop.incr("n", 5) == 6
    assert shop.incr("n", -(2**70)) == 6 - 2**70
    shop.set("text", "a", 60)
    with pytest.raises(TypeError, match="'text' holds str; accepted: whole numbers"):
        shop.incr("text")


def test_touch_gives_a_new_time_to_live(shop: Shop) -> None:
    shop.set("a", 1, 60, tags=["t"])
    assert shop.touch("a", "long")
    assert shop.get("a") == 1
    assert not shop.touch("b", 60)
    shop.invalidate("t")
    assert not shop.touch("a", 60)


def test_a_value_ends_with_its_time(shop: Shop) -> None:
    shop.set("a", 1, 60)
    shop.set("b", 1, 60)
    shop.touch("a", 0.02)
    shop.set("b", 2, 0.02)
    until(lambda: shop.get("a") is None and shop.get("b") is None)


def test_invalidated_tags_make_void_what_began_before(shop: Shop) -> None:
    shop.set("a", 1, 60, tags=["x", "y"])
    shop.set("b", 2, 60, tags="z")
    shop.set("c", 3, 60)
    assert [shop.get(key) for key in "abc"] == [1, 2, 3]
    shop.invalidate("y", "other")
    assert [shop.get(key) for key in "abc"] == [None, 2, 3]
    shop.set("a", 4, 60, tags=["x", "y"])
    assert shop.get("a") == 4


def test_what_is_invalidated_while_it_is_made_is_not_kept(shop: Shop) -> None:
    def make() -> int:
        shop.cache.invalidate("t")
        return 1

    async def amake() -> int:
        await shop.cache.ainvalidate("t")
        return 1

    assert shop.remember("a", make if shop.way == "plain" else amake, 60, tags="t") == 1
    assert shop.remember("a", lambda: 2, 60, tags="t") == 2
    assert shop.remember("a", lambda: 3, 60, tags="t") == 2


def test_a_lost_store_of_versions_makes_tagged_values_void(breakable: Shop) -> None:
    shop = breakable
    shop.set("a", 1, 60, tags="t")
    held = shop.driver.own  # type: ignore[union-attr]
    for key in [key for key in held if b"position" in key or b"versions" in key]:
        del held[key]
    assert shop.get("a") is None


def test_clear_empties_one_space_of_one_app(shop: Shop) -> None:
    other = shop.open(space="other")
    shop.set("a", 1, 60)
    shop.on(other, "set", "a", 2, 60)
    shop.clear()
    assert shop.get("a") is None
    assert shop.on(other, "get", "a") == 2


def test_spaces_and_apps_in_one_driver_never_meet() -> None:
    driver = Kept()
    caches = [
        suite_with(driver, cache={"namespace": namespace}).cache("theirs", space=space)
        for namespace, space in [("", ""), ("a", ""), ("", "a"), ("a", "a"), ("aa", "")]
    ]
    for number, cache in enumerate(caches):
        cache.set("k", number, 60, tags="t")
    caches[0].invalidate("t")
    assert [cache.get("k") for cache in caches] == [None, 1, 2, 3, 4]


def test_caches_of_one_name_share_what_is_being_made() -> None:
    suite = suite_with()
    one, two = suite.cache(), suite.cache("memory")
    assert one.stock is two.stock
    assert suite.cache(space="other").stock is not one.stock


@pytest.mark.parametrize(
    "value", [Album("Low", (1, 2)), Price(3, date(2026, 1, 2)), [Album("Heroes", ())]]
)
def test_a_typed_cache_keeps_objects_of_its_type(shop: Shop, value: Any) -> None:
    kind = {Album: Album, Price: Price, list: list[Album]}[type(value)]
    typed = shop.open(of=kind)
    assert shop.on(typed, "set", "a", value, 60)
    assert shop.on(typed, "get", "a") == value
    with pytest.raises(UnstorableValue, match="cannot be kept as"):
        shop.on(typed, "set", "a", object(), 60)


def test_what_is_not_of_the_type_is_a_miss_and_counted(shop: Shop) -> None:
    shop.set("a", {1, 2}, 60)
    assert shop.on(shop.open(of=Album), "get", "a") is None
    assert shop.suite.faults.counts["a stored value"] == 1


def test_objects_are_refused_by_the_name_of_their_type(shop: Shop) -> None:
    for verb in ("set", "add"):
        with pytest.raises(UnstorableValue, match=r"Album cannot be kept: nothing is pickled;"):
            getattr(shop, verb)("a", [Album("Low", ())], 60)
    with pytest.raises(UnstorableValue):
        shop.remember("a", object, 60)
    assert not shop.cache.stock.flights


def test_what_is_too_large_is_not_kept_and_takes_the_old_away(shop: Shop) -> None:
    shop.set("a", 1, 60)
    large = b"x" * (shop.suite.settings.cache.max_entry_bytes + 1)
    assert not shop.set("a", large, 60)
    assert shop.get("a") is None
    assert not shop.add("a", large, 60)
    assert shop.set_many({"a": large, "b": 1}, 60) == ["a"]
    assert shop.remember("a", lambda: large, 60) == large
    assert shop.get_many(["a", "b"]) == {"b": 1}


@pytest.mark.parametrize("ttl", [0, -1, True, "forever", float("inf"), float("nan"), b"1", [1]])
def test_another_ttl_is_an_error_that_says_what_is_accepted(shop: Shop, ttl: Any) -> None:
    refused = pytest.raises(SettingError, match="ttl: .* given; accepted: short, medium")
    with refused:
        shop.set("a", 1, ttl)
    with refused:
        shop.touch("a", ttl)


@pytest.mark.parametrize("tags", [[1], [""], [None]])
def test_other_tags_are_an_error(shop: Shop, tags: Any) -> None:
    with pytest.raises(SettingError, match="tags: .* given; accepted: non-empty strings"):
        shop.set("a", 1, 60, tags=tags)


def test_a_failing_store_is_a_miss_and_counted(breakable: Shop) -> None:
    shop = breakable
    shop.set("a", 1, 60, tags="t")
    shop.break_with(OSError("no"))
    assert shop.get("a", "default") == "default"
    assert shop.get_many(["a"]) == {}
    assert not shop.set("a", 1, 60)
    assert not shop.add("a", 1, 60, tags="t")
    assert shop.set_many({"a": 1, "b": 2}, 60) == ["a", "b"]
    assert not shop.touch("a", 60)
    assert shop.remember("a", lambda: 5, 60, tags="t") == 5
    assert shop.suite.faults.counts[shop.cache.stock.place] >= 7
    assert not shop.cache.stock.flights


def test_what_should_be_gone_and_may_not_be_is_always_raised(breakable: Shop) -> None:
    shop = breakable
    shop.break_with(OSError("no"))
    calls: list[tuple[str, list[Any]]] = [
        ("delete", ["a"]),
        ("delete_many", [["a"]]),
        ("invalidate", ["t"]),
        ("clear", []),
        ("incr", ["a"]),
    ]
    for verb, args in calls:
        with pytest.raises(OSError, match="no"):
            getattr(shop, verb)(*args)


def test_faults_are_raised_where_that_is_asked_for(breakable: Shop) -> None:
    shop = breakable
    cache = shop.open(raises=True)
    shop.break_with(OSError("no"))
    calls: list[tuple[str, list[Any]]] = [
        ("get", ["a"]),
        ("set", ["a", 1, 60]),
        ("get_many", [["a"]]),
    ]
    for verb, args in calls:
        with pytest.raises(OSError, match="no"):
            shop.on(cache, verb, *args)
    assert shop.suite.faults.counts[cache.stock.place] == 3


def test_a_damaged_value_is_a_miss_and_counted(breakable: Shop) -> None:
    shop = breakable
    shop.set("a", {"x": [1, 2, 3]}, 60, tags="t")
    held = shop.driver.held  # type: ignore[union-attr]
    (name,) = [key for key in held if key.endswith(b"sa.")]
    whole = held[name]
    seen = 0
    for cut in range(len(whole)):
        held[name] = whole[:cut]
        assert shop.get("a") is None
        seen += 1
    assert shop.suite.faults.counts["a stored value"] == seen


def test_a_driver_that_only_suspends_has_no_verbs_for_threads() -> None:
    cache = suite_with(Suspending()).cache("theirs")
    with pytest.raises(DriverError, match="has only an async face: use aget, aset"):
        cache.get("a")


def test_an_unknown_driver_is_named_with_those_known() -> None:
    with pytest.raises(UnknownDriver, match="'nosuch' is not known; known: file, memory"):
        suite_with().cache("nosuch")


def test_hits_and_misses_are_counted(shop: Shop) -> None:
    shop.set("a", 1, 60)
    shop.get_many(["a", "b"])
    shop.get("a")
    shop.get("b")
    assert shop.suite.caches.stats()[shop.store] == {"hits": 2, "misses": 2}


def test_no_text_of_a_cache_shows_a_password() -> None:
    suite = suite_with()
    suite.registry.register("odd", lambda _: Kept())
    cache = suite.cache("odd://me:hunter2@host/", space="carts")
    assert repr(cache) == "<DataCache odd://me:***@host/ carts>"
    assert "hunter2" not in f"{cache.stock.place} {suite.caches.stats()}"
