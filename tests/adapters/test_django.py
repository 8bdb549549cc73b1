"""What holds for Django alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from apsperf_django import cached, get_suite
from apsperf_mw import Suite
from apsperf_mw.testing.dicts import DictDriver
from apsperf_mw.testing.forms import environ_of, make_request
from tests.adapters.django_site import OURS, project_with
from tests.adapters.support import CHUNKS, ROOT, ASGISite, Pages, Site, WSGISite, environ


@contextmanager
def site_of(
    *urls: Any,
    is_async: bool = False,
    bare: bool = False,
    middleware: Sequence[str] = (OURS,),
    **settings: Any,
) -> Iterator[Site]:
    """A site with no middleware but ours, unless others are named."""
    middleware = [] if bare else middleware
    with project_with(urls, bare=bare, MIDDLEWARE=middleware, APSPERF=settings):
        suite = None if bare else get_suite()
        if is_async:
            yield ASGISite(ASGIHandler(), Pages(), suite)
        else:
            yield WSGISite(WSGIHandler(), Pages(), suite)


def test_the_app_gives_its_suite() -> None:
    with site_of() as site:
        assert isinstance(get_suite(), Suite)
        assert get_suite() is get_suite() is site.suite


def where() -> HttpResponse:
    """The thread, and whether it runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return HttpResponse(b"%d without a loop" % threading.get_ident())
    return HttpResponse(b"%d with a loop" % threading.get_ident())


@cached("short")
async def aview(request: HttpRequest) -> HttpResponse:
    return where()


@cached("short")
def view(request: HttpRequest) -> HttpResponse:
    return where()


@pytest.mark.parametrize("is_async", [False, True])
def test_no_thread_is_hopped_to(is_async: bool) -> None:
    here = threading.get_ident()
    threads: list[int] = []
    with site_of(path("page", aview if is_async else view), is_async=is_async) as site:
        hooks = site.suite.hooks
        hooks.starts = (*hooks.starts, lambda x: threads.append(threading.get_ident()))
        hooks.heads = hooks.look_on = (
            *hooks.heads,
            lambda x, headers: threads.append(threading.get_ident()),
        )
        miss, hit = site.ask("/page"), site.ask("/page")
    assert miss.body == hit.body == f"{here} {'with' if is_async else 'without'} a loop".encode()
    assert (miss.cache.hit, hit.cache.hit) == (False, True)
    assert threads == [here] * 4


@pytest.mark.parametrize("is_async", [False, True])
def test_health_is_answered_before_the_project(is_async: bool) -> None:
    healthy, threads = [True], list[int]()

    async def pool() -> bool:
        await asyncio.sleep(0)
        return healthy[0]

    def disk() -> None:
        threads.append(threading.get_ident())

    told: dict[str, Any] = {
        "health": {"enabled": True},
        "prometheus": {"enabled": True, "token": "t" * 16},
    }
    page = path("-/metrics", aview if is_async else view)
    with site_of(page, is_async=is_async, **told) as site:
        site.suite.readiness("disk", disk)
        site.suite.readiness("pool", pool)
        assert site.ask("/-/readyz").body == b"ready\n"
        healthy[0] = False
        reply = site.ask("/-/readyz")
        assert (reply.status, reply.body) == (503, b"not ready: pool\n")
        assert site.ask("/-/readyz", method="POST").status == 405
        assert b" a loop" in site.ask("/-/metrics").body  # the project's, for who has no token
        assert (threading.get_ident() in threads) is not is_async


def test_a_stream_has_ended_before_django_closes_it_in_a_thread() -> None:
    pages, threads = Pages(), list[int]()

    async def stream(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(pages.achunks())

    with site_of(path("stream", stream), is_async=True) as site:
        hooks = site.suite.hooks
        hooks.ends = (*hooks.ends, lambda x: threads.append(threading.get_ident()))
        site.ask("/stream")
    assert threads == [threading.get_ident()]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_class_of_views_may_be_marked(is_async: bool) -> None:
    @method_decorator(cached("short"), name="dispatch")
    class Page(View):  # type: ignore[misc]
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse(b"page")

    class Other(View):  # type: ignore[misc]
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse(b"other")

    urls = path("page", Page.as_view()), path("other", cached("short")(Other.as_view()))
    with site_of(*urls, is_async=is_async) as site:
        for target in ("/page", "/other"):
            site.ask(target)
            assert site.ask(target).cache.hit


class FileWrapper:
    """What a server hands out to send files by itself."""

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self.file = file
        self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.file.read(4), b"")


def file_view(request: HttpRequest) -> FileResponse:
    return FileResponse(BytesIO(b"file content"), headers={"Cache-Control": "max-age=60"})


def test_the_server_gets_a_file_as_it_is() -> None:
    with site_of(path("file", file_view)) as site:
        request = {**environ_of(make_request("/file")), "wsgi.file_wrapper": FileWrapper}
        body = site.app(request, lambda status, headers, exc_info=None: None)
        assert isinstance(body, FileWrapper)
        assert b"".join(body) == b"file content"
        assert site.ended == []
        body.close()
        assert [(x.status, x.result) for x in site.ended] == [(200, "miss")]


def test_a_file_is_streamed_where_the_server_does_not_take_it() -> None:
    with site_of(path("file", file_view)) as site:
        for _ in range(2):
            reply = site.ask("/file")
            assert (reply.body, reply.cache.hit) == (b"file content", False)
            assert (reply.cache.stored, reply.cache.detail) == (False, "file")


SYNC_IN_ASYNC = "StreamingHttpResponse must consume synchronous iterators"


@pytest.mark.parametrize("bare", [True, False])
def test_a_sync_stream_in_an_async_project_passes_as_bare(bare: bool) -> None:
    def stream(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter(CHUNKS), headers={"Cache-Control": "max-age=60"})

    with site_of(path("stream", stream), is_async=True, bare=bare) as site:
        with pytest.warns(Warning, match=SYNC_IN_ASYNC):
            assert site.ask("/stream").chunks == list(CHUNKS)
        if not bare:
            assert site.ask("/stream").cache.hit
            assert site.suite.faults.counts == {}


class FarDriver(DictDriver):
    """A dictionary that says it is far away: under a loop its calls are made in threads."""


FAR: dict[str, Any] = {"default": "far", "drivers": {"far": f"{__name__}:FarDriver"}}


@pytest.mark.parametrize("is_async", [False, True])
def test_a_far_driver_keeps_pages_and_streams(is_async: bool) -> None:
    async def achunks() -> AsyncIterator[bytes]:
        for chunk in CHUNKS:
            yield chunk

    def stream(request: HttpRequest) -> StreamingHttpResponse:
        chunks = achunks() if is_async else iter(CHUNKS)
        return StreamingHttpResponse(chunks, headers={"Cache-Control": "max-age=60"})

    page = cached("short")(lambda request: HttpResponse(b"page"))
    with site_of(path("page", page), path("stream", stream), is_async=is_async, **FAR) as site:
        for target in ("/page", "/stream"):
            bodies = {site.ask(target).body for _ in range(2)}
            assert site.ask(target).cache.hit
            assert len(bodies) == 1
        assert site.suite.faults.counts == {}


def test_a_sync_stream_in_an_async_project_is_not_kept_in_a_far_driver() -> None:
    def stream(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter(CHUNKS), headers={"Cache-Control": "max-age=60"})

    with site_of(path("stream", stream), is_async=True, **FAR) as site:
        for _ in range(2):
            with pytest.warns(Warning, match=SYNC_IN_ASYNC):
                reply = site.ask("/stream")
            assert (reply.chunks, reply.cache.hit) == (list(CHUNKS), False)
        assert site.raised is None
        assert site.suite.faults.counts == {}


def test_a_purge_from_a_view() -> None:
    pages = Pages()

    @cached("short", tags=["page"])
    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(pages.turn("page").encode())

    def edit(request: HttpRequest) -> HttpResponse:
        get_suite().purge("page")
        return HttpResponse(b"edited")

    with site_of(path("page", page), path("edit", edit)) as site:
        site.ask("/page")
        assert site.ask("/page").cache.hit
        assert site.ask("/edit", method="POST").status == 200
        assert site.ask("/page").body == b"page 2"


def test_settings_are_the_dict_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    view = cached("short")(lambda request: HttpResponse(b"page"))
    for environment, expected in (("", {59, 60}), ("70", {69, 70})):
        if environment:
            monkeypatch.setenv("APSPERF_TTL__SHORT", environment)
        with site_of(path("page", view), TTL={"SHORT": 60}) as site:
            site.ask("/page")
            assert site.ask("/page").cache.ttl_s in expected


SETUP = """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["apsperf_django"],
    MIDDLEWARE=["apsperf_django.middleware.SuiteMiddleware"],
    APSPERF={given},
)
django.setup()
{then}
"""
CHECKED = "from django.core.management import call_command; call_command('check')"
SERVED = "from django.core.wsgi import get_wsgi_application; get_wsgi_application()"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"cache": {"patienc_s": 1}}', "unknown setting 'cache.patienc_s'"),
        ('{"cache": {"patience_s": "soon"}}', "cache.patience_s: got 'soon' from framework"),
        ('"memory"', "APSPERF: got 'memory' from framework; accepted: a table"),
        ('{"default": "absent"}', "absent"),
    ],
)
@pytest.mark.parametrize("then", [CHECKED, SERVED])
def test_a_setting_that_cannot_be_is_told_by_the_check_and_stops_the_server(
    given: str, message: str, then: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETUP.format(given=given, then=then)],
        env=environ(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
