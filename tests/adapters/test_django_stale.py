"""What Django's middleware does by itself with stale pages, sync and async."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import path

from apsperf_django import cached
from tests.adapters.django_site import OURS, SESSIONS
from tests.adapters.support import Pages
from tests.adapters.test_django import FarDriver, site_of
from tests.adapters.test_stale import ask_and_wait
from tests.core.conftest import Clock

BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
ASKED = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE")


def conditions(request: Any) -> tuple[Any, ...]:
    """What the request asks, by its environ and by the headers that Django makes of it."""
    headers = request.headers
    return (
        *(request.META.get(name) for name in ASKED),
        headers.get("If-None-Match"),
        headers.get("If-Modified-Since"),
    )


outside: list[tuple[Any, ...]] = []


def outer(get_response: Any) -> Any:
    """A middleware round ours that looks at the request before and after."""

    def middleware(request: Any) -> Any:
        outside.append(conditions(request))
        response = get_response(request)
        outside.append(conditions(request))
        return response

    return middleware


def versions(pages: Pages, seen: list[tuple[Any, ...]]) -> Any:
    """A view with a tag, which says 304 to who holds it."""

    @cached(60)
    def view(request: Any) -> HttpResponse:
        seen.append(conditions(request))
        body = pages.turn("page")
        if request.headers.get("If-None-Match") == '"v1"':
            return HttpResponse(status=304)
        return HttpResponse(body.encode(), headers={"ETag": '"v1"'})

    return view


@pytest.mark.parametrize("own", [{}, {"If-None-Match": '"mine"', "If-Modified-Since": "today"}])
@BOTH
def test_a_view_sees_our_question_and_an_outer_layer_its_own(
    clock: Clock, own: dict[str, str], is_async: bool
) -> None:
    seen: list[tuple[Any, ...]] = []
    outside.clear()
    urls = path("page", versions(Pages(), seen))
    with site_of(urls, is_async=is_async, middleware=[f"{__name__}.outer", OURS]) as site:
        first = site.ask("/page")
        clock.move(61)
        reply = site.ask("/page", own)
    assert (reply.status, reply.body, reply.cache.fwd_status) == (200, first.body, 304)
    assert seen == [(None,) * 4, ('"v1"', None, '"v1"', None)]
    assert len(outside) == 4
    theirs = (own.get("If-None-Match"), own.get("If-Modified-Since"))
    assert outside[2] == outside[3] == theirs * 2


@BOTH
def test_an_exception_is_stood_in_for_counted_and_logged(
    clock: Clock, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Django makes a 500 of it before it comes to us, and logs it itself."""
    pages = Pages()

    @cached(60)
    def view(request: Any) -> HttpResponse:
        if pages.turn("page") != "page 1":
            raise KeyError("details")
        return HttpResponse(b"page")

    with site_of(path("page", view), is_async=is_async, cache={"stale_on_error": True}) as site:
        site.ask("/page")
        clock.move(61)
        with caplog.at_level(logging.ERROR, "django.request"):
            reply = site.ask("/page")
        assert (reply.status, reply.body, reply.cache.fwd_status) == (200, b"page", 500)
    logged = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert KeyError in logged


class Deaf:
    """A middleware within ours that may fail before the view is asked."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Any) -> None:
        from asgiref.sync import iscoroutinefunction, markcoroutinefunction

        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if self._is_async:
            return self._answer_async(request)
        if request.headers.get("X-Break"):
            raise KeyError("details")
        return self.get_response(request)

    async def _answer_async(self, request: Any) -> Any:
        if request.headers.get("X-Break"):
            raise KeyError("details")
        return await self.get_response(request)


@BOTH
def test_an_error_of_an_inner_middleware_is_stood_in_for(clock: Clock, is_async: bool) -> None:
    pages = Pages()
    view = cached(60)(lambda request: HttpResponse(pages.turn("page").encode()))
    settings: dict[str, Any] = {"cache": {"stale_on_error": True}}
    inner = [OURS, f"{__name__}.Deaf"]
    with site_of(path("page", view), is_async=is_async, middleware=inner, **settings) as site:
        site.ask("/page")
        clock.move(61)
        reply = site.ask("/page", {"X-Break": "1"})
        assert (reply.status, reply.body, reply.cache.fwd) == (200, b"page 1", "stale")
        assert site.ask("/page").body == b"page 2"


@BOTH
def test_a_304_of_a_view_that_used_the_session_is_for_this_request_alone(
    clock: Clock, is_async: bool
) -> None:
    pages = Pages()

    @cached(60, shared=True)
    def view(request: Any) -> HttpResponse:
        body = pages.turn("page")
        if request.headers.get("If-None-Match") == '"v1"':
            request.session.get("user")
            return HttpResponse(status=304)
        return HttpResponse(body.encode(), headers={"ETag": '"v1"'})

    with site_of(path("page", view), is_async=is_async, middleware=[OURS, SESSIONS]) as site:
        site.ask("/page")
        clock.move(61)
        reply = site.ask("/page")
        assert (reply.status, reply.body, reply.cache.stored) == (200, b"page 1", False)
        assert site.ask("/page").body == b"page 3"


class BreakingDriver(FarDriver):
    """Cannot write any more after its first entry."""

    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        if self.held:
            raise OSError("full")
        return super().set(key, value, ttl_s)


BREAKING: dict[str, Any] = {
    "default": "far",
    "drivers": {"far": f"{__name__}:BreakingDriver"},
}


@BOTH
def test_no_304_is_shown_to_who_did_not_ask_where_the_store_fails(is_async: bool) -> None:
    pages = Pages()

    @cached(60)
    def view(request: Any) -> HttpResponse:
        body = pages.turn("page")
        said = {"Cache-Control": "max-age=0", "ETag": '"v1"'}
        if request.headers.get("If-None-Match") == '"v1"':
            return HttpResponse(status=304, headers=said)
        return HttpResponse(body.encode(), headers=said)

    with site_of(path("page", view), is_async=is_async, **BREAKING) as site:
        site.ask("/page")
        for _ in range(2):
            reply = site.ask("/page")
            assert (reply.status, reply.body) == (200, b"page 1")
        assert site.suite.faults.counts == {"the cache's store": 2}
        assert len(site.suite.responses.flights) == 0


@BOTH
def test_what_is_made_anew_gets_a_request_of_its_own(clock: Clock, is_async: bool) -> None:
    seen: list[Any] = []
    bodies: list[bytes] = []
    said = {"Cache-Control": "public, max-age=60, stale-while-revalidate=600", "Vary": "X-Mode"}

    def view(request: Any, name: str) -> HttpResponse:
        seen.append(request)
        bodies.append(request.body)
        assert request.build_absolute_uri() == "http://shop.test/page/caf%C3%A9?a=b"
        return HttpResponse(b"page %d" % len(seen), headers=said)

    with site_of(path("page/<str:name>", view), is_async=is_async) as site:
        target, mode = "/page/caf%C3%A9?a=b", {"X-Mode": "1"}
        site.ask(target, mode)
        clock.move(61)
        personal = {"Cookie": "s=1", "Authorization": "Basic x", "If-None-Match": '"m"', **mode}
        assert ask_and_wait(site, target, personal).body == b"page 1"
        assert site.ask(target, mode).body == b"page 2"
        behind = seen[1]
        assert {name.lower() for name in behind.headers} <= {"host", "x-mode"}
        assert (behind.method, behind.COOKIES, behind.GET.dict()) == ("GET", {}, {"a": "b"})
        assert bodies == [b"", b""]
        assert site.suite.faults.counts == {}


@pytest.mark.parametrize("target", ["/page/caf%C3%A9", "/page/%E6%97%A5", "/page/%FF", "/page/a"])
@BOTH
def test_paths_beyond_ascii_are_cached_each_by_itself(target: str, is_async: bool) -> None:
    @cached(60)
    def view(request: Any, name: str) -> HttpResponse:
        return HttpResponse(request.path.encode())

    others = ["/page/caf%E9", "/page/%25FF", "/page/%C3%A9", "/page/e"]
    with site_of(path("page/<str:name>", view), is_async=is_async) as site:
        bodies = [site.ask(each).body for each in (target, *others)]
        assert len(set(bodies)) == 5 if target != "/page/%FF" else 4
        assert [site.ask(each).body for each in (target, *others)] == bodies
        assert site.ask(target).cache.hit
        assert site.ended[-1].path.encode() == bodies[0]
        assert site.suite.faults.counts == {}


@BOTH
def test_a_refresh_that_fails_leaves_the_page_to_its_window(clock: Clock, is_async: bool) -> None:
    pages = Pages()

    def view(request: Any) -> HttpResponse:
        if pages.turn("page") == "page 2":
            raise KeyError("details")
        return HttpResponse(
            f"page {pages.calls['page']}".encode(),
            headers={"Cache-Control": "max-age=60, stale-while-revalidate=600"},
        )

    with site_of(path("page", view), is_async=is_async) as site:
        site.ask("/page")
        clock.move(61)
        assert ask_and_wait(site, "/page").body == b"page 1"
        assert len(site.suite.responses.flights) == 0
        clock.move(1)
        assert ask_and_wait(site, "/page").body == b"page 1"
        assert site.ask("/page").body == b"page 3"


@BOTH
def test_a_suite_that_is_closed_makes_nothing_anew(clock: Clock, is_async: bool) -> None:
    said = {"Cache-Control": "max-age=60, stale-while-revalidate=600"}
    pages = Pages()
    urls = path("page", lambda r: HttpResponse(pages.turn("page").encode(), headers=said))
    with site_of(urls, is_async=is_async) as site:
        site.ask("/page")
        clock.move(61)
        site.suite.background.close()
        for _ in range(2):
            assert site.ask("/page").body == b"page 1"
        assert len(site.suite.responses.flights) == 0


@BOTH
def test_what_is_for_us_alone_is_kept_from_clients(is_async: bool) -> None:
    said = {"APSPerf-Cache-Control": "max-age=60", "Cache-Tag": "a", "Surrogate-Key": "b"}
    urls = path("page", lambda request: HttpResponse(b"page", headers=said))
    with site_of(urls, is_async=is_async, cache={"status_key": True}) as site:
        for hit in (False, True):
            reply = site.ask("/page")
            assert (reply.cache.hit, reply.cache.key) == (hit, "http://shop.test/page")
            assert [reply.header(name) for name in said] == [None] * 3
        site.suite.purge("b")
        assert not site.ask("/page").cache.hit
