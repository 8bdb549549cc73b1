"""Copies in front of Redis: what is kept, what is dropped, and when nothing may be served."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.drivers.memory import MemoryDriver
from apsperf_mw.drivers.near import Near, Void, stand_name
from apsperf_mw.drivers.tiered import Tiered
from apsperf_mw.errors import DriverError
from tests.drivers.servers import Cluster, Guarded, Server, until

MINUTE_S = 60.0
# The bar is 0.05 s on a quiet machine.
SOON_S = 0.5
MakeTiered = Any


@pytest.fixture
def tiered() -> Iterator[MakeTiered]:
    """Makes tiered drivers that hear already, and closes them."""
    made: list[Tiered] = []

    def make(url: str) -> Tiered:
        driver = Tiered.from_url(f"tiered+{url}")
        made.append(driver)
        driver.listen()
        until(lambda: driver.near.live_until > time.monotonic(), "ears")
        return driver

    yield make
    for driver in made:
        driver.close()


def copied(driver: Tiered, key: bytes) -> bool:
    """Read it, and then see whether a copy was kept."""
    driver.get(key)
    return driver.copy(key) is not None


def seen(driver: Tiered, key: bytes, value: bytes | None) -> None:
    """Within the time that a change takes to be heard of."""
    until(lambda: driver.get(key) == value, f"{value!r}", SOON_S)


# One process beside another


def test_a_read_is_copied_and_an_overwrite_elsewhere_is_heard(
    tiered: MakeTiered, shared_server: Server
) -> None:
    one, other = tiered(shared_server.url), tiered(shared_server.url)
    one.set(b"k", b"v", MINUTE_S)
    assert other.get(b"k") == b"v"
    until(lambda: copied(other, b"k"), "a copy")
    one.set(b"k", b"w", MINUTE_S)
    seen(other, b"k", b"w")


@pytest.mark.parametrize("change", ["delete", "clear", "commit", "flush", "aset", "set_many"])
def test_every_kind_of_change_is_heard(
    tiered: MakeTiered, shared_server: Server, change: str
) -> None:
    one, other = tiered(shared_server.url), tiered(shared_server.url)
    one.set(b"k", b"v", MINUTE_S)
    until(lambda: copied(other, b"k"), "a copy")
    token = one.lease(b"k", MINUTE_S) if change == "commit" else b""
    match change:
        case "delete":
            one.delete(b"k")
        case "clear":
            one.clear(b"k")
        case "commit":
            assert one.commit(b"k", token, b"w", MINUTE_S)
        case "flush":
            shared_server.say("FLUSHALL")
        case "aset":
            asyncio.run(one.aset(b"k", b"w", MINUTE_S))
        case "set_many":
            one.set_many({b"k": b"w"}, MINUTE_S)
    wrote = change in {"commit", "aset", "set_many"}
    assert shared_server.say("EXISTS", "apsperf{k}") == wrote
    seen(other, b"k", b"w" if wrote else None)


def test_a_bump_elsewhere_is_heard_and_own_ones_are_known_at_once(
    tiered: MakeTiered, shared_server: Server
) -> None:
    one, other = tiered(shared_server.url), tiered(shared_server.url)
    one.bump(b"space", [b"tag"])
    one.set(b"k", b"v", MINUTE_S)
    until(lambda: knows_its_stand(other), "a copy")
    for _ in range(5):
        bumped = one.bump(b"space", [b"tag"]).position
        assert one.look(b"k", b"space").position == bumped
        until(partial(stands, other, bumped), "the bump", SOON_S)


def knows_its_stand(driver: Tiered) -> bool:
    driver.look(b"k", b"space")
    return driver.copy(stand_name(b"space")) is not None


def stands(driver: Tiered, position: int) -> bool:
    return driver.look(b"k", b"space").position == position


def test_own_changes_are_seen_at_once(tiered: MakeTiered, shared_server: Server) -> None:
    driver = tiered(shared_server.url)
    for number in range(300):
        driver.set(b"k", b"%d" % number, MINUTE_S)
        assert driver.get(b"k") == b"%d" % number
        assert driver.get(b"k") == b"%d" % number


def test_a_copy_ends_when_the_value_does(tiered: MakeTiered, shared_server: Server) -> None:
    driver = tiered(shared_server.url)
    driver.set(b"k", b"v", 0.3)
    began = time.monotonic()
    while time.monotonic() < began + 0.6:
        now = time.monotonic()
        value = driver.get(b"k")
        assert value == b"v" or now > began + 0.2
        assert value is None or now < began + 0.35


def test_changes_are_handed_on(tiered: MakeTiered, shared_server: Server) -> None:
    one, other = tiered(shared_server.url), tiered(shared_server.url)
    heard: list[Void] = []
    other.on_void(heard.append)
    one.set(b"k", b"v", MINUTE_S)
    one.bump(b"space", [b"tag"])
    one.lease(b"job", MINUTE_S)
    until(lambda: any(b"space" in void.spaces for void in heard), "the bump")
    assert any(b"k" in void.keys for void in heard)
    assert not any(b"job" in void.keys for void in heard)
    shared_server.say("FLUSHALL")
    until(lambda: any(void.everything for void in heard), "the flush")


# Deployments


def test_where_tracking_is_refused_writers_say_what_they_change(
    tiered: MakeTiered, shared_server: Server
) -> None:
    shared_server.say("ACL", "SETUSER", "deaf", "on", ">w", "~*", "&*", "+@all", "-client")
    url = shared_server.url.replace("//", "//deaf:w@")
    one, other = tiered(url), tiered(url)
    assert one.ears.need_messages
    one.set(b"k", b"v", MINUTE_S)
    until(lambda: copied(other, b"k"), "a copy")
    one.set(b"k", b"w", MINUTE_S)
    seen(other, b"k", b"w")
    other.look(b"k", b"space")
    position = asyncio.run(one.abump(b"space", [b"tag"])).position
    until(lambda: other.look(b"k", b"space").position == position, "the bump", SOON_S)


def test_all_nodes_of_a_cluster_are_heard(tiered: MakeTiered, cluster: Cluster) -> None:
    one, other = tiered(cluster.url), tiered(cluster.url)
    keys = [b"key %d" % number for number in range(30)]
    one.set_many(dict.fromkeys(keys, b"v"), MINUTE_S)
    for key in keys:
        until(lambda key=key: copied(other, key), "a copy")
    one.set_many(dict.fromkeys(keys, b"w"), MINUTE_S)
    for key in keys:
        seen(other, key, b"w")


def test_a_new_master_is_heard(tiered: MakeTiered, tmp_path: Path) -> None:
    with Guarded(tmp_path).running() as guarded:
        one, other = tiered(guarded.url), tiered(guarded.url)
        one.set(b"k", b"v", MINUTE_S)
        until(lambda: copied(other, b"k"), "a copy")
        guarded.one.kill()
        until(lambda: other.near.live_until == 0.0, "the loss", SOON_S)
        until(lambda: written(one), "a new master")
        until(lambda: copied(other, b"k"), "a copy")
        one.set(b"k", b"x", MINUTE_S)
        seen(other, b"k", b"x")


def written(driver: Tiered) -> bool:
    try:
        return driver.set(b"k", b"w", MINUTE_S)
    except DriverError:
        return False


# Loss


@pytest.mark.parametrize("outage", ["kill", "freeze"])
def test_all_copies_are_dropped_when_redis_is_silent(
    tiered: MakeTiered, server: Server, outage: str
) -> None:
    driver = tiered(server.url)
    driver.set(b"k", b"v", MINUTE_S)
    until(lambda: copied(driver, b"k"), "a copy")
    getattr(server, outage)()
    silent = time.monotonic()
    until(lambda: driver.copy(b"k") is None, "no copy", 1.0)
    assert time.monotonic() - silent < 0.8  # the heartbeat's half a second
    until(lambda: driver.near.memory.stats()["entries"] == 0, "no entry", 1.0)
    server.thaw() if outage == "freeze" else server.start()
    until(lambda: written(driver), "an answer")
    until(lambda: copied(driver, b"k"), "a copy")


def test_a_connection_that_is_cut_is_made_anew_and_nothing_old_is_kept(
    tiered: MakeTiered, server: Server
) -> None:
    driver = tiered(server.url)
    driver.set(b"k", b"v", MINUTE_S)
    until(lambda: copied(driver, b"k"), "a copy")
    server.say("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    server.say("SET", "apsperf{k}", "w", "PX", 60_000)
    seen(driver, b"k", b"w")
    until(lambda: driver.ears.losses.total() == 1, "the loss")
    until(lambda: copied(driver, b"k"), "a copy")


def test_a_forked_child_hears_for_itself(tiered: MakeTiered, server: Server) -> None:
    driver, other = tiered(server.url), tiered(server.url)
    driver.set(b"k", b"v", MINUTE_S)
    until(lambda: copied(driver, b"k"), "a copy")
    reads, writes = os.pipe()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        told = b"failed"
        try:
            assert driver.copy(b"k") is None
            until(lambda: copied(driver, b"k"), "a copy")
            os.write(writes, b"ready")
            seen(driver, b"k", b"w")
            told = b"done"
        finally:
            os.write(writes, told)
            os._exit(0)
    try:
        assert os.read(reads, 5) == b"ready"
        until(lambda: copied(driver, b"k"), "a copy of its own still")
        other.set(b"k", b"w", MINUTE_S)
        assert os.read(reads, 6) == b"done"
        seen(driver, b"k", b"w")
    finally:
        os.waitpid(child, 0)
        os.close(reads)
        os.close(writes)


def test_closed_or_collected_it_leaves_no_thread(shared_server: Server) -> None:
    before = set(threading.enumerate())
    closed, left = (Tiered.from_url(f"tiered+{shared_server.url}") for _ in range(2))
    for driver in (closed, left):
        driver.listen()
        until(lambda driver=driver: driver.near.live_until > 0, "ears")
    closed.close()
    del driver, left
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def test_the_copies_are_bounded_by_options(tiered: MakeTiered, shared_server: Server) -> None:
    driver = tiered(f"{shared_server.url}?near_max_entries=5&timeout_s=1")
    for number in range(20):
        driver.set(b"%d" % number, b"v", MINUTE_S)
    for _ in range(3):
        for number in range(20):
            driver.get(b"%d" % number)
    assert driver.stats()["near_entries"] <= 5
    with pytest.raises(DriverError, match="max_entries is 'x'; accepted: a whole number"):
        Tiered.from_url("tiered+redis://h?near_max_entries=x")


@pytest.mark.parametrize("policy", ["gdsf", "lru", "sieve"])
def test_the_copies_have_a_policy_of_their_own(policy: str) -> None:
    driver = Tiered.from_url(f"tiered+redis://h?near_policy={policy}&timeout_s=1")
    memory = MemoryDriver.from_url(f"memory://?policy={policy}")
    assert type(driver.near.memory._cache) is type(memory._cache)


def test_a_policy_of_the_copies_that_nobody_knows_is_refused() -> None:
    with pytest.raises(DriverError, match="'newest'.*gdsf, lru, sieve"):
        Tiered.from_url("tiered+redis://h?near_policy=newest")


# The rules, without a server


def near() -> Near:
    made = Near(MemoryDriver())
    made.opened(float("inf"))
    return made


def test_what_changed_while_it_was_read_is_not_kept() -> None:
    copies = near()
    mark = copies.begin(b"k")
    copies.forget([b"k"])
    assert not copies.keep(mark, b"k", b"old", 1, MINUTE_S)
    copies.end(mark)
    again = copies.begin(b"k")
    assert copies.keep(again, b"k", b"new", 1, MINUTE_S)


def test_two_readers_share_a_mark_and_each_may_end_it() -> None:
    copies = near()
    first, second = copies.begin(b"k"), copies.begin(b"k")
    copies.end(first)
    copies.forget([b"k"])
    assert not copies.keep(second, b"k", b"old", 1, MINUTE_S)
    copies.end(second)


def test_what_was_read_before_all_was_heard_is_not_kept() -> None:
    copies = Near(MemoryDriver())
    early = copies.begin(b"k")
    copies.opened(float("inf"))
    assert not copies.keep(early, b"k", b"old", 1, MINUTE_S)
    mark = copies.begin(b"k")
    copies.lost()
    copies.opened(float("inf"))
    assert not copies.keep(mark, b"k", b"old", 1, MINUTE_S)


def test_copies_may_lie_under_other_keys_and_their_names_are_bounded() -> None:
    copies = Near(MemoryDriver(max_entries=10))
    copies.opened(float("inf"))
    for number in range(5000):
        mark = copies.begin(b"%d" % number)
        assert copies.keep(mark, ("page", number), object(), 1, MINUTE_S)
        copies.end(mark)
    assert len(copies._under) < 2000
    assert not copies._marks
    copies.forget([b"4999"])
    assert copies.memory.find(("page", 4999)) is None
    assert copies.memory.find(("page", 4998)) is not None


STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "fetch", "fill", "write", "deliver"]), st.integers(0, 3))
)


@given(STEPS)
def test_once_all_changes_are_heard_no_copy_is_old(steps: list[tuple[str, int]]) -> None:
    """Reads in three steps and changes in two, in any order."""
    copies, version = near(), 0
    store: dict[bytes, int] = {b"a": 0, b"b": 0}
    pushes: list[bytes] = []
    reads: list[list[Any]] = []
    for step, which in steps:
        key = b"ab"[which % 2 : which % 2 + 1]
        if step == "begin":
            reads.append([copies.begin(key), None])
        elif step == "write":
            version += 1
            store[key] = version
            pushes.append(key)
        elif step == "deliver" and pushes:
            copies.heard(Void((pushes.pop(0),)))
        elif reads:
            read = reads[which % len(reads)]
            mark: Any = read[0]
            if step == "fetch":
                read[1] = store[mark.name] if read[1] is None else read[1]
            elif step == "fill" and read[1] is not None:
                copies.keep(mark, mark.name, read[1], 1, MINUTE_S)
                copies.end(mark)
                reads.remove(read)
    for key in pushes:
        copies.heard(Void((key,)))
    for key, value in store.items():
        slot = copies.memory.find(key)
        assert slot is None or slot.value == value
