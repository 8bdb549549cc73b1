"""`suite.warm`: apps in this process, on both shells."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw import Suite
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient
from apsperf_mw.warm.apps import AppError, interface, layers, traits
from apsperf_mw.warm.origin import Origin, Refused
from tests.warm.support import Pages

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., Client]

KINDS: dict[str, Any] = {"asgi": ASGIClient, "wsgi": WSGIClient}
BASE = "http://shop.test"


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Make:
    """A client of the pages behind each shell in turn."""
    kept: list[Client] = []  # a suite knows only the apps that somebody holds

    def make(pages: Pages | None = None, suite: Suite | None = None, **cache: Any) -> Client:
        client: Client = KINDS[request.param](suite or Suite(cache=cache), pages or Pages())
        kept.append(client)
        return client

    return make


def test_pages_are_stored_and_found_by_the_next_client(make: Make) -> None:
    pages = Pages()
    client = make(pages)
    report = client.suite.warm(["/a", "/b?x=1", "/caf\u00e9", "http://shop.test/c"], base=BASE)
    assert (report.stored, report.ok, report.fresh) == (4, True, 0)
    for target in ("/a", "/b?x=1", "/caf%C3%A9", "/c"):
        assert client.ask(target).cache.hit, target
    assert set(pages.calls.values()) == {1}


def test_what_is_there_already_is_fresh(make: Make) -> None:
    client = make()
    client.ask("/a")
    report = client.suite.warm(["/a", "/b"], base=BASE)
    assert (report.fresh, report.stored) == (1, 1)


def test_requests_are_plain(make: Make) -> None:
    pages = Pages()
    make(pages).suite.warm(["/a?x=%20"], base="http://shop.test:8080", headers=[("Accept", "*/*")])
    (seen,) = pages.seen
    assert (seen.method, seen.target, seen.body, seen.scheme) == ("GET", "/a?x=%20", b"", "http")
    fields = {name.lower(): value for name, value in seen.headers}
    assert fields == {"host": "shop.test:8080", "user-agent": "apsperf-warm", "accept": "*/*"}


def test_what_is_not_stored_says_why(make: Make) -> None:
    pages = Pages()
    report = make(pages).suite.warm(["/private", "/plain", "/a"], base=BASE)
    assert {reason: tally.examples for reason, tally in report.not_stored.items()} == {
        "private": ["/private"],
        "no-lifetime": ["/plain"],
    }
    assert (report.stored, report.ok) == (1, True)


def test_what_is_said_to_be_stored_but_is_not_found_is_not_counted(make: Make) -> None:
    report = make(max_entry_bytes=2000).suite.warm(["/large"], base=BASE)
    assert (report.stored, list(report.not_stored)) == (0, ["not found when asked for again"])


def test_what_fails_says_how(make: Make) -> None:
    report = make().suite.warm(["/missing", "/raises", "/a"], base=BASE)
    assert report.failed["status 404"].examples == ["/missing"]
    assert report.failed["RuntimeError"].examples == ["/raises (\\x1b[31mred\\x1b[0m)"]
    assert (report.stored, report.complete, report.ok) == (1, True, False)


def test_a_redirect_is_followed_on_the_host_only(make: Make) -> None:
    pages = Pages()
    client = make(pages)
    report = client.suite.warm(["/there", "/away", "/round"], base=BASE)
    assert report.stored == 1
    assert client.ask("/a?from=there").cache.hit
    assert report.failed["redirect: off the host"].examples == ["/away"]
    assert report.failed["redirect: more than 5 in a row"].examples == ["/round"]
    assert pages.calls["/away"] == 1
    assert "/x" not in pages.calls


def test_only_own_urls_are_asked_for(make: Make) -> None:
    pages = Pages()
    report = make(pages).suite.warm(["http://evil.test/a", "//evil.test/", "/a\r\nX: y"], base=BASE)
    assert report.refused["off the host"].count == 2
    assert report.refused["has a space or a control character"].count == 1
    assert not pages.calls


def test_the_limit_is_kept(make: Make) -> None:
    pages = Pages()
    report = make(pages).suite.warm((f"/{number}" for number in range(10**9)), base=BASE, limit=7)
    assert (report.stored, report.limited, pages.calls.total()) == (7, True, 7)


def test_variants_are_stored_each(make: Make) -> None:
    client = make()
    fields = [("Accept-Language", "de"), ("Accept-Language", "fr")]
    report = client.suite.warm(["/tongue"], base=BASE, headers=fields)
    assert report.stored == 2
    for tongue, hit in (("de", True), ("fr", True), ("it", False)):
        reply = client.ask("/tongue", {"Accept-Language": tongue})
        assert (reply.body, reply.cache.hit) == (tongue.encode(), hit)


def test_a_body_without_an_end_is_given_up(make: Make) -> None:
    report = make().suite.warm(["/endless", "/a"], base=BASE, timeout_s=0.2)
    assert report.failed["TimeoutError"].examples == ["/endless"]
    assert report.stored == 1


def test_a_suite_that_does_not_tell_is_believed_nothing(make: Make) -> None:
    client = make(status_header=False)
    report = client.suite.warm(["/a", "/private", "/missing"], base=BASE)
    assert (report.unsaid, report.stored, report.ok) == (2, 0, False)
    assert client.ask("/a").body == b"/a"
    assert client.calls == 3  # the last was a hit


def test_a_cache_that_is_off_is_not_warmed(make: Make) -> None:
    client = make(enabled=False)
    report = client.suite.warm(["/a"], base=BASE)
    assert (report.refused["cache.enabled is off"].count, report.ok, client.calls) == (1, True, 0)


def test_no_more_than_so_many_are_asked_for_at_once() -> None:
    now = most = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(3):
            await asyncio.sleep(0)
        now -= 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    suite = Suite()
    shell = suite.asgi(app)
    suite.warm(map("/{}".format, range(20)), concurrency=3, app=shell)
    assert most == 3


def test_where_a_loop_runs_it_does_not_block(make: Make) -> None:
    async def start_up(client: Client) -> None:
        client.suite.warm(["/a"])

    with pytest.raises(RuntimeError, match="Already running asyncio"):
        asyncio.run(start_up(make()))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_can_be_awaited_in_either_loop(backend: str, make: Make) -> None:
    client = make()

    async def start_up() -> int:
        return (await client.suite.awarm(["/a"], base=BASE)).stored

    assert anyio.run(start_up, backend=backend) == 1
    assert client.ask("/a").cache.hit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "shop.test"}, "base: got 'shop.test'; accepted: http://"),
        ({"concurrency": 0}, "concurrency: got 0; accepted: more than 0, 64 at most"),
        ({"concurrency": 65}, "concurrency: got 65"),
        ({"limit": -1}, "limit: got -1"),
        ({"timeout_s": 0.0}, "timeout_s: got 0.0"),
        ({"rate": float("nan")}, "rate: got nan"),
        ({"headers": [("Cookie", "a=b")]}, "got Cookie; accepted: no cookies"),
    ],
)
def test_what_is_not_accepted_is_named(make: Make, options: Any, message: str) -> None:
    client = make()
    with pytest.raises(ValueError, match=message):
        client.suite.warm(["/a"], **options)
    assert client.calls == 0


def test_one_of_several_apps_is_chosen(make: Make) -> None:
    suite = Suite()
    first, second = make(suite=suite), make(suite=suite)
    with pytest.raises(AppError, match=r"round 2 apps; app= must say which"):
        suite.warm(["/a"])
    assert suite.warm(["/a"], app=first.shell, base=BASE).stored == 1  # type: ignore[attr-defined]
    assert suite.warm(["/b"], app=second.serve, base=BASE).stored == 1  # type: ignore[attr-defined]
    assert (first.calls, second.calls) == (1, 1)


def test_a_suite_round_nothing_has_nothing_to_warm() -> None:
    with pytest.raises(AppError, match="round 0 apps"):
        Suite().warm(["/a"])


def test_the_suite_does_not_keep_its_apps() -> None:
    suite = Suite()
    suite.wsgi(lambda environ, start_response: [b""])
    kept = suite.wsgi(lambda environ, start_response: [b""])
    assert list(suite._shells) == [kept]


class Callable2:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class Callable3:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Say nothing."""


def three(scope: Any, receive: Any, send: Any) -> Any:
    """An ASGI app that is no coroutine function."""


@pytest.mark.parametrize(
    ("app", "kind"),
    [
        (Callable2(), "wsgi"),
        (Callable3(), "asgi"),
        (three, "asgi"),
        (Suite().asgi(Callable3()), "asgi"),
        (Suite().wsgi(Callable2()), "wsgi"),
        (lambda environ, start_response, extra=1: [], "wsgi"),
    ],
)
def test_the_interface_is_told_by_the_callable(app: Any, kind: str) -> None:
    assert interface(app) == kind


@pytest.mark.parametrize("app", [None, 7, lambda: None, int])
def test_what_is_no_app_is_refused(app: Any) -> None:
    with pytest.raises(AppError, match="accepted: an ASGI app"):
        interface(app)


def test_a_suite_within_other_middleware_is_seen() -> None:
    class Outer:
        def __init__(self, app: Any) -> None:
            self.app = app
            self.application = self  # a circle

    shell = Suite(cache={"status_header": False}).wsgi(Callable2())
    outer = Outer(Outer(shell))
    assert shell in layers(outer)
    known = traits(outer)
    assert known is not None
    assert (known.enabled, known.says, known.lasting) == (True, False, False)
    assert traits(Callable2()) is None


def test_an_app_without_the_suite_is_refused(make: Make) -> None:
    suite = make().suite

    def bare(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    with pytest.raises(AppError, match="no Cache-Status of the suite; accepted: an app with"):
        suite.warm(["/a"], app=bare)


def test_an_app_that_sends_nothing_has_failed() -> None:
    suite = Suite()
    shell = suite.asgi(Callable3())
    report = suite.warm(["/a"], app=shell)
    assert report.failed["NoResponse"].count == 1


@pytest.mark.parametrize("kind", KINDS)
@given(target=st.text(max_size=30).map("/".__add__))
def test_what_is_warmed_is_what_a_client_finds(kind: str, target: str) -> None:
    try:
        asked = Origin.parse(BASE).target(target)
    except Refused:
        return
    client: Client = KINDS[kind](Suite(memory={"enabled": False}), Pages())
    if client.suite.warm([target], base=BASE).stored:
        assert client.ask(asked).cache.hit
