"""Attacks on what a cache does with stale entries, parts and pointers, each beside a control.

A is the attacker, B the victim: whatever A asks for, B gets what the bare app would give him.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Request, Response
from tests.core.conftest import Clock
from tests.core.support import ETAG, Script, ask_and_wait, fresh, page

Wrap = Callable[..., Client]

WINDOW = ("Cache-Control", "max-age=60, stale-while-revalidate=600, stale-if-error=600")
USERS = [{"Cookie": "user=b"}, {"Authorization": "Token b"}, {"X-Api-Key": "b"}]


def greeting(*headers: tuple[str, str]) -> Callable[[Request], Response]:
    """Greets whoever asks by what he is known by."""

    def app(request: Request) -> Response:
        names = ("cookie", "authorization", "x-api-key")
        return page(f"hello {[request.header(name) for name in names]}", *headers)

    return app


@pytest.mark.parametrize("user", USERS, ids=str)
@pytest.mark.parametrize("age_s", [0, 61])
def test_a_users_page_is_never_kept_nor_served_stale(
    wrap: Wrap, clock: Clock, user: dict[str, str], age_s: int
) -> None:
    client = wrap(greeting(WINDOW, ETAG))
    client.ask(headers=user)
    clock.move(age_s)
    assert b"hello [None, None, None]" in client.ask().body
    clock.move(age_s)
    (value,) = user.values()
    assert value.encode() in client.ask(headers=user).body
    assert client.ask().body == b"hello [None, None, None]"
    assert client.ask().cache.hit


@pytest.mark.parametrize("user", USERS[:2], ids=str)
def test_the_refresh_behind_a_user_is_nobodys(
    crowd: Wrap, clock: Clock, user: dict[str, str]
) -> None:
    public = (WINDOW[0], "public, " + WINDOW[1])
    client = crowd(greeting(public))
    client.ask()
    clock.move(61)
    assert ask_and_wait(client, calls=2, request=make_request(headers=user)).cache.hit
    hit = client.ask()
    assert (hit.cache.ttl_s, hit.body) == (60, b"hello [None, None, None]")


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Host", "X-Original-URL", "X-HTTP-Method-Override", "Forwarded"]
)
def test_a_forwarding_field_gets_into_no_refresh_and_no_validation(
    crowd: Wrap, clock: Clock, name: str
) -> None:
    def app(request: Request) -> Response:
        return page(f"at {request.header(name)}", WINDOW, ETAG)

    client = crowd(app)
    assert client.ask().body == b"at None"
    for age_s in (61, 700):
        clock.move(age_s)
        assert client.ask(headers={name: "evil"}).body == b"at evil"
        assert client.ask().body == b"at None"
    clock.move(1)
    assert client.ask().cache.hit


@pytest.mark.parametrize(
    "condition",
    [
        {"If-None-Match": "*"},
        {"If-None-Match": '"v1"'},
        {"If-None-Match": '"none"'},
        {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
        {"If-Match": '"none"'},
        {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"Range": "bytes=0-0"},
        {"Range": "bytes=0-0", "If-Range": '"v1"'},
    ],
    ids=str,
)
@pytest.mark.parametrize("validators", [(), (ETAG,)], ids=["", "etag"])
@pytest.mark.parametrize("age_s", [0, 61, 700])
def test_no_condition_of_one_client_spoils_the_page_of_another(
    wrap: Wrap, clock: Clock, condition: dict[str, str], validators: Any, age_s: int
) -> None:
    """The app obeys conditions and ranges as it sees them."""

    def app(request: Request) -> Response:
        if request.header("if-none-match") in {"*", '"v1"'} or request.header("if-modified-since"):
            return Response(304, (WINDOW, *validators))
        if request.header("if-match") or request.header("if-unmodified-since"):
            return page("failed", ("Cache-Control", "max-age=60"), status=412)
        if request.header("range"):
            span = ("Content-Range", "bytes 0-0/4")
            return page("p", WINDOW, *validators, span, status=206)
        return page("page", WINDOW, *validators)

    client = wrap(app)
    if age_s:
        client.ask()
    clock.move(age_s)
    client.ask(headers=condition)
    reply = client.ask()
    assert (reply.status, reply.body) == (200, b"page")
    assert client.ask().cache.hit


def test_an_error_of_one_client_is_not_kept_for_another(wrap: Wrap, clock: Clock) -> None:
    """Poisoned fields make the app fail (CPDoS)."""

    def app(request: Request) -> Response:
        if request.header("x-bad"):
            return page("error", ("Cache-Control", "max-age=600"), status=400)
        return page("page", WINDOW, plan=Plan(rule=rule(60)))

    client = wrap(app)
    client.ask("/a", {"X-Bad": "1"})
    clock.move(11)
    assert client.ask("/a").body == b"page"
    client.ask("/b")
    clock.move(700)
    client.ask("/b", {"X-Bad": "1"})
    clock.move(11)
    assert client.ask("/b").body == b"page"
    assert client.ask("/b").cache.hit


@pytest.mark.parametrize(
    "pointer",
    ["//shop.test.evil/victim", "http://evil/victim", "/\\evil", "\x00", "/%00", "?" * 3000, "#"],
)
def test_a_pointer_of_one_reaches_nothing_of_another(wrap: Wrap, pointer: str) -> None:
    def app(request: Request) -> Response:
        if request.method == "GET":
            return fresh()
        return Response(201, (("Location", pointer.replace("\x00", "%00")),))

    client = wrap(app)
    client.ask("/victim")
    client.ask("/mine", method="POST", body=b"x")
    assert client.ask("/victim").cache.hit
    assert client.suite.faults.counts == {}


def test_no_client_makes_the_app_work_by_what_it_says(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(page("page", WINDOW, ETAG)))
    client.ask()
    for fields in (
        {"Cache-Control": "no-cache"},
        {"Cache-Control": "no-store, max-age=0"},
        {"Pragma": "no-cache"},
        {"Range": "bytes=" + ",".join("0-" for _ in range(200))},
        {"Range": "bytes=" + "0-0," * 16_000},
        {"If-None-Match": '"x",' * 16_000},
        {"Accept-Encoding": "gzip;q=0." + "1" * 60_000},
        {"If-Range": "x" * 64_000, "Range": "bytes=0-1"},
    ):
        assert client.ask(headers=fields).cache.hit
    assert client.calls == 1


def test_a_flood_of_languages_is_bounded(wrap: Wrap) -> None:
    client = wrap(lambda r: fresh(("Vary", "Accept-Language"), ("Content-Language", "en")))
    for number in range(200):
        client.ask(headers={"Accept-Language": f"en, l{number};q=0.1"})
    assert client.suite.driver("cache").stats()["entries"] <= 64 + 2  # type: ignore[union-attr]
    assert client.calls == 1


@pytest.mark.parametrize("method", ["PURGE", "BAN", "REFRESH"])
def test_an_anonymous_purge_is_any_unknown_method(wrap: Wrap, method: str) -> None:
    def app(request: Request) -> Response:
        return fresh() if request.method == "GET" else page("no", status=405)

    client = wrap(app)
    client.ask()
    assert client.ask(method=method).status == 405
    assert client.ask().cache.hit


@pytest.mark.parametrize("field", ["Cache-Control", "CDN-Cache-Control"])
@pytest.mark.parametrize(
    "value",
    [
        "max-age=60, stale-if-error=" + "9" * 30,
        "max-age=60, stale-while-revalidate=-1",
        "max-age=60, stale-while-revalidate",
        "max-age=60, stale-if-error=x",
        "max-age=" + "9" * 30,
    ],
)
def test_absurd_windows_are_clamped_and_never_an_error(
    wrap: Wrap, clock: Clock, field: str, value: str
) -> None:
    client = wrap(Script(page("page", (field, value))))
    for seconds in (0, 0, 61, 10**6):
        clock.move(seconds)
        assert client.ask().status == 200
    assert client.suite.faults.counts == {}


def test_what_is_served_in_another_form_is_the_callers_own(wrap: Wrap, clock: Clock) -> None:
    """Whoever changes the head that he gets changes nothing for the next."""
    client = wrap(Script(page("page", WINDOW, ETAG), page("", status=503)))
    client.ask()
    for fields in ({}, {"Range": "bytes=0-1"}, {"If-None-Match": '"v1"'}):
        for seconds in (0, 61):
            clock.move(seconds)
            reply = client.ask(headers=fields)
            reply.headers.append((b"x-poison", b"1"))
            reply.headers.clear()
            again = client.ask(headers=fields)
            assert again.header("x-poison") is None
            assert again.header("etag") == '"v1"'
