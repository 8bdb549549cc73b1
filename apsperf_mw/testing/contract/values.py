"""The contract's part on values: what is kept, for how long, and how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from apsperf_mw.drivers.base import LATER
from apsperf_mw.testing.contract.base import MINUTE_S, Contract, needs

if TYPE_CHECKING:
    from apsperf_mw.drivers.base import Driver

KEYS = [
    b"k",
    b"",
    b" ",
    "\N{SNOWMAN} k\u00e9y".encode(),
    b"a\0b",
    b"\xff\xfe",
    b"*?[a-z]%_'\";--",
    b"../../etc/passwd",
    b"{tag}:\r\n",
    b"k" * 2000,
]
VALUES = [b"", b"v", b"\0", "\N{SNOWMAN}".encode(), b"\x80\x04.", bytes(1_048_576)]


class Values(Contract):
    """Get, set, add, delete, many, expiry, close."""

    @pytest.mark.parametrize("key", KEYS)
    def test_any_bytes_are_a_key(self, driver: Driver, key: bytes) -> None:
        assert driver.get(key) is None
        assert driver.set(key, b"v", MINUTE_S)
        assert driver.get(key) == b"v"
        assert driver.get(key + b"x") is None
        assert driver.delete(key)
        assert not driver.delete(key)
        assert driver.get(key) is None

    @pytest.mark.parametrize("value", VALUES)
    def test_any_bytes_are_a_value(self, driver: Driver, value: bytes) -> None:
        assert driver.set(b"k", value, MINUTE_S)
        found = driver.get(b"k")
        assert type(found) is bytes
        assert found == value
        assert driver.get_many([b"k"]) == {b"k": value}

    def test_the_last_value_counts(self, driver: Driver) -> None:
        for value in (b"first", bytes(200_000), b"last"):
            assert driver.set(b"k", value, MINUTE_S)
            assert driver.get(b"k") == value

    def test_nothing_outlives_its_time(self, driver: Driver) -> None:
        driver.set(b"short", b"v", self.short_s)
        driver.set(b"short and large", bytes(200_000), self.short_s)
        driver.set(b"long", b"v", MINUTE_S)
        driver.set(b"renewed", b"old", self.short_s)
        driver.set(b"renewed", b"new", MINUTE_S)
        driver.set(b"cut short", b"v", MINUTE_S)
        driver.set(b"cut short", b"v", self.short_s)
        self.wait_out()
        names = [b"short", b"short and large", b"long", b"renewed", b"cut short"]
        assert driver.get_many(names) == {b"long": b"v", b"renewed": b"new"}
        assert [driver.get(name) for name in names] == [None, None, b"v", b"new", None]
        assert not driver.delete(b"short")

    def test_what_is_there_is_there_before_its_time_is_over(self, driver: Driver) -> None:
        driver.set(b"k", b"v", self.short_s * 50)
        assert driver.get(b"k") == b"v"

    @pytest.mark.parametrize("ttl_s", [0, -1.0])
    def test_no_time_to_live_keeps_nothing(self, driver: Driver, ttl_s: float) -> None:
        driver.set(b"k", b"old", MINUTE_S)
        driver.set(b"k", b"new", ttl_s)
        assert driver.get(b"k") is None
        driver.add(b"k", b"new", ttl_s)
        assert driver.get(b"k") is None

    @pytest.mark.parametrize("ttl_s", [0.4, 90_000.5, 400 * 86_400.0])
    def test_any_time_to_live_is_taken(self, driver: Driver, ttl_s: float) -> None:
        assert driver.set(b"k", b"v", ttl_s)
        assert driver.get(b"k") == b"v"

    def test_add_keeps_only_where_nothing_is(self, driver: Driver) -> None:
        assert driver.add(b"k", b"first", self.short_s)
        assert not driver.add(b"k", b"second", MINUTE_S)
        assert driver.get(b"k") in (b"first", None)
        self.wait_out()
        assert driver.add(b"k", b"third", MINUTE_S)
        assert driver.get(b"k") == b"third"
        driver.delete(b"k")
        assert driver.add(b"k", b"fourth", MINUTE_S)

    def test_many_at_once(self, driver: Driver) -> None:
        items = {b"k%d" % number: b"v%d" % number for number in range(100)}
        assert driver.set_many(items, MINUTE_S) == []
        assert driver.get_many([*items, b"none"]) == items
        assert driver.delete_many([*list(items)[:40], b"none"]) == 40
        assert len(driver.get_many(list(items))) == 60
        assert driver.get_many([]) == {}
        assert driver.set_many({}, MINUTE_S) == []
        assert driver.delete_many([]) == 0

    def test_clear_forgets_everything(self, driver: Driver) -> None:
        driver.set_many({b"k%d" % number: bytes(number * 1000) for number in range(50)}, MINUTE_S)
        driver.clear()
        assert driver.get_many([b"k%d" % number for number in range(50)]) == {}
        assert driver.set(b"k1", b"v", MINUTE_S)
        assert driver.get(b"k1") == b"v"

    @pytest.mark.parametrize("prefix", [b"a:", b"a*", b"a%", b"a_", b"a\xff", b"a\0", b"[a]"])
    def test_clear_takes_a_prefix_as_it_is(self, driver: Driver, prefix: bytes) -> None:
        inside = [prefix, prefix + b"x", prefix + b"\xff"]
        outside = [b"a", b"ax:", b"b" + prefix, prefix[:-1] + b"z1", prefix.swapcase() + b"~"]
        outside = [key for key in outside if not key.startswith(prefix)]
        driver.set_many(dict.fromkeys([*inside, *outside], b"v"), MINUTE_S)
        driver.clear(prefix)
        assert driver.get_many([*inside, *outside]) == dict.fromkeys(outside, b"v")

    def test_closing_twice_does_no_harm(self, driver: Driver) -> None:
        driver.set(b"k", b"v", MINUTE_S)
        driver.close()
        driver.close()

    @needs("reopen")
    def test_what_was_kept_is_found_by_the_next_driver(self, driver: Driver) -> None:
        driver.set(b"k", b"v", MINUTE_S)
        driver.set(b"large", bytes(300_000), MINUTE_S)
        driver.set(b"short", b"v", self.short_s)
        driver.bump(b"space", [b"name"])
        position = driver.versions(b"space", 0)
        with self.another() as other:
            self.wait_out()
            assert other.get(b"k") == b"v"
            assert other.get(b"large") == bytes(300_000)
            assert other.get(b"short") is None
            assert other.versions(b"space", 0) == position
            other.set(b"k", b"new", MINUTE_S)
            assert driver.get(b"k") == b"new"


class Counts(Contract):
    """What a blocking face tells besides."""

    def test_a_quick_read_says_the_same_or_nothing(self, driver: Driver) -> None:
        driver.set(b"k", b"v", MINUTE_S)
        driver.set(b"large", bytes(1_000_000), MINUTE_S)
        assert driver.quick_get(b"k") in (b"v", LATER)
        assert driver.quick_get(b"large") in (bytes(1_000_000), LATER)
        assert driver.quick_get(b"none") in (None, LATER)

    def test_it_counts_what_it_holds(self, driver: Driver) -> None:
        driver.set(b"k", bytes(5000), MINUTE_S)
        stats = driver.stats()
        assert {"entries", "size_bytes"} <= set(stats)
        assert all(type(count) is int for count in stats.values())

    @needs("limited")
    def test_bytes_are_limited(self) -> None:
        made, most = self.limited()
        with self.opened(made) as driver:
            size = most // 20
            for number in range(100):
                driver.set(b"%d" % number, bytes(size), MINUTE_S)
                assert driver.stats()["size_bytes"] <= most
            assert driver.get(b"99") == bytes(size)
            assert not driver.set(b"99", bytes(most + 1), MINUTE_S)
            assert driver.get(b"99") is None
