"""What a driver does while its Redis is dead, hung, full or elsewhere; real processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from apsperf_mw.drivers.redis import RedisDriver
from apsperf_mw.errors import DriverDown, DriverError
from tests.drivers.conftest import MakeFace, Threads
from tests.drivers.servers import Cluster, Guarded, Server, until

MINUTE_S = 60.0
SLOW_S = 0.05


def outage(ask: Callable[[], object], calls: int = 200) -> None:
    """Every call raises; at most 5 are slow, and the others do not wait."""
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        with pytest.raises(DriverDown):
            ask()
        took.append(time.perf_counter() - began)
    assert sum(each > SLOW_S for each in took) <= 5
    assert median(took) < 0.01  # some 20 us where nothing else runs


def heals(ask: Callable[[], object]) -> None:
    """Within a second calls are answered again."""
    began = time.perf_counter()
    until(lambda: ask() is not None, "an answer")
    assert time.perf_counter() - began < 3  # a bar of 1.0 on a quiet machine


def test_a_killed_server_costs_nobody_time_and_is_used_again(
    face: MakeFace, server: Server
) -> None:
    call = face(server.url)
    assert call("set", b"k", b"v", MINUTE_S)
    server.kill()
    outage(lambda: call("get", b"k"))
    server.start()
    heals(lambda: call("set", b"k", b"v", MINUTE_S) or None)
    assert call("get", b"k") == b"v"


def test_a_hung_server_costs_nobody_time_and_is_used_again(face: MakeFace, server: Server) -> None:
    call = face(server.url)
    assert call("set", b"k", b"v", MINUTE_S)
    server.freeze()
    outage(lambda: call("get", b"k"))
    server.thaw()
    heals(lambda: call("get", b"k"))


def test_a_server_that_hangs_before_the_first_call(face: MakeFace, server: Server) -> None:
    call = face(server.url)
    server.freeze()
    outage(lambda: call("get", b"k"))
    server.thaw()
    heals(lambda: call("set", b"k", b"v", MINUTE_S) or None)


@pytest.mark.parametrize("what", ["ALL", "WRITE"])
def test_a_paused_server(face: MakeFace, server: Server, what: str) -> None:
    call = face(server.url)
    assert call("set", b"k", b"v", MINUTE_S)
    server.say("CLIENT", "PAUSE", 1000, what)
    outage(lambda: call("set", b"k", b"w", MINUTE_S))
    time.sleep(0.5)
    heals(lambda: call("set", b"k", b"w", MINUTE_S) or None)


def test_a_short_pause_costs_one_call_only(face: MakeFace, server: Server) -> None:
    call = face(server.url)
    assert call("set", b"k", b"v", MINUTE_S)
    server.say("CLIENT", "PAUSE", 150, "ALL")
    with pytest.raises(DriverDown, match="in time"):
        call("get", b"k")
    time.sleep(0.3)  # a server looks ten times a second whether a pause is over
    assert not call.driver.down
    assert call("get", b"k") == b"v"


def test_a_full_server_refuses_at_once_and_still_reads(face: MakeFace, server: Server) -> None:
    call = face(server.url)
    assert call("set", b"k", b"v", MINUTE_S)
    server.say("CONFIG", "SET", "maxmemory", 1)
    for verb, *arguments in (
        ("set", b"k", b"w", MINUTE_S),
        ("add", b"new", b"w", MINUTE_S),
        ("lease", b"k", MINUTE_S),
        ("bump", b"space", [b"tag"]),
    ):
        with pytest.raises(DriverError, match="refuses") as raised:
            call(str(verb), *arguments)
        assert not isinstance(raised.value, DriverDown)
    assert call("get", b"k") == b"v"
    server.say("CONFIG", "SET", "maxmemory", 0)
    assert call("set", b"k", b"w", MINUTE_S)


def test_a_server_that_was_emptied_begins_a_new_generation(face: MakeFace, server: Server) -> None:
    call = face(server.url)
    before = call("bump", b"space", [b"tag"])
    call("set", b"k", b"v", MINUTE_S)
    server.say("FLUSHALL")
    assert call("look", b"k", b"space") == (None, b"", 0)
    after = call("bump", b"space", [b"tag"])
    assert after.position == 1
    assert after.generation != before.generation


def test_a_quick_restart_is_not_noticed(face: MakeFace, server: Server) -> None:
    call = face(server.url)
    call("bump", b"space", [b"tag"])
    server.kill()
    server.start()
    call.breathe()
    assert call("get", b"k") is None  # on a new connection
    assert call("look", b"k", b"space").position == 0  # the script is not known there yet
    assert call("bump", b"space", [b"tag"]).position == 1


def test_scripts_that_the_server_forgot_are_told_anew(face: MakeFace, server: Server) -> None:
    call = face(server.url)
    call("bump", b"space", [b"tag"])
    server.say("SCRIPT", "FLUSH")
    assert call("bump", b"space", [b"tag"]).position == 2


def test_a_wrong_password_is_never_shown_and_heals(face: MakeFace, server: Server) -> None:
    server.say("CONFIG", "SET", "requirepass", "right")
    url = server.url.replace("//", "//:wrong-secret@")
    call = face(url)
    for _ in range(5):
        with pytest.raises(DriverDown) as raised:
            call("get", b"k")
        assert "wrong-secret" not in f"{raised.value!r} {raised.value.__cause__!r}"
    assert "wrong-secret" not in f"{call.driver!r} {call.driver.calls.options!r}"
    from redis import Redis

    with Redis(port=server.port, password="right") as client:
        client.config_set("requirepass", "wrong-secret")
    heals(lambda: call("set", b"k", b"v", MINUTE_S) or None)


def test_the_hung_node_of_a_cluster_takes_only_its_own_keys(
    face: MakeFace, cluster: Cluster
) -> None:
    call = face(cluster.url)
    keys = [b"%d" % number for number in range(60)]
    assert call("set_many", dict.fromkeys(keys, b"v"), MINUTE_S) == []
    cluster.nodes[1].freeze()
    try:
        lost, slow = 0, 0
        for key in keys * 5:
            began = time.perf_counter()
            try:
                assert call("get", key) == b"v"
            except DriverError:
                lost += 1
            slow += time.perf_counter() - began > SLOW_S
        assert 0 < lost < 200
        assert slow <= 5
    finally:
        cluster.nodes[1].thaw()
    until(lambda: len(call("get_many", keys)) == len(keys), "all keys again")


def test_a_cluster_that_is_not_there_is_asked_in_the_background(
    face: MakeFace, tmp_path: Path
) -> None:
    cluster = Cluster(tmp_path)
    call = face(cluster.url)
    outage(lambda: call("get", b"k"))
    with cluster.running():
        heals(lambda: call("set", b"k", b"v", MINUTE_S) or None)


def test_a_slot_that_moves_is_followed(face: MakeFace, cluster: Cluster) -> None:
    call = face(cluster.url)
    assert call("set", b"k", b"v", MINUTE_S)
    slot = cluster.nodes[0].say("CLUSTER", "KEYSLOT", "apsperf{k}")
    names = [node.say("CLUSTER", "MYID") for node in cluster.nodes]
    source = next(
        at for at, node in enumerate(cluster.nodes) if node.say("CLUSTER", "COUNTKEYSINSLOT", slot)
    )
    target = (source + 1) % 3
    cluster.nodes[target].say("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
    cluster.nodes[source].say("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
    port = cluster.nodes[target].port
    cluster.nodes[source].say("MIGRATE", "127.0.0.1", port, "apsperf{k}", 0, 5000)
    assert call("get", b"k") == b"v"  # by ASK
    assert call("hold", b"k").value == b"v"  # with a script that is not known there
    for node in cluster.nodes:
        node.say("CLUSTER", "SETSLOT", slot, "NODE", names[target])
    assert call("get", b"k") == b"v"  # by MOVED
    assert call("get_many", [b"k"]) == {b"k": b"v"}


def test_a_killed_master_is_replaced_by_its_replica(face: MakeFace, tmp_path: Path) -> None:
    with Guarded(tmp_path).running() as guarded:
        call = face(guarded.url)
        assert call("set", b"k", b"v", MINUTE_S)
        guarded.one.say("WAIT", 1, 1000)
        guarded.one.kill()
        outage(lambda: call("get", b"k"))
        until(lambda: guarded.master_port() == guarded.two.port, "a failover")
        heals(lambda: call("set", b"other", b"v", MINUTE_S) or None)
        assert call("get", b"k") == b"v"


def test_a_demoted_master_is_left(face: MakeFace, tmp_path: Path) -> None:
    with Guarded(tmp_path).running() as guarded:
        call = face(guarded.url)
        assert call("set", b"k", b"v", MINUTE_S)
        ask = ("SENTINEL", "FAILOVER", guarded.NAME)
        until(lambda: guarded.sentinel.say(*ask), "a sentinel that trusts the replica")
        until(lambda: guarded.master_port() == guarded.two.port, "a failover")
        # As the sentinel does by and by.
        guarded.one.say("REPLICAOF", "127.0.0.1", guarded.two.port)
        until(lambda: written(call), "a write")
        assert call.driver.calls.routes.server(None).address.port == guarded.two.port


def written(call: Threads) -> bool:
    try:
        return bool(call("set", b"k", b"w", MINUTE_S))
    except DriverError:
        return False


def test_a_closed_driver_leaves_no_thread_that_asks(server: Server) -> None:
    import threading

    before = set(threading.enumerate())
    driver = RedisDriver.from_url(server.url)
    server.kill()
    outage(lambda: driver.get(b"k"), calls=10)
    driver.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()
