"""What the Redis driver does beside the contract: URLs, names, versions, connections."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.drivers.redis import RedisDriver, commands
from apsperf_mw.drivers.redis.breaker import Breaker
from apsperf_mw.drivers.redis.options import Address, Options
from apsperf_mw.drivers.redis.slots import Slots, slot_of
from apsperf_mw.drivers.registry import Registry
from apsperf_mw.drivers.tiered import Tiered
from apsperf_mw.errors import DriverError, UnknownDriver
from tests.drivers.conftest import MakeFace
from tests.drivers.servers import Cluster, Server

MINUTE_S = 60.0


# URLs


@pytest.mark.parametrize(
    ("url", "addresses", "rest"),
    [
        ("redis://", [("localhost", 6379)], {}),
        ("redis://h", [("h", 6379)], {}),
        ("redis://h:1/3", [("h", 1)], {"db": 3}),
        ("redis://h?db=3", [("h", 6379)], {"db": 3}),
        ("redis://[::1]:7/0", [("::1", 7)], {}),
        ("redis://u:p%40s@h", [("h", 6379)], {"username": "u", "password": "p@s"}),
        ("redis://:a@b/c?d@h", [("h", 6379)], {"password": "a@b/c?d"}),
        ("rediss://h", [("h", 6379)], {"tls": True}),
        ("unix:///run/r.sock?db=2", [("/run/r.sock", 0)], {"db": 2}),
        ("redis+unix://:w@/run/r.sock", [("/run/r.sock", 0)], {"password": "w"}),
        ("redis+cluster://a:1,b:2", [("a", 1), ("b", 2)], {"shape": "cluster"}),
        ("rediss+cluster://a,b", [("a", 6379), ("b", 6379)], {"tls": True}),
        ("redis+sentinel://a,b:2/m/1", [("a", 26379), ("b", 2)], {"master": "m", "db": 1}),
    ],
)
def test_a_url_says_it_all(
    url: str, addresses: list[tuple[str, int]], rest: dict[str, object]
) -> None:
    options = Options.read(url)
    assert list(options.addresses) == addresses
    assert {name: getattr(options, name) for name in rest} == rest


def test_options_stand_behind_the_question_mark() -> None:
    url = "redis://h?timeout_s=0.5&connect_timeout_s=1&max_connections=7&verify=false&ca_file=/c"
    limits = Options.read(url).limits
    assert (limits.timeout_s, limits.connect_timeout_s, limits.max_connections) == (0.5, 1.0, 7)
    assert (limits.verify, limits.ca_file) == (False, "/c")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://h?timeout=1", "'timeout'; accepted: db, connect_timeout_s, timeout_s"),
        ("redis://h?timeout_s=0", "timeout_s is '0'; accepted: seconds above 0"),
        ("redis://h?timeout_s=nan", "accepted: seconds above 0"),
        ("redis://h?max_connections=-1", "accepted: a whole number above 0"),
        ("redis://h?verify=no", "accepted: true or false"),
        ("redis://h:x", "port 'x'; accepted: 1 to 65535"),
        ("redis://h/x", "db is 'x'; accepted: a whole number"),
        ("redis://a,b", r"accepted: one, or them under redis\+cluster:// or redis\+sentinel://"),
        ("redis+cluster://a/1", "a cluster has only db 0"),
        ("redis+sentinel://a", "names no master"),
        ("unix://run/r.sock", "accepted: unix:///path"),
        ("redis+http://h", "accepted: redis://, rediss://"),
    ],
)
def test_a_wrong_url_is_told_what_is_accepted(url: str, told: str) -> None:
    with pytest.raises(DriverError, match=told):
        Options.read(url)


@given(st.text(min_size=4).map(lambda text: f"se%cret{text}"))
def test_no_error_shows_a_password(password: str) -> None:
    for tail in ("h:x", "h?timeout_s=0", "a,b", "h/x", "h?no=1"):
        try:
            shown = repr(Options.read(f"redis://user:{password}@{tail}"))
        except DriverError as fault:
            shown = str(fault)
        assert "cret" not in shown


def test_nor_does_that_of_an_unknown_driver_or_the_text_of_the_limits() -> None:
    with pytest.raises(UnknownDriver, match="known: .*redis") as raised:
        Registry({}).get("rediz://user:secret@h")
    assert "secret" not in str(raised.value)
    assert "secret" not in repr(Options.read("redis://h?sentinel_password=secret").limits)


def test_the_registry_makes_them_by_url(shared_server: Server) -> None:
    registry = Registry({"shop": shared_server.url})
    made = registry.get("shop")
    assert isinstance(made, RedisDriver)
    assert isinstance(registry.get(f"tiered+{shared_server.url}"), Tiered)
    assert isinstance(registry.get("redis+cluster://127.0.0.1:1"), RedisDriver)
    assert {"redis", "rediss", "unix", "tiered"} <= set(registry.known())
    registry.close()


# Names


@given(st.binary(max_size=30))
def test_every_name_leads_back_to_its_key(key: bytes) -> None:
    kinds = (commands.VALUE, commands.LEASE, commands.HASH, commands.NAMES)
    names = [commands.name(key, kind) for kind in kinds]
    assert [commands.key_of(name) for name in names] == [(key, kind) for kind in kinds]
    assert len({slot_of(name) for name in names}) == 1


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_no_two_keys_share_a_name(one: bytes, other: bytes) -> None:
    kinds = (commands.VALUE, commands.LEASE, commands.HASH, commands.NAMES)
    names = {commands.name(key, kind) for key in (one, other) for kind in kinds}
    assert len(names) == 4 * len({one, other})


def test_slots_are_those_of_the_server(cluster: Cluster) -> None:
    chance = random.Random(1)
    for _ in range(200):
        key = bytes(chance.choices(b"ab{}\\\x00\xff", k=chance.randrange(8)))
        for name in (key, commands.name(key)):
            assert slot_of(name) == cluster.nodes[0].say("CLUSTER", "KEYSLOT", name)


def test_a_node_that_does_not_know_its_host_is_the_one_that_was_asked() -> None:
    slots = Slots()
    slots.learn([[0, 16383, [b"", 7, b"id"]]], Address("h", 1))
    assert slots.masters == (Address("h", 7),)
    assert slots.node_of(b"k") == Address("h", 7)


# Versions


def test_past_their_limit_the_older_half_of_the_names_is_forgotten(
    face: MakeFace, shared_server: Server
) -> None:
    call = face(f"{shared_server.url}?timeout_s=5")
    shared_server.say("FLUSHALL")
    names = [b"%d" % number for number in range(100_000)]
    for at in range(0, 100_000, 20_000):
        call("bump", b"space", names[at : at + 20_000])
    assert call("versions", b"space", 10).floor == 0
    told = call("bump", b"space", [b"one more"])
    assert told.position == 6
    assert 1 <= told.floor < 6
    found = dict(call("versions", b"space", 0).bumps)
    assert len(found) == 50_000
    assert found[b"one more"] == 6
    assert all(position >= told.floor for position in found.values())


def test_names_that_the_server_evicted_are_below_the_floor(
    face: MakeFace, shared_server: Server
) -> None:
    call = face(shared_server.url)
    call("clear", b"space")
    for tag in (b"a", b"b"):
        call("bump", b"space", [tag])
    shared_server.say("DEL", commands.name(b"space", commands.NAMES))
    assert call("versions", b"space", 0)[1:] == (2, 2, ())
    told = call("bump", b"space", [b"c"])
    assert (told.position, told.floor) == (3, 2)
    assert call("versions", b"space", 0)[1:] == (3, 2, ((b"c", 3),))


def test_all_that_is_written_ends_by_itself(face: MakeFace, shared_server: Server) -> None:
    call = face(shared_server.url)
    shared_server.say("FLUSHALL")
    call("set", b"k", b"v", MINUTE_S)
    call("add", b"added", b"v", MINUTE_S)
    call("set_many", {b"many": b"v"}, MINUTE_S)
    call("lease", b"k", MINUTE_S)
    token = call("lease", b"job", MINUTE_S)
    call("commit", b"job", token, b"v", MINUTE_S)
    call("bump", b"space", [b"tag"])
    keys = shared_server.say("KEYS", "*")
    assert len(keys) == 7
    assert all(shared_server.say("TTL", key) > 0 for key in keys)


def test_a_look_is_one_round_trip(face: MakeFace, shared_server: Server) -> None:
    call = face(shared_server.url)
    call("look", b"k", b"space")
    quiet = reads_of(shared_server) - reads_of(shared_server)
    before = reads_of(shared_server)
    call("look", b"k", b"space")
    assert before - reads_of(shared_server) == quiet - 1


def reads_of(server: Server) -> int:
    stats: bytes = server.say("INFO", "stats")
    line = next(each for each in stats.splitlines() if each.startswith(b"total_reads_processed"))
    return int(line.partition(b":")[2])


def test_clear_leaves_what_is_not_ours(face: MakeFace, shared_server: Server) -> None:
    call = face(shared_server.url)
    shared_server.say("SET", "session:1", "theirs")
    call("set", b"k", b"v", MINUTE_S)
    call("clear")
    assert call("get", b"k") is None
    assert shared_server.say("GET", "session:1") == b"theirs"


def test_a_value_past_the_limit_is_declined_and_the_older_is_gone(
    face: MakeFace, shared_server: Server
) -> None:
    call = face(f"{shared_server.url}?max_value_bytes=10")
    call("clear")
    assert call("set", b"k", b"v", MINUTE_S)
    assert not call("set", b"k", bytes(11), MINUTE_S)
    assert call("get", b"k") is None
    assert not call("add", b"k", bytes(11), MINUTE_S)
    token = call("lease", b"k", MINUTE_S)
    assert not call("commit", b"k", token, bytes(11), MINUTE_S)
    assert call("lease", b"k", MINUTE_S)


# Connections


def clients_of(server: Server) -> int:
    return len(server.say("CLIENT", "LIST").splitlines()) - 1


def test_threads_share_no_more_connections_than_allowed(server: Server) -> None:
    driver = RedisDriver.from_url(f"{server.url}?max_connections=3&timeout_s=2")

    def ask(_: int) -> int:
        return sum(driver.set(b"k", b"v", MINUTE_S) for _ in range(50))

    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(ask, range(12))) == [50] * 12
    assert 1 <= clients_of(server) <= 3
    driver.close()
    assert clients_of(server) == 0


def test_tasks_share_no_more_connections_than_allowed(server: Server) -> None:
    driver = RedisDriver.from_url(f"{server.url}?max_connections=3&timeout_s=2")

    async def crowd() -> list[bool]:
        return await asyncio.gather(*(driver.aset(b"k", b"v", MINUTE_S) for _ in range(100)))

    async def main() -> int:
        assert all(await crowd())
        return clients_of(server)

    assert 1 <= asyncio.run(main()) <= 3
    assert clients_of(server) == 0


def test_a_full_house_says_so_and_is_no_fault_of_the_server(server: Server) -> None:
    driver = RedisDriver.from_url(f"{server.url}?max_connections=1&faults=9")
    driver.get(b"k")
    server.say("CLIENT", "PAUSE", 150, "ALL")

    async def crowd() -> list[object]:
        calls = (driver.aget(b"k") for _ in range(3))
        return await asyncio.gather(*calls, return_exceptions=True)

    told = [str(each) for each in asyncio.run(crowd())]
    assert sum("all 1 connections" in each and "max_connections" in each for each in told) == 2
    driver.close()


def test_loops_come_and_go_and_take_their_connections_with_them(server: Server) -> None:
    driver = RedisDriver.from_url(server.url)
    for _ in range(3):
        assert asyncio.run(driver.aset(b"k", b"v", MINUTE_S))
        assert asyncio.run(driver.aget(b"k")) == b"v"
    gc.collect()
    assert clients_of(server) == 0


def test_two_loops_at_once(server: Server) -> None:
    driver = RedisDriver.from_url(server.url)

    async def work(number: int) -> None:
        for _ in range(100):
            await driver.aset(b"%d" % number, b"v%d" % number, MINUTE_S)
            assert await driver.aget(b"%d" % number) == b"v%d" % number

    with ThreadPoolExecutor(4) as threads:
        for each in [threads.submit(asyncio.run, work(number)) for number in range(4)]:
            each.result()


def test_a_cancelled_call_leaves_no_reply_for_the_next(server: Server) -> None:
    driver = RedisDriver.from_url(server.url)

    async def main() -> None:
        await driver.aset(b"a", b"A", MINUTE_S)
        await driver.aset(b"b", b"B", MINUTE_S)
        for turn in range(200):
            call = asyncio.ensure_future(driver.aget(b"a"))
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            call.cancel()
            assert await driver.aget(b"b") == b"B"
        assert not driver.down

    asyncio.run(main())


def test_a_held_loop_is_not_taken_for_a_silent_server(server: Server) -> None:
    driver = RedisDriver.from_url(server.url)

    async def hold() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            time.sleep(0.15)  # noqa: ASYNC251 - that is what is tested

    async def main() -> None:
        await driver.aset(b"k", b"v", MINUTE_S)
        holding = asyncio.ensure_future(hold())
        for _ in range(5):
            assert await driver.aget(b"k") == b"v"
        await holding

    asyncio.run(main())


def test_a_timeout_of_others_stays_theirs(server: Server) -> None:
    driver = RedisDriver.from_url(server.url)

    async def main() -> None:
        await driver.aget(b"k")
        server.say("CLIENT", "PAUSE", 60, "ALL")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await driver.aget(b"k")
        assert not driver.down

    asyncio.run(main())


# The breaker


@given(st.lists(st.sampled_from(["answered", "failed", "probe", "recovered"])), st.integers(1, 4))
def test_the_breaker_opens_after_so_many_faults_in_a_row(steps: list[str], most: int) -> None:
    breaker, now, row, is_open = Breaker(most, 0.2), 0.0, 0, False
    for step in steps:
        now += 0.05
        if step == "answered":
            breaker.answered()
            row = 0
        elif step == "failed":
            opened = breaker.failed("gone", now)
            row += 1
            assert opened == (not is_open and row >= most)
            is_open = is_open or row >= most
        elif step == "recovered":
            breaker.recovered()
            row, is_open = 0, False
        else:
            assert is_open or not breaker.probe(now)
        assert breaker.open == is_open


def test_a_probe_is_due_at_once_and_then_at_its_period() -> None:
    breaker = Breaker(1, 0.2)
    assert breaker.failed("gone", 10.0)
    due = [breaker.probe(10.0 + step / 10) for step in range(5)]
    assert due == [True, False, True, False, True]


# Without the C parser


PURE = """
import sys
sys.modules["hiredis"] = None
import asyncio, time
from apsperf_mw.drivers.tiered import Tiered
from redis._parsers import _HiredisParser
one, two = Tiered.from_url(sys.argv[1]), Tiered.from_url(sys.argv[1])
assert one.set(b"k", b"v", 60) and two.get(b"k") == b"v"
while two.copy(b"k") is None:
    two.get(b"k")
assert asyncio.run(one.aset(b"k", b"w", 60))
deadline = time.monotonic() + 1
while two.get(b"k") != b"w":
    assert time.monotonic() < deadline
assert asyncio.run(two.alook(b"k", b"space")).value == b"w"
assert not two.ears.need_messages
one.close(); two.close()
"""


def test_it_works_without_hiredis(shared_server: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PURE, f"tiered+{shared_server.url}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr


MISSING = """
import sys
sys.modules["redis"] = None
from apsperf_mw import DriverError, Suite
try:
    Suite(cache={"driver": "redis://h"})
except DriverError as fault:
    print(fault)
"""


def test_without_redis_py_the_error_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MISSING], capture_output=True, text=True, check=True
    )
    assert "pip install 'apsperf-mw[redis]'" in done.stdout
