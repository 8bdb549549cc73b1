"""The admin endpoint in front of each framework."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from apsperf_mw.testing.messages import Reply
from tests.adapters.conftest import STACKS, Make, Maker
from tests.adapters.support import Site
from tests.admin.support import ADMIN, BASE, BEARER, TOKEN, purge, told


@pytest.fixture(params=STACKS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    with ExitStack() as opened:
        yield Maker(request.param, opened)


@pytest.fixture
def site(make: Make) -> Site:
    return make(admin={**ADMIN, "http_purge": True})


def test_it_answers_in_front_of_the_app(site: Site) -> None:
    assert told(site.ask(f"{BASE}/health", BEARER))["status"] == "ok"
    site.ask("/item/1")
    assert told(site.ask(f"{BASE}/stats", BEARER))["entries"] == 1


def test_without_the_token_the_app_answers(make: Make) -> None:
    site, bare = make(admin=ADMIN), make(bare=True)
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        got, expected = site.ask(f"{BASE}/health", headers), bare.ask(f"{BASE}/health", headers)
        assert got.status == expected.status == 404
        assert got.body == expected.body


def test_a_purge(site: Site) -> None:
    def ask() -> Reply:
        return site.ask("/item/1")

    ask()
    assert ask().cache.hit
    told(purge(site, tags=["items"]))
    assert not ask().cache.hit
    assert ask().cache.hit
    told(site.ask("/item/1", BEARER, method="PURGE"))
    assert not ask().cache.hit
    body = json.dumps({"tags": ["x" * 70_000]}).encode()
    told(site.ask(f"{BASE}/purge", BEARER, method="POST", body=body), 413)
    told(site.ask(f"{BASE}/purge", BEARER, method="POST", body=b"{"), 400)


def test_an_explanation(site: Site) -> None:
    said = told(site.ask(f"{BASE}/explain?url=/item/1", BEARER))
    assert said["outcome"] == "the app would be asked"
    said = told(site.ask(f"{BASE}/explain?url=/item/1&fetch=1", BEARER))
    assert said["outcome"] == "stored"
    lifetime = next(each for each in said["steps"] if each["part"] == "lifetime")
    assert (lifetime["name"], lifetime["finding"]) == ("rule", "300 s by the route's rule")
    assert site.ask("/item/1").cache.hit
    said = told(site.ask(f"{BASE}/explain?url=/item/1&fetch=1", BEARER))
    assert said["outcome"] == "served from the cache (hit)"
    assert site.calls["item 1"] == 1


def test_a_response_that_explains_itself(site: Site) -> None:
    first = site.ask("/item/1", {"APSPerf-Explain": TOKEN})
    assert (first.header("apsperf-explain") or "").startswith("stored; ")
    second = site.ask("/item/1", {"APSPerf-Explain": TOKEN})
    assert (second.header("apsperf-explain") or "").startswith("served from the cache (hit)")
    for headers in ({}, {"APSPerf-Explain": "wrong"}):
        assert site.ask("/item/1", headers).header("apsperf-explain") is None
