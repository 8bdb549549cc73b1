"""Stale pages of marked routes: asked about, served while they are made anew, standing in."""

from __future__ import annotations

import asyncio
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import pytest

from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.messages import Reply
from tests.adapters.conftest import Make
from tests.adapters.support import ASGISite, Site
from tests.core.conftest import Clock

DAY_S = 86_400
LONGEST_WAIT_S = 20.0
ON_ERROR: dict[str, Any] = {"cache": {"stale_on_error": True}}


def ask_and_wait(site: Site, target: str, headers: dict[str, str] | None = None) -> Reply:
    """A reply, and what goes on behind it, to its end."""
    until = monotonic() + LONGEST_WAIT_S
    if not isinstance(site, ASGISite):
        reply = site.ask(target, headers)
        while len(site.suite.background) and monotonic() < until:
            sleep(0.001)
        return reply
    reply = Reply(0, [], [])

    async def scenario() -> None:
        await site._converse(make_request(target, headers or {}), reply, None)
        while len(site.suite.background) and monotonic() < until:
            await asyncio.sleep(0.001)

    asyncio.run(scenario())
    return reply


def test_the_app_is_asked_about_a_stale_page_by_its_tag(site: Site, clock: Clock) -> None:
    first = site.ask("/etag")
    for _ in range(2):
        clock.move(DAY_S + 1)
        reply = site.ask("/etag", {"If-None-Match": '"mine"', "X-Own": "1"})
        assert (reply.status, reply.body) == (200, first.body)
        assert (reply.cache.fwd, reply.cache.fwd_status) == ("stale", 304)
        assert reply.cache.ttl_s == DAY_S
        hit = site.ask("/etag")
        assert (hit.cache.hit, hit.body) == (True, first.body)
        assert hit.header("cache-control") == f"max-age={DAY_S}"
    assert site.calls["etag"] == 3
    assert site.suite.faults.counts == {}


def test_a_304_reaches_a_client_that_holds_the_page(site: Site, clock: Clock) -> None:
    site.ask("/etag")
    clock.move(DAY_S + 1)
    reply = site.ask("/etag", {"If-None-Match": '"v1"'})
    assert (reply.status, reply.body, reply.header("etag")) == (304, b"", '"v1"')
    assert site.ask("/etag").cache.hit


def test_head_asks_the_app_and_brings_the_page_up_to_date(site: Site, clock: Clock) -> None:
    first = site.ask("/etag")
    clock.move(DAY_S + 1)
    assert site.ask("/etag", method="HEAD").status == 200
    hit = site.ask("/etag")
    assert (hit.cache.hit, hit.body) == (True, first.body)


def test_parts_of_a_stored_page(site: Site) -> None:
    whole = site.ask("/etag").body
    part = site.ask("/etag", {"Range": "bytes=1-2"})
    assert (part.status, part.body, part.cache.hit) == (206, whole[1:3], True)
    assert part.header("content-range") == f"bytes 1-2/{len(whole)}"
    assert part.header("content-length") == "2"
    several = site.ask("/etag", {"Range": "bytes=0-0,2-2"})
    assert (several.status, several.cache.hit) == (206, True)
    assert (several.header("content-type") or "").startswith("multipart/byteranges; boundary=")
    beyond = site.ask("/etag", {"Range": "bytes=99-"})
    assert (beyond.status, beyond.header("content-range")) == (416, f"bytes */{len(whole)}")
    assert site.calls["etag"] == 1


WINDOW = "/said?control=" + quote("public, max-age=60, stale-while-revalidate=600")


def test_a_page_is_served_stale_and_made_anew_once(site: Site, clock: Clock) -> None:
    first = site.ask(WINDOW)
    clock.move(61)
    fields = {"Cookie": "s=1", "If-None-Match": '"mine"', "Range": "bytes=0-1"}
    stale = ask_and_wait(site, WINDOW, fields)
    assert (stale.body, stale.cache.hit) == (first.body[:2], True)
    hit = site.ask(WINDOW)
    assert (hit.cache.hit, hit.cache.ttl_s, hit.body) == (True, 60, first.body.replace(b"1", b"2"))
    assert site.calls["said"] == 2
    assert site.suite.faults.counts == {}
    assert len(site.suite.responses.flights) == 0


def test_only_requests_of_clients_are_observed(site: Site, clock: Clock) -> None:
    site.ask(WINDOW)
    clock.move(61)
    ask_and_wait(site, WINDOW)
    assert [x.result for x in site.ended] == ["miss", "stale"]


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_stale_page_stands_in_for_an_error(make: Make, clock: Clock, code: int) -> None:
    site = make(**ON_ERROR)
    first = site.ask("/thing")
    clock.move(DAY_S + 1)
    reply = site.ask("/thing", {"X-Status": str(code)})
    assert (reply.status, reply.body) == (200, first.body)
    assert (reply.cache.fwd, reply.cache.fwd_status) == ("stale", code)
    assert site.calls["thing"] == 2
    site.suite.purge(urls=["/thing"])
    assert site.ask("/thing", {"X-Status": str(code)}).status == code


def test_by_default_an_error_is_the_apps_answer(site: Site, clock: Clock) -> None:
    site.ask("/thing")
    clock.move(DAY_S + 1)
    assert site.ask("/thing", {"X-Status": "503"}).status == 503


def test_a_users_page_is_not_taken_for_everybodys_after_a_304(make: Make, clock: Clock) -> None:
    """Cookies are no part of what stands in, is asked about, or is made anew."""
    site = make(**ON_ERROR)
    site.ask("/thing")
    clock.move(DAY_S + 1)
    assert site.ask("/thing", {"X-Status": "503"}).status == 200
    for fields in ({"Cookie": "s=1"}, {"Authorization": "Basic x"}):
        assert site.ask("/thing", {"X-Status": "503", **fields}).status == 503
