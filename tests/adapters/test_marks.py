"""What `@cached` does to a route, the same in every framework."""

from __future__ import annotations

import pytest

from apsperf_mw.testing.messages import CacheStatus
from tests.adapters.conftest import Make
from tests.adapters.support import Site


def test_a_marked_route_misses_then_hits(site: Site) -> None:
    miss, hit = site.ask("/item/7"), site.ask("/item/7")
    assert (miss.status, miss.body) == (hit.status, hit.body) == (200, b"item 7 1")
    assert miss.cache == CacheStatus(fwd="uri-miss", stored=True)
    assert hit.cache.hit
    assert (miss.header("age"), hit.header("age")) == (None, "0")
    assert miss.header("content-type") == hit.header("content-type")
    assert site.calls == {"item 7": 1}


def test_another_url_is_another_entry(site: Site) -> None:
    for target in ("/item/7", "/item/8", "/item/7?page=2"):
        assert not site.ask(target).cache.hit
    assert site.calls == {"item 7": 2, "item 8": 1}


@pytest.mark.parametrize(("target", "ttl_s"), [("/item/7", 300), ("/seconds", 90), ("/etag", 500)])
def test_the_ttl_is_a_class_of_the_settings_or_seconds(make: Make, target: str, ttl_s: int) -> None:
    site = make(ttl={"long": 500})
    site.ask(target)
    assert site.ask(target).cache.ttl_s in {ttl_s - 1, ttl_s}


def test_an_unmarked_route_that_says_nothing_is_not_stored(site: Site) -> None:
    for turn in (1, 2):
        reply = site.ask("/plain")
        assert reply.body == b"plain %d" % turn
        assert reply.cache == CacheStatus(fwd="uri-miss", detail="no-lifetime")


def test_an_unmarked_route_is_stored_where_it_says_so(site: Site) -> None:
    site.ask("/unmarked?control=max-age%3D60")
    assert site.ask("/unmarked?control=max-age%3D60").cache.hit


@pytest.mark.parametrize(
    ("control", "detail"),
    [
        ("private", "private"),
        ("no-store", "no-store"),
        ("max-age%3D0", "no-lifetime"),
        ("s-maxage%3D0,max-age%3D9", "no-lifetime"),
        ("no-cache", "no-cache"),
    ],
)
def test_what_the_response_says_wins_over_the_mark(site: Site, control: str, detail: str) -> None:
    for turn in (1, 2):
        reply = site.ask(f"/said?control={control}")
        assert reply.body == b"said %d" % turn
        assert reply.cache.detail == detail


def test_a_lifetime_that_the_response_gives_wins_over_the_mark(site: Site) -> None:
    site.ask("/said?control=max-age%3D20")
    assert site.ask("/said?control=max-age%3D20").cache.ttl_s in {19, 20}


def test_a_purge_makes_what_bears_the_tag_unusable(site: Site) -> None:
    for _ in range(2):
        site.ask("/item/7")
        site.ask("/seconds")
    site.suite.purge("items")
    assert site.ask("/item/7").body == b"item 7 2"
    assert site.ask("/seconds").body == b"seconds 1"
    assert site.ask("/item/7").cache.hit


@pytest.mark.parametrize("code", [201, 302, 404, 418, 500, 503])
def test_a_mark_stores_no_other_status(site: Site, code: int) -> None:
    for turn in (1, 2):
        reply = site.ask(f"/status/{code}")
        assert (reply.status, reply.body) == (code, b"status %d" % turn)
        assert not reply.cache.stored


def test_a_response_with_a_cookie_is_not_stored(site: Site) -> None:
    for turn in (1, 2):
        reply = site.ask("/cookie")
        assert reply.body == b"cookie %d" % turn
        assert reply.lines("set-cookie") != []
        assert reply.cache.detail == "set-cookie"


def test_a_request_with_a_cookie_gets_no_entry_and_leaves_none(site: Site) -> None:
    cookie = {"Cookie": "theme=dark"}
    assert site.ask("/item/7", cookie).cache.detail == "guarded"
    assert site.ask("/item/7").body == b"item 7 2"
    assert site.ask("/item/7", cookie).body == b"item 7 3"
    assert site.ask("/item/7").body == b"item 7 2"


def test_a_shared_route_is_for_requests_with_cookies_too(site: Site) -> None:
    assert site.ask("/shared", {"Cookie": "theme=dark"}).cache.stored
    assert site.ask("/shared", {"Cookie": "theme=light"}).cache.hit
    assert site.ask("/shared").body == b"shared 1"


@pytest.mark.parametrize("target", ["/item/7", "/shared"])
def test_authorization_is_not_answered_from_the_cache(site: Site, target: str) -> None:
    alice = {"Authorization": "Basic YWxpY2U6"}
    assert site.ask(target, alice).cache.detail == "guarded"
    assert not site.ask(target).cache.hit
    assert site.ask(target).cache.hit
    assert not site.ask(target, alice).cache.hit


def test_authorization_is_answered_where_the_response_is_public(site: Site) -> None:
    alice = {"Authorization": "Basic YWxpY2U6"}
    assert site.ask("/said?control=public", alice).cache.stored
    assert site.ask("/said?control=public").cache.hit
    assert site.ask("/said?control=public", alice).cache.hit


def test_a_successful_post_makes_the_url_void(site: Site) -> None:
    site.ask("/thing")
    assert site.ask("/thing").cache.hit
    posted = site.ask("/thing", {"Cookie": "csrftoken=1"}, method="POST", body=b"a=1")
    assert (posted.status, posted.body) == (200, b"thing 2")
    assert posted.cache == CacheStatus(fwd="method")
    assert site.ask("/thing").body == b"thing 3"


def test_a_post_that_fails_leaves_the_entry(site: Site) -> None:
    site.ask("/thing")
    assert site.ask("/thing", {"X-Status": "400"}, method="POST").status == 400
    hit = site.ask("/thing")
    assert (hit.body, hit.cache.hit) == (b"thing 1", True)


def test_head_is_answered_from_a_stored_get(site: Site) -> None:
    page = site.ask("/etag")
    head = site.ask("/etag", method="HEAD")
    assert (head.status, head.body, head.cache.hit) == (200, b"", True)
    assert head.header("content-length") == str(len(page.body)) == "6"
    assert site.calls == {"etag": 1}


def test_head_fetches_no_entry(site: Site) -> None:
    assert site.ask("/etag", method="HEAD").cache.fwd == "uri-miss"
    assert site.ask("/etag").cache == CacheStatus(fwd="uri-miss", stored=True)


def test_a_hit_is_304_where_the_client_has_it(site: Site) -> None:
    site.ask("/etag")
    reply = site.ask("/etag", {"If-None-Match": 'W/"v1"'})
    assert (reply.status, reply.body) == (304, b"")
    assert reply.header("etag") == '"v1"'
    assert reply.header("content-type") is None
    assert reply.cache.hit
    assert site.ask("/etag", {"If-None-Match": '"v2"'}).status == 200
    assert site.calls == {"etag": 1}


def test_with_the_cache_off_the_app_answers_alone(make: Make) -> None:
    site = make(cache={"enabled": False})
    for turn in (1, 2):
        reply = site.ask("/item/7")
        assert reply.body == b"item 7 %d" % turn
        assert reply.header("cache-status") is None


def test_nothing_went_wrong_inside(site: Site) -> None:
    for target in ("/item/7", "/item/7", "/plain", "/error", "/gone", "/session/read"):
        site.ask(target)
    site.ask("/thing", method="POST")
    assert site.suite.faults.counts == {}
