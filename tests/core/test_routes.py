"""Rules by path pattern: what `@cached` says, without touching the code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apsperf_mw import SettingError, Suite
from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.cache.routes import kind_of, pattern
from apsperf_mw.settings import load
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Response

Wrap = Callable[..., Client]
CSS = ("Content-Type", "text/css; charset=utf-8")


def silent(*headers: tuple[str, str], **more: Any) -> Callable[..., Response]:
    return lambda _: Response(headers=headers, body=[b"page"], **more)


@pytest.mark.parametrize(
    ("path", "raw", "matches"),
    [
        ("/albums/*", "/albums/1", True),
        ("/albums/*", "/albums/1/tracks", False),
        ("/albums/*", "/albums/", True),
        ("/albums/*", "/x/albums/1", False),
        ("/albums/**", "/albums/1/tracks", True),
        ("/*.css", "/site.css", True),
        ("/*.css", "/site.css/x", False),
        ("/*.css", "/sitexcss", False),
        ("/**.css", "/account%0a.css", True),
        ("/charts", "/charts", True),
        ("/charts", "/charts\n", False),
        ("/a+b", "/aab", False),
    ],
)
def test_patterns_are_anchored_on_the_raw_path(path: str, raw: str, matches: bool) -> None:
    assert bool(pattern(path).fullmatch(raw)) is matches


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/**.css", "text/css"), ("/albums/*", None), ("/v1.2/list", None), ("/x.unheardof", None)],
)
def test_an_extension_stands_for_a_media_type(path: str, kind: str | None) -> None:
    assert kind_of(path) == kind


def test_a_pattern_gives_a_lifetime_and_tags(wrap: Wrap) -> None:
    routes = [{"path": "/albums/*", "ttl": "short", "tags": ["albums"]}]
    client = wrap(silent(), routes=routes)
    first = client.ask("/albums/1")
    assert first.header("cache-control") == "max-age=300"
    assert client.ask("/albums/1").cache.ttl_s in {299, 300}
    assert not client.ask("/elsewhere").cache.stored
    client.suite.purge("albums")
    assert not client.ask("/albums/1").cache.hit


def test_what_the_response_or_the_code_says_wins(wrap: Wrap) -> None:
    routes = [{"path": "/**", "ttl": "long"}]
    for headers in ([("Cache-Control", "no-store")], [("Set-Cookie", "a=1")], [("Vary", "*")]):
        client = wrap(silent(*headers), routes=routes)
        client.ask()
        assert not client.ask().cache.hit
    marked = wrap(silent(plan=Plan(rule=rule(5))), routes=routes)
    assert marked.ask().header("cache-control") == "max-age=5"


def test_a_pattern_opens_nothing_to_cookies_or_authorization(wrap: Wrap) -> None:
    client = wrap(silent(CSS), routes=[{"path": "/**.css", "ttl": "long"}])
    for headers in ({"Cookie": "session=a"}, {"Authorization": "Basic eDp5"}):
        assert not client.ask("/site.css", headers).cache.stored
    client.ask("/site.css")
    assert client.ask("/site.css").cache.hit
    assert not client.ask("/site.css", {"Cookie": "session=a"}).cache.hit


@pytest.mark.parametrize(
    "target", ["/account/x.css", "/account;x.css", "/static/../account.css", "/account%0a.css"]
)
def test_a_page_that_poses_as_a_style_sheet_is_not_stored(wrap: Wrap, target: str) -> None:
    routes = [{"path": "/**.css", "ttl": "long", "shared": True}]
    page = wrap(silent(("Content-Type", "text/html")), routes=routes)
    assert not page.ask(target).cache.stored
    untyped = wrap(silent(), routes=routes)
    assert not untyped.ask(target).cache.stored
    assert wrap(silent(CSS), routes=routes).ask(target).cache.stored


def test_the_first_pattern_that_matches_counts(wrap: Wrap) -> None:
    routes = [{"path": "/a/*", "ttl": 5}, {"path": "/**", "ttl": 50}]
    client = wrap(silent(), routes=routes)
    assert client.ask("/a/b").header("cache-control") == "max-age=5"
    assert client.ask("/b").header("cache-control") == "max-age=50"


@pytest.mark.parametrize(
    "route",
    [
        {"path": "albums", "ttl": 5},
        {"path": "/", "ttl": "forever"},
        {"path": "/", "ttl": 0},
        {"path": "/", "ttl": 5, "vary": ["not a token"]},
        {"path": "/", "ttl": 5, "tags": [""]},
        {"path": "/", "ttl": 5, "stale_while_revalidate": -1},
        {"path": "/", "ttl": 5, "colour": "red"},
        {"path": "/"},
        "albums",
    ],
)
def test_a_route_that_cannot_be_is_refused_at_start(route: object) -> None:
    with pytest.raises(SettingError, match="routes"):
        Suite(cache={"routes": [route]})


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ({"path": "albums", "ttl": 5}, r"cache\.routes\[1\] \('albums'\): path 'albums' given"),
        ({"path": "/b", "ttl": 5, "vary": ["*"]}, r"cache\.routes\[1\] \('/b'\): .*vary.*'\*'"),
    ],
)
def test_the_error_names_the_route(route: dict[str, object], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        Suite(cache={"routes": [{"path": "/a", "ttl": 5}, route]})


def test_routes_may_come_from_one_line_of_the_environment() -> None:
    environ = {"APSPERF_CACHE__ROUTES": '[{"path": "/a/*", "ttl": "short", "tags": ["a"]}]'}
    (route,) = load(environ=environ, directory="/nonexistent")[0].cache.routes
    assert (route.path, route.ttl, route.tags) == ("/a/*", "short", ("a",))
    with pytest.raises(SettingError, match=r"cache\.routes"):
        load(environ={"APSPERF_CACHE__ROUTES": "[{]"}, directory="/nonexistent")
