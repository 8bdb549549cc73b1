"""What the answer to an unsafe request points to becomes void, or is stored (RFC 9111 §4.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.cache.keys import environ_key, neighbours, scope_key
from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.testing.forms import environ_of, make_request, scope_of
from apsperf_mw.testing.harness import Client, WSGIClient
from apsperf_mw.testing.messages import Request, Response
from tests.core.support import ETAG, MINUTE, fresh, page

Wrap = Callable[..., Client]


def pointing(name: str, value: str, status: int = 201) -> Callable[[Request], Response]:
    def app(request: Request) -> Response:
        if request.method == "GET":
            return fresh()
        return Response(status, ((name, value),))

    return app


@pytest.mark.parametrize("name", ["Location", "content-location"])
@pytest.mark.parametrize(
    ("value", "void"),
    [
        ("http://shop.test/list/2?page=1", True),
        ("HTTP://SHOP.test:80/list/2?page=1", True),
        ("//shop.test/list/2?page=1", True),
        ("/list/2?page=1", True),
        ("2?page=1", True),
        ("../list/./2?page=1", True),
        ("/list/2?page=1#part", True),
        ("/list/2", False),
        ("/list/2?page=2", False),
        ("https://shop.test/list/2?page=1", True),
        ("http://shop.test:8080/list/2?page=1", False),
        ("http://other.test/list/2?page=1", False),
        ("//other.test/list/2?page=1", False),
        ("http://shop.test@other.test/list/2?page=1", False),
        ("http://[broken/list/2?page=1", False),
        ("", False),
        ("\xff", False),
        ("/" + "x" * 5000, False),
    ],
)
def test_only_what_is_of_the_same_origin_becomes_void(
    wrap: Wrap, name: str, value: str, void: bool
) -> None:
    client = wrap(pointing(name, value))
    targets = ("/list/2?page=1", "/list/", "/other")
    for target in targets:
        client.ask(target)
    assert client.ask("/list/", method="POST").status == 201
    hits = [client.ask(target).cache.hit for target in targets]
    assert hits == [not void, False, True]
    assert client.suite.faults.counts == {}


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_an_error_makes_nothing_void(wrap: Wrap, status: int) -> None:
    client = wrap(pointing("Location", "/b", status))
    for target in ("/a", "/b"):
        client.ask(target)
    client.ask("/a", method="POST")
    assert [client.ask(target).cache.hit for target in ("/a", "/b")] == [True, True]


def test_a_safe_method_makes_nothing_void(wrap: Wrap) -> None:
    client = wrap(pointing("Location", "/b", 200))
    client.ask("/b")
    for method in ("OPTIONS", "HEAD"):
        client.ask("/a", method=method)
    assert client.ask("/b").cache.hit


def test_several_pointers_all_count(wrap: Wrap) -> None:
    def app(request: Request) -> Response:
        if request.method == "GET":
            return fresh()
        return Response(201, (("Location", "/b"), ("Content-Location", "/c")))

    client = wrap(app)
    for target in ("/a", "/b", "/c", "/d"):
        client.ask(target)
    client.ask("/a", method="PUT")
    assert [client.ask(target).cache.hit for target in ("/a", "/b", "/c", "/d")] == [
        False,
        False,
        False,
        True,
    ]


ROOT = "/shop"


@pytest.mark.parametrize("raw", ["", "RAW_URI", "REQUEST_URI"])
@pytest.mark.parametrize("location", ["/shop/item/2", "2", "http://shop.test/shop/item/2"])
def test_below_a_mount_point(raw: str, location: str) -> None:
    """However the server shows it: relative to what it shows of the path, or from the root."""

    def environ(path: str) -> dict[str, Any]:
        made = environ_of(make_request(ROOT + path))
        shown = {raw: ROOT + path} if raw else {}
        return {**made, "SCRIPT_NAME": ROOT, "PATH_INFO": path, **shown}

    found = neighbours(environ_key(environ("/item/1")), location.encode())
    assert environ_key(environ("/item/2")) in found
    assert environ_key(environ("/item/3")) not in found


def test_below_a_mount_point_of_asgi() -> None:
    def key(path: str) -> Any:
        scope = scope_of(make_request(path)) | {"root_path": ROOT}
        return scope_key(scope, b"shop.test")

    for location in (b"/shop/item/2", b"2", b"http://shop.test/shop/item/2"):
        assert key("/shop/item/2") in neighbours(key("/shop/item/1"), location)


def stored_post(*headers: tuple[str, str], status: int = 200) -> Callable[[Request], Response]:
    def app(request: Request) -> Response:
        if request.method == "GET":
            return page("by GET", *MINUTE)
        return page("by " + request.method, *headers, status=status)

    return app


@pytest.mark.parametrize("location", ["/a?b=1", "http://shop.test/a?b=1", "?b=1", ""])
def test_a_post_that_says_what_a_get_would_get_is_stored(wrap: Wrap, location: str) -> None:
    """RFC 9110 §9.3.3."""
    client = wrap(stored_post(*MINUTE, ETAG, ("Content-Location", location)))
    reply = client.ask("/a?b=1", method="POST", body=b"x")
    assert (reply.body, reply.cache.fwd) == (b"by POST", "method")
    hit = client.ask("/a?b=1")
    expected = location != ""
    assert (hit.cache.hit, hit.body) == (expected, b"by POST" if expected else b"by GET")
    again = client.ask("/a?b=1", method="POST", body=b"x")
    assert (again.body, again.cache.hit) == (b"by POST", False)


def test_a_post_is_stored_on_explicit_freshness_alone(wrap: Wrap) -> None:
    """Neither by a guess nor by a route's rule (RFC 9110 §9.3.3)."""
    located = ("Content-Location", "/a")
    plan = Plan(rule=rule(60))
    apps = [
        lambda _: page("page", ("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT"), located),
        lambda _: page("page", located, plan=plan),
    ]
    for app in apps:
        client = wrap(app, heuristic=True)
        client.ask("/a", method="POST", body=b"x")
        assert not client.ask("/a").cache.hit
        assert client.ask("/a").cache.hit


@pytest.mark.parametrize(
    ("method", "status", "headers", "asked"),
    [
        ("POST", 200, (*MINUTE,), {}),
        ("POST", 200, (("Content-Location", "/a"),), {}),
        ("POST", 200, (*MINUTE, ("Content-Location", "/b")), {}),
        ("POST", 200, (*MINUTE, ("Content-Location", "http://other.test/a")), {}),
        ("POST", 201, (*MINUTE, ("Content-Location", "/a")), {}),
        ("POST", 404, (*MINUTE, ("Content-Location", "/a")), {}),
        ("PUT", 200, (*MINUTE, ("Content-Location", "/a")), {}),
        ("POST", 200, (*MINUTE, ("Content-Location", "/a"), ("Set-Cookie", "a=1")), {}),
        ("POST", 200, (*MINUTE, ("Content-Location", "/a")), {"Cookie": "a=1"}),
        ("POST", 200, (*MINUTE, ("Content-Location", "/a")), {"Authorization": "Basic x"}),
        ("POST", 200, (*MINUTE, ("Content-Location", "/a")), {"X-Api-Key": "x"}),
        ("POST", 200, (*MINUTE, ("Content-Location", "/a")), {"X-Forwarded-Host": "x"}),
        ("POST", 200, (("Cache-Control", "no-store"), ("Content-Location", "/a")), {}),
    ],
    ids=str,
)
def test_no_other_answer_to_an_unsafe_request_is_stored(
    wrap: Wrap,
    method: str,
    status: int,
    headers: tuple[tuple[str, str], ...],
    asked: dict[str, str],
) -> None:
    client = wrap(stored_post(*headers, status=status))
    client.ask("/a", asked, method=method, body=b"x")
    assert client.ask("/a").body == b"by GET"
    assert len(client.suite.responses.flights) == 0


@pytest.mark.parametrize("settings", [{"min_uses": 2}, {"request_directives": "honour"}])
def test_what_keeps_a_get_out_keeps_a_post_out(wrap: Wrap, settings: dict[str, Any]) -> None:
    client = wrap(stored_post(*MINUTE, ("Content-Location", "/a")), **settings)
    client.ask("/a", {"Cache-Control": "no-store"}, method="POST", body=b"x")
    assert client.ask("/a").body == b"by GET"
    assert len(client.suite.responses.flights) == 0


def test_a_post_voids_before_it_is_stored(wrap: Wrap) -> None:
    client = wrap(stored_post(*MINUTE, ("Content-Location", "/a")))
    assert client.ask("/a").body == b"by GET"
    client.ask("/a", method="POST", body=b"x")
    hit = client.ask("/a")
    assert (hit.cache.hit, hit.body) == (True, b"by POST")


def test_a_server_without_raw_targets(wrap: Wrap) -> None:
    client = WSGIClient(Suite(), pointing("Location", "/caf%C3%A9"), raw_uri="")
    client.ask("/caf%C3%A9")
    client.ask("/caf%C3%A9")
    assert client.calls == 1
    client.ask("/other", method="POST")
    assert not client.ask("/caf%C3%A9").cache.hit
