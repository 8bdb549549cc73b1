"""The memory driver, the registry, and drivers of others behind both shells."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import anyio
import pytest

from apsperf_mw import DriverError, PurgeError, Suite, UnknownDriver
from apsperf_mw.cache.entry import Entry
from apsperf_mw.cache.far import prefix_of
from apsperf_mw.cache.ledger import names_of
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.tags import Purge
from apsperf_mw.drivers.memory import SLOT_BYTES, MemoryDriver
from apsperf_mw.drivers.registry import Registry
from apsperf_mw.testing.dicts import OWN, AsyncDictDriver, DictDriver
from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient
from apsperf_mw.testing.messages import Gate, Reply, Request
from tests.core.support import followers, fresh, numbered, parts

Wrap = Callable[..., Client]
MINUTE_S = 60.0


# The memory driver


def test_keeps_and_forgets() -> None:
    driver = MemoryDriver()
    assert driver.get(b"k") is None
    assert driver.set(b"k", b"v", MINUTE_S)
    assert driver.get(b"k") == b"v"
    assert driver.delete(b"k")
    assert not driver.delete(b"k")
    assert driver.get(b"k") is None


def test_nothing_outlives_its_time(clock: Any) -> None:
    driver = MemoryDriver()
    driver.set(b"k", b"v", 5)
    clock.move(4.9)
    assert driver.get(b"k") == b"v"
    clock.move(0.1)
    assert driver.get(b"k") is None


def test_entries_are_limited() -> None:
    driver = MemoryDriver(max_entries=3)
    for number in range(5):
        driver.set(b"%d" % number, b"v", MINUTE_S)
    assert driver.stats()["entries"] == 3
    assert driver.stats()["evictions"] == 2
    assert [driver.get(b"%d" % number) for number in range(5)] == [None, None, b"v", b"v", b"v"]


def test_bytes_are_limited_and_counted_exactly() -> None:
    driver = MemoryDriver(max_bytes=10 * (SLOT_BYTES + 101))
    for number in range(50):
        driver.set(b"%d" % (number % 10), bytes(100), MINUTE_S)
    said = {"entries": 10, "size_bytes": 10 * (SLOT_BYTES + 101), "evictions": 0, "stores": 50}
    assert driver.stats() == {**said, "expired": 0, "hits": 0}
    driver.set(b"x", bytes(100), MINUTE_S)
    assert driver.stats()["entries"] == 10
    driver.delete(b"x")
    assert driver.stats()["size_bytes"] == 9 * (SLOT_BYTES + 101)
    driver.clear()
    assert driver.stats()["entries"] == driver.stats()["size_bytes"] == 0


def test_what_was_read_gets_a_second_chance() -> None:
    driver = MemoryDriver(max_entries=3)
    for key in (b"a", b"b", b"c"):
        driver.set(key, b"v", MINUTE_S)
    driver.get(b"a")
    driver.set(b"d", b"v", MINUTE_S)
    assert (driver.get(b"b"), driver.get(b"a")) == (None, b"v")
    for key in (b"a", b"c", b"d"):  # all were read: the oldest goes, and it comes to an end
        assert driver.get(key)
    driver.set(b"e", b"v", MINUTE_S)
    assert driver.stats()["entries"] == 3
    assert driver.get(b"e")


def test_a_hot_entry_survives_a_flood() -> None:
    driver = MemoryDriver(max_entries=100)
    driver.set(b"hot", b"v", MINUTE_S)
    for number in range(1000):
        driver.set(b"%d" % number, b"v", MINUTE_S)
        if number % 10 == 0:
            assert driver.get(b"hot") == b"v"


def test_the_expired_goes_before_what_was_read(clock: Any) -> None:
    driver = MemoryDriver(max_entries=2)
    driver.set(b"old", b"v", 1)
    driver.get(b"old")
    driver.set(b"young", b"v", MINUTE_S)
    clock.move(2)
    driver.set(b"new", b"v", MINUTE_S)
    assert driver.get(b"young") == b"v"


def test_overwriting_with_something_larger_keeps_the_new_value() -> None:
    driver = MemoryDriver(max_bytes=5 * (SLOT_BYTES + 101))
    for key in (b"a", b"b", b"c", b"d", b"e"):
        driver.set(key, bytes(100), MINUTE_S)
    assert driver.set(b"a", bytes(400), MINUTE_S)
    assert driver.get(b"a") == bytes(400)
    assert driver.stats()["size_bytes"] <= 5 * (SLOT_BYTES + 101)


def test_what_does_not_fit_at_all_is_declined_and_drops_the_older_value() -> None:
    driver = MemoryDriver(max_bytes=SLOT_BYTES * 3, max_entries=2)
    driver.set(b"a", b"v", MINUTE_S)
    driver.set(b"b", b"v", MINUTE_S)
    assert not driver.set(b"a", bytes(SLOT_BYTES * 3), MINUTE_S)
    assert driver.get(b"a") is None
    driver.set(b"a", b"v", MINUTE_S)
    assert not driver.set(b"c", bytes(SLOT_BYTES * 3), MINUTE_S)
    assert (driver.get(b"a"), driver.get(b"b")) == (b"v", b"v")


def test_threads_may_hammer_it() -> None:
    driver = MemoryDriver(max_bytes=40 * (SLOT_BYTES + 60), max_entries=30)

    def hammer(number: int) -> None:
        chance = random.Random(number)
        for _ in range(2000):
            key = b"%d" % chance.randrange(60)
            match chance.randrange(4):
                case 0:
                    driver.set(key, key * chance.randrange(1, 30), MINUTE_S)
                case 1:
                    driver.delete(key)
                case _:
                    value = driver.get(key)
                    assert value is None or value == key * (len(value) // len(key))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(hammer, range(8)))
    stats = driver.stats()
    assert stats["entries"] <= 30
    assert stats["size_bytes"] <= 40 * (SLOT_BYTES + 60)
    driver.clear()
    assert driver.stats()["size_bytes"] == 0


def test_the_garbage_collector_need_not_walk_the_entries() -> None:
    client = WSGIClient(
        Suite(), lambda r: fresh(("ETag", '"1"'), ("Vary", "Accept"), plan=Plan(tags=("a",)))
    )
    loop = ASGIClient(client.suite, client._app)
    for number in range(20):
        for each in (client, loop):
            each.ask(f"/{number}")
            assert each.ask(f"/{number}").cache.hit
    for _ in range(3):
        gc.collect()
    slots = client.suite.driver("cache")._cache.slots  # type: ignore[union-attr]
    tracked = [
        part
        for key, slot in slots.items()
        for part in (key, slot, slot.value, *parts_of(slot.value))
        if gc.is_tracked(part)
    ]
    assert len(slots) == 40
    assert tracked == []


def parts_of(record: Any) -> list[Any]:
    parts = [getattr(record, name) for name in record.__struct_fields__]
    return [*parts, *(pair for pair in record.headers)] if isinstance(record, Entry) else parts


def test_the_bytes_of_a_key_count() -> None:
    """An attacker chooses the host, the path and what the response varies on."""
    client = WSGIClient(Suite(), lambda _: fresh(("Vary", "X-Long")))

    def size() -> int:
        stats: dict[str, int] = client.suite.driver("cache").stats()  # type: ignore[union-attr]
        return stats["size_bytes"]

    client.ask("/short")
    first = size()
    client.ask("/" + "long" * 500)
    assert size() - first > 2000
    second = size()
    client.ask("/host", {"Host": "h" * 20_000})
    assert size() - second > 20_000 or size() == second
    third = size()
    client.ask("/value", {"X-Long": "v" * 20_000})
    assert size() - third > 20_000


# The registry


class Kept(DictDriver):
    """Notes by which URLs it was made."""

    made: list[str] = []

    @classmethod
    def from_url(cls, url: str) -> Self:
        cls.made.append(url)
        return cls()


class Suspending(AsyncDictDriver):
    """A driver with an async face alone, which really suspends."""


def suite_on(driver: Any, **cache: Any) -> Suite:
    """A suite whose cache is kept by this very driver."""
    module = type(sys)("driver_under_test")
    module.make = lambda _: driver  # type: ignore[attr-defined]
    sys.modules["driver_under_test"] = module
    try:
        return Suite(cache={"driver": "driver_under_test:make", **cache})
    finally:
        del sys.modules["driver_under_test"]


def test_a_driver_is_found_by_its_name_its_url_and_its_factory() -> None:
    registry = Registry({"main": "kept://a", "memory": "memory://?max_entries=7"})
    registry.register("kept", Kept.from_url)
    main = registry.get("main")
    assert isinstance(main, Kept)
    assert Kept.made[-1] == "kept://a"
    assert registry.get("main") is main
    assert registry.get("kept://b") is registry.get("kept://b")
    assert registry.get("kept://b") is not main
    assert isinstance(registry.get("memory"), MemoryDriver)
    assert isinstance(registry.get("apsperf_mw.drivers.memory:MemoryDriver"), MemoryDriver)


def test_a_bare_name_is_enough_for_what_needs_no_options() -> None:
    assert isinstance(Registry({}).get("memory"), MemoryDriver)


def test_threads_that_ask_at_once_get_the_same_driver() -> None:
    registry = Registry({})
    with ThreadPoolExecutor(8) as threads:
        assert len({id(driver) for driver in threads.map(registry.get, ["memory"] * 50)}) == 1


def test_closing_closes_what_was_made_and_makes_it_anew() -> None:
    registry = Registry({})
    registry.register("kept", Kept.from_url)
    driver = registry.get("kept://")
    registry.close()
    registry.close()
    assert driver.closed == 1  # type: ignore[union-attr]
    assert registry.get("kept://") is not driver


def test_a_package_may_offer_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "third_party.py").write_text(
        "from apsperf_mw.drivers.memory import MemoryDriver\n"
        "class Theirs(MemoryDriver):\n"
        "    @classmethod\n"
        "    def from_url(cls, url):\n"
        "        made = cls()\n"
        "        made.url = url\n"
        "        return made\n"
    )
    info = tmp_path / "third_party-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[apsperf_mw.drivers]\ntheirs = third_party:Theirs\nmissing = third_party:Missing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    driver = Suite(default="theirs://x?y=1").driver("cache")
    assert driver.url == "theirs://x?y=1"  # type: ignore[union-attr]
    assert "theirs" in Registry({}).known()
    with pytest.raises(DriverError, match="third_party:Missing does not load"):
        Registry({}).get("missing://")
    sys.modules.pop("third_party", None)


@pytest.mark.parametrize("name", ["redix", "redix://host", "mem"])
def test_an_unknown_driver_is_named_with_those_known(name: str) -> None:
    with pytest.raises(UnknownDriver, match="memory, mine") as raised:
        Registry({"mine": "memory://"}).get(name)
    assert repr(name) in str(raised.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://?max_byte=1", ["max_byte", "max_bytes, max_entries, policy"]),
        ("memory://?max_bytes=lots", ["max_bytes", "'lots'", "whole number above 0"]),
        ("memory://?max_bytes=-1", ["'-1'"]),
        ("memory://?max_entries=0", ["max_entries", "'0'"]),
        ("memory://?max_entries=", ["max_entries", "''"]),
        ("memory://?max_entries=\u0663", ["max_entries"]),
        ("no_such_module:make", ["no_such_module"]),
        ("json:no_such_name", ["json:no_such_name"]),
        ("math:pi", ["neither a driver class nor a factory"]),
        ("builtins:len", ["builtins:len", "12"]),
    ],
)
def test_bad_drivers_are_refused_at_set_up(url: str, words: list[str]) -> None:
    with pytest.raises(DriverError) as raised:
        Registry({}).get(url)
    for word in words:
        assert word in str(raised.value)


def test_the_layers_share_a_driver_or_have_their_own() -> None:
    suite = Suite()
    assert suite.driver("cache") is suite.driver("database")
    suite = Suite(database={"driver": "memory://?max_entries=5"})
    assert suite.driver("cache") is not suite.driver("database")


# Drivers of others, behind the shells


def test_an_async_driver_is_refused_by_the_wsgi_shell() -> None:
    suite = suite_on(Suspending())
    with pytest.raises(DriverError, match=r"Suspending has only an async face; .*suite\.wsgi\(\)"):
        suite.wsgi(lambda *_: [])


@pytest.fixture(params=["asgi blocking", "wsgi blocking", "asgi suspending", "trio suspending"])
def far(request: pytest.FixtureRequest) -> tuple[Callable[..., Client], Any]:
    """A driver of the test's own behind a shell."""
    shell, kind = request.param.split()
    driver: Any = Kept() if kind == "blocking" else Suspending()

    def wrap(app: Any, **cache: Any) -> Client:
        suite = suite_on(driver, **cache)
        if shell == "wsgi":
            return WSGIClient(suite, app)
        return ASGIClient(suite, app, "trio" if shell == "trio" else "asyncio")

    return wrap, driver


Far = tuple[Callable[..., Client], Any]


def test_a_far_driver_keeps_frames(far: Far, clock: Any) -> None:
    wrap, driver = far
    client = wrap(numbered(("Cache-Control", "max-age=60"), ("ETag", '"1"'), ("X-A", "1")))
    assert client.ask().cache.stored
    clock.move(5)
    hit = client.ask()
    assert (hit.body, hit.cache.hit, hit.header("age"), hit.header("x-a")) == (
        b"answer 1",
        True,
        "5",
        "1",
    )
    assert client.ask(headers={"If-None-Match": '"1"'}).status == 304
    assert client.ask(method="HEAD").cache.hit
    assert all(type(frame) is bytes for frame in driver.held.values())
    clock.move(55)
    assert client.ask().body == b"answer 2"
    assert not client.suite.faults.counts


def test_a_far_driver_keeps_variants(far: Far) -> None:
    wrap, _ = far
    client = wrap(lambda r: fresh(("Vary", "Accept"), body=[str(r.header("accept")).encode()]))
    for _ in range(2):
        for accept in ("a", "b"):
            assert client.ask(headers={"Accept": accept}).body == accept.encode()
    assert client.calls == 2


@pytest.mark.parametrize("headers", [{"Cookie": "a=1"}, {"Authorization": "Basic x"}])
def test_a_far_driver_gives_nobody_what_is_for_another(far: Far, headers: dict[str, str]) -> None:
    wrap, _ = far
    client = wrap(numbered())
    client.ask()
    assert client.ask(headers=headers).body == b"answer 2"
    assert client.ask(headers=headers).body == b"answer 3"
    assert client.ask().body == b"answer 1"


def test_a_far_driver_forgets_what_is_invalidated(far: Far) -> None:
    wrap, _ = far
    client = wrap(numbered())
    client.ask()
    client.ask(method="POST")
    assert client.ask().body == b"answer 3"
    assert client.ask().cache.hit


def purge(client: Client, driver: Any, *tags: str) -> None:
    """Purge by the face that the driver has."""
    if hasattr(driver, "get"):
        client.suite.purge(*tags)
    else:
        anyio.run(client.suite.apurge, *tags, backend=client.backend)  # type: ignore[attr-defined]


def test_a_far_driver_hears_of_purges(far: Far) -> None:
    wrap, driver = far
    client = wrap(lambda _: fresh(plan=Plan(tags=("song",))))
    client.ask()
    purge(client, driver, "other")
    assert client.ask().cache.hit
    purge(client, driver, "song")
    assert not client.ask().cache.hit
    assert client.ask().cache.hit
    assert client.calls == 2


def test_what_is_made_while_it_is_purged_is_not_served_from_a_far_driver(far: Far) -> None:
    wrap, driver = far
    purges = [("song",)]

    def app(_request: Any) -> Any:
        for tags in purges:
            names = names_of(Purge(tags))
            if hasattr(driver, "get"):  # as another process does
                driver.bump(prefix_of(""), names)
            else:
                driver.kept.bump(prefix_of(""), names)
        purges.clear()
        return fresh(plan=Plan(tags=("song",)))

    client = wrap(app)
    client.ask()
    assert not client.ask().cache.hit
    assert client.ask().cache.hit


def test_a_purge_that_a_far_driver_does_not_take_fails(far: Far) -> None:
    wrap, driver = far
    client = wrap(lambda _: fresh(plan=Plan(tags=("song",))))
    client.ask()
    driver.broken = OSError("gone")
    with pytest.raises(PurgeError, match="did not take the purge: OSError"):
        purge(client, driver, "song")


def test_a_crowd_on_a_far_driver_makes_one_call(far: Far) -> None:
    wrap, _ = far
    gate = Gate()
    client = wrap(lambda _: fresh(body=parts(gate, b"page")))

    def all_there() -> bool:
        if followers(client.suite) == 19:
            gate.open()
            return True
        return False

    replies = client.send_all([make_request()] * 20, meanwhile=all_there)
    assert {reply.body for reply in replies if isinstance(reply, Reply)} == {b"page"}
    assert client.calls == 1
    assert len(client.suite.responses.flights) == 0


@pytest.mark.parametrize("fault", [OSError("disk full"), ConnectionResetError(), TimeoutError()])
def test_a_broken_driver_is_no_fault_of_the_app(far: Far, fault: Exception) -> None:
    wrap, driver = far
    client = wrap(numbered())
    driver.broken = fault
    assert client.ask().body == b"answer 1"
    assert client.ask().body == b"answer 2"
    assert client.ask(method="POST").status == 200
    assert client.suite.faults.counts.total() >= 3
    assert len(client.suite.responses.flights) == 0
    driver.broken = None  # it recovers by itself
    assert client.ask().cache.stored
    assert client.ask().cache.hit


def test_a_driver_that_breaks_amid_a_fill_lets_the_followers_have_it(far: Far) -> None:
    wrap, driver = far
    gate = Gate()
    client = wrap(lambda _: fresh(body=parts(gate, b"page")))

    def all_there() -> bool:
        if gate.arrivals and followers(client.suite) == 9:
            driver.broken = OSError("disk full")
            gate.open()
            return True
        return False

    replies = client.send_all([make_request()] * 10, meanwhile=all_there)
    assert [reply.body for reply in replies if isinstance(reply, Reply)] == [b"page"] * 10
    assert client.calls == 1
    assert len(client.suite.responses.flights) == 0


def test_a_crowd_on_a_broken_driver_is_served(far: Far) -> None:
    wrap, driver = far
    driver.broken = ConnectionResetError()
    client = wrap(numbered())
    replies = client.send_all([make_request()] * 20)
    assert len({reply.body for reply in replies if isinstance(reply, Reply)}) == 20
    assert len(client.suite.responses.flights) == 0


@pytest.mark.parametrize(
    "junk", [b"", b"\xc1", b"garbage", b"\x80\x04\x95.", bytes(1000), b"\x9c" + b"\xc0" * 12]
)
def test_junk_in_a_far_store_is_a_miss(far: Far, junk: bytes) -> None:
    wrap, driver = far
    client = wrap(numbered())
    client.ask()
    for key in driver.held:
        driver.held[key] = junk
    assert client.ask().body == b"answer 2"
    assert client.ask().cache.hit


def test_what_was_invalidated_while_it_was_stored_is_gone_though_the_client_left() -> None:
    before, after = anyio.Event(), anyio.Event()

    class Slow(Suspending):
        async def aset(self, key: bytes, value: bytes, ttl_s: float) -> bool:
            if key.endswith(OWN):
                return await super().aset(key, value, ttl_s)
            await before.wait()
            self.held[key] = value
            await after.wait()
            return True

    driver = Slow()
    client = ASGIClient(suite_on(driver), numbered())

    async def scenario() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.asend, make_request())
            while not client.calls:
                await anyio.sleep(0)
            await client.asend(make_request(method="POST"))
            before.set()
            while not driver.held:
                await anyio.sleep(0)
            tasks.cancel_scope.cancel()

    anyio.run(scenario)
    assert driver.held == {}


def test_the_log_is_quiet_between_two_intervals(caplog: pytest.LogCaptureFixture) -> None:
    driver = Kept()
    client = WSGIClient(suite_on(driver), numbered())
    driver.broken = OSError("disk full")
    for _ in range(20):
        client.ask()
    places = [record.getMessage().split(" (")[0] for record in caplog.records]
    assert len(places) == len(set(places))
    assert client.suite.faults.counts.total() >= 20
    assert "disk full" in caplog.text


def test_reads_of_a_blocking_driver_do_not_hold_the_loop() -> None:
    gate = Gate()

    class Slow(Kept):
        def get(self, key: bytes) -> bytes | None:
            from apsperf_mw.runtime.step import step
            from apsperf_mw.runtime.threads import Waits

            assert step(Waits().wait(gate.join, 20))
            return super().get(key)

    client = ASGIClient(suite_on(Slow()), numbered())

    def loop_runs() -> bool:
        if gate.arrivals:
            gate.open()  # by the loop, which the waiting thread does not hold
            return True
        return False

    assert isinstance(client.send_all([make_request()], meanwhile=loop_runs)[0], Reply)


def test_a_request_of_the_app_sees_what_the_client_sent() -> None:
    seen: list[Request] = []

    def app(request: Request) -> Any:
        seen.append(request)
        return fresh()

    for client in (ASGIClient(Suite(), app), WSGIClient(Suite(), app)):
        client.ask("/a%20b?c=1", {"X-A": "1"}, method="POST", body=b"abc")
    assert [(r.method, r.target, r.body, r.header("X-A"), r.header("host")) for r in seen] == [
        ("POST", "/a%20b?c=1", b"abc", "1", "shop.test")
    ] * 2
