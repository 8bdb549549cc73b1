"""A suite on Redis: entries are shared, and an outage is nobody's fault but Redis's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient
from tests.core.support import numbered
from tests.drivers.servers import Server, until
from tests.observe.support import points

MakeClient = Callable[[str], Client]


@pytest.fixture(params=[ASGIClient, WSGIClient], ids=["asgi", "wsgi"])
def make(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    suites = []

    def client(url: str) -> Client:
        suites.append(Suite(cache={"driver": url}, exporter={"kind": "memory"}))
        made: Client = request.param(suites[-1], numbered())
        return made

    yield client
    for suite in suites:
        suite.close()


@pytest.mark.parametrize("before", ["", "tiered+"])
def test_what_one_stored_another_serves(make: MakeClient, server: Server, before: str) -> None:
    one, other = make(before + server.url), make(before + server.url)
    assert one.ask().body == b"answer 1"
    assert other.ask().body == b"answer 1"
    assert one.ask().body == b"answer 1"


@pytest.mark.parametrize("before", ["", "tiered+"])
@pytest.mark.parametrize("outage", ["kill", "freeze"])
def test_every_request_of_an_outage_is_answered(
    make: MakeClient, server: Server, before: str, outage: str
) -> None:
    client = make(before + server.url)
    client.ask()
    getattr(server, outage)()
    slow = 0
    for _ in range(60):
        began = time.perf_counter()
        assert client.ask().status == 200
        slow += time.perf_counter() - began > 0.05
    assert slow <= 5
    server.thaw() if outage == "freeze" else server.start()
    began = time.perf_counter()
    until(lambda: hit(client), "a hit again")
    assert time.perf_counter() - began < 3  # a bar of 1.0 on a quiet machine


def hit(client: Client) -> bool:
    return client.ask().body == client.ask().body


def test_a_suite_is_made_and_serves_while_there_is_no_redis(make: MakeClient) -> None:
    client: Any = make("redis://127.0.0.1:1")
    assert [client.ask().body for _ in range(3)] == [b"answer 1", b"answer 2", b"answer 3"]


def test_the_copies_are_measured_and_redis_is_not_asked(make: MakeClient, server: Server) -> None:
    names = ("apsperf.cache.entries", "apsperf.cache.size", "apsperf.cache.evictions")
    client = make(f"tiered+{server.url}?near_max_entries=50")
    driver: Any = client.suite.driver("cache")

    def kept() -> bool:
        client.ask()
        return int(driver.near.memory.stats()["entries"]) > 0

    until(kept, "a copy")
    server.freeze()  # no answer is needed
    entries, size, evictions = (points(client, name)[0].value for name in names)
    assert 0 < entries <= 50
    assert size > 0
    assert evictions == 0


def test_of_redis_itself_nothing_is_measured(make: MakeClient, server: Server) -> None:
    client = make(server.url)
    client.ask()
    assert points(client, "apsperf.cache.entries") == []
