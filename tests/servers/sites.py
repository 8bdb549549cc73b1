"""One small site for real servers, in the framework that `SITE` names: `fastapi`, `flask`, ..."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from starlette.websockets import WebSocket

# Where the site and the test leave files for each other.
PLACE = Path(os.environ.get("SITE_PLACE", "."))
MEGABYTE = bytes(2**16) * 16
calls = count(1)


def page() -> str:
    return f"page {next(calls)} " + "x" * 100


def note(name: str) -> None:
    (PLACE / name).write_text("1")


def held() -> Iterator[bytes]:
    """The second chunk is made when the client has the first."""
    yield b"first "
    while not (PLACE / "go").exists():
        time.sleep(0.01)
    yield b"second"


async def aheld() -> AsyncIterator[bytes]:
    yield b"first "
    while not (PLACE / "go").exists():
        await asyncio.sleep(0.01)
    yield b"second"


def endless() -> Iterator[bytes]:
    try:
        while True:
            yield MEGABYTE
            time.sleep(0.005)
    finally:
        note("closed")


async def aendless() -> AsyncIterator[bytes]:
    try:
        while True:
            yield MEGABYTE
            await asyncio.sleep(0.005)
    finally:
        note("closed")


def big(megabytes: int) -> Iterator[bytes]:
    for _ in range(megabytes):
        yield MEGABYTE


async def abig(megabytes: int) -> AsyncIterator[bytes]:
    for chunk in big(megabytes):
        yield chunk
        await asyncio.sleep(0)


def make_fastapi() -> Any:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse, StreamingResponse

    from apsperf_fastapi import cached, install

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        note("down")

    app = FastAPI(lifespan=lifespan)
    install(app)

    @app.get("/page", response_class=PlainTextResponse)
    @cached("short", tags=["page"])
    async def get_page() -> str:
        return page()

    @app.get("/held")
    async def get_held() -> StreamingResponse:
        return StreamingResponse(aheld())

    @app.get("/endless")
    async def get_endless() -> StreamingResponse:
        return StreamingResponse(aendless())

    @app.get("/big/{megabytes}")
    async def get_big(megabytes: int) -> StreamingResponse:
        return StreamingResponse(abig(megabytes))

    @app.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("said " + await socket.receive_text())
        await socket.close()

    return app


def make_flask() -> Any:
    from flask import Flask, Response

    from apsperf_flask import APSPerf

    app = Flask(__name__)
    perf = APSPerf(app)

    @app.get("/page")
    @perf.cached("short", tags=["page"])
    def get_page() -> str:
        return page()

    @app.get("/held")
    def get_held() -> Response:
        return Response(held())

    @app.get("/endless")
    def get_endless() -> Response:
        return Response(endless())

    @app.get("/big/<int:megabytes>")
    def get_big(megabytes: int) -> Response:
        return Response(big(megabytes))

    return app


urlpatterns: list[Any] = []


def make_django(*, is_async: bool) -> Any:
    import django
    from django.conf import settings

    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["apsperf_django"],
        MIDDLEWARE=["apsperf_django.middleware.SuiteMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="secret",
    )
    django.setup()
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path

    from apsperf_django import cached

    @cached("short", tags=["page"])
    def get_page(_: Any) -> HttpResponse:
        return HttpResponse(page().encode())

    def get_held(_: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(aheld() if is_async else held())

    def get_endless(_: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(aendless() if is_async else endless())

    def get_big(_: Any, megabytes: int) -> StreamingHttpResponse:
        return StreamingHttpResponse(abig(megabytes) if is_async else big(megabytes))

    urlpatterns.extend(
        (
            path("page", get_page),
            path("held", get_held),
            path("endless", get_endless),
            path("big/<int:megabytes>", get_big),
        )
    )
    return get_asgi_application() if is_async else get_wsgi_application()


def make(name: str) -> Any:
    """A site by its name."""
    if name == "fastapi":
        return make_fastapi()
    if name == "flask":
        return make_flask()
    return make_django(is_async=name == "django_asgi")


app = make(os.environ["SITE"])
