"""The site in Django, for its WSGI and its ASGI handler."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps
from django.conf import settings as project
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path

from apsperf_django import cached, get_suite
from tests.adapters.support import FOR_ALL, ASGISite, Pages, WSGISite

if TYPE_CHECKING:
    from collections.abc import Iterator

SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
OURS = "apsperf_django.middleware.SuiteMiddleware"

# Django has one project in a process; each site overrides what it needs to.
if not project.configured:
    project.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "apsperf_django",
        ],
        SECRET_KEY="secret",
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        USE_TZ=True,
    )
    django.setup()


@contextmanager
def project_with(urls: tuple[Any, ...], *, bare: bool = False, **more: Any) -> Iterator[None]:
    """A project of these URLs, with a suite of its own unless it is bare."""
    from django.test import override_settings

    middleware = [SESSIONS] if bare else [OURS, SESSIONS]
    config = apps.get_app_config("apsperf_django")
    with override_settings(**{"ROOT_URLCONF": urls, "MIDDLEWARE": middleware, **more}):
        vars(config).pop("suite", None)
        try:
            yield
        finally:
            vars(config).pop("suite", None)


@contextmanager
def make(*, is_async: bool, bare: bool = False, **settings: Any) -> Iterator[ASGISite | WSGISite]:
    pages = Pages()
    urls = (*rules(pages), path("shop/<slug:town>/", include(rules(pages))), *streams(pages))
    with project_with((*urls, *sessions(pages)), bare=bare, APSPERF=settings):
        suite = None if bare else get_suite()
        if is_async:
            yield ASGISite(ASGIHandler(), pages, suite)
        else:
            yield WSGISite(WSGIHandler(), pages, suite)


def rules(pages: Pages) -> list[Any]:
    def page(name: str, **more: Any) -> HttpResponse:
        return HttpResponse(pages.turn(name).encode(), **more)

    def plain(request: HttpRequest, town: str = "") -> HttpResponse:
        return page("plain")

    @cached("short", tags=["items"])
    def item(request: HttpRequest, number: int, town: str = "") -> HttpResponse:
        return page(f"item {number}")

    @cached(90, tags=["other"])
    def seconds(request: HttpRequest) -> HttpResponse:
        return page("seconds")

    @cached("long")
    def said(request: HttpRequest) -> HttpResponse:
        return page("said", headers={"Cache-Control": request.GET["control"]})

    def unmarked(request: HttpRequest) -> HttpResponse:
        return page("unmarked", headers={"Cache-Control": request.GET["control"]})

    @cached("long")
    def cookie(request: HttpRequest) -> HttpResponse:
        response = page("cookie", headers=FOR_ALL)
        response.set_cookie("visit", "1")
        return response

    @cached("long", shared=True)
    async def shared(request: HttpRequest) -> HttpResponse:
        return page("shared")

    @cached("long")
    def thing(request: HttpRequest) -> HttpResponse:
        return page("thing", status=int(request.META.get("HTTP_X_STATUS", "200")))

    @cached("long")
    def etag(request: HttpRequest) -> HttpResponse:
        held = request.META.get("HTTP_IF_NONE_MATCH") == '"v1"'
        return page("etag", status=304 if held else 200, headers={"ETag": '"v1"'})

    @cached("long")
    def status(request: HttpRequest, code: int) -> HttpResponse:
        return page("status", status=code)

    return [
        path("plain", plain),
        path("item/<int:number>", item),
        path("seconds", seconds),
        path("said", said),
        path("unmarked", unmarked),
        path("cookie", cookie),
        path("shared", shared),
        path("thing", thing),
        path("etag", etag),
        path("status/<int:code>", status),
    ]


def streams(pages: Pages) -> list[Any]:
    @cached("long")
    def stream(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(pages.chunks())

    @cached("long")
    async def astream(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(pages.achunks())

    @cached("long")
    def error(request: HttpRequest) -> HttpResponse:
        raise RuntimeError(pages.turn("error"))

    @cached("long")
    def gone(request: HttpRequest) -> HttpResponse:
        pages.turn("gone")
        raise Http404

    return [
        path("stream", stream),
        path("astream", astream),
        path("error", error),
        path("gone", gone),
    ]


def sessions(pages: Pages) -> list[Any]:
    @cached("long", shared=True)
    def write(request: Any) -> HttpResponse:
        request.session["user"] = "alice"
        return HttpResponse(pages.turn("session write").encode(), headers=FOR_ALL)

    @cached("long", shared=True)
    def read(request: Any) -> HttpResponse:
        user = request.session.get("user")
        return HttpResponse(f"{user} {pages.turn('session read')}".encode(), headers=FOR_ALL)

    @cached("long", shared=True)
    def idle(request: HttpRequest) -> HttpResponse:
        return HttpResponse(pages.turn("session idle").encode(), headers=FOR_ALL)

    return [path("session/write", write), path("session/read", read), path("session/idle", idle)]
