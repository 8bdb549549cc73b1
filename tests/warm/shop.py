"""One small shop in every form that the command takes; each access by name makes a new one."""

from __future__ import annotations

import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request, Response
from flask import Flask

from apsperf_fastapi import install
from apsperf_flask import APSPerf
from apsperf_mw import Suite
from apsperf_mw.testing.dicts import DictDriver
from apsperf_mw.testing.harness import ASGIClient, WSGIClient
from tests.warm.support import Pages, index, urlset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

events: list[str] = []
MINUTE = {"Cache-Control": "max-age=60"}
PRIVATE = {"Cache-Control": "private"}
MAPS = {
    "1.xml.gz": gzip.compress(urlset("http://shop.test/item/1")),
    "2.xml": urlset("https://shop.test/item/2"),
    "index.xml": index("http://shop.test/map/2.xml", "http://shop.test/map/index.xml"),
    "broken.xml": urlset("http://shop.test/item/3")[:-9],
}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    events.append("up")
    yield {"database": "open"}
    events.append("down")


def bare() -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.get("/page")
    def page() -> Response:
        return Response("page", headers=MINUTE)

    @app.get("/private")
    def private() -> Response:
        return Response("private", headers=PRIVATE)

    @app.get("/item/{number}")
    def item(number: int) -> Response:
        return Response(str(number), headers=MINUTE)

    @app.get("/lifespan")
    def use(request: Request) -> Response:
        events.append(f"asked with {request.state.database}")
        return Response("used", headers=MINUTE)

    @app.get("/map/{name}", include_in_schema=False)
    def sitemap(name: str) -> Response:
        if name not in MAPS:
            raise HTTPException(404)
        return Response(MAPS[name])

    return app


def fastapi() -> FastAPI:
    app = bare()
    install(app)
    return app


def flask() -> Flask:
    app = Flask("shop")
    APSPerf(app)
    app.add_url_rule("/page", "page", lambda: ("page", MINUTE))
    app.add_url_rule("/private", "private", lambda: ("private", PRIVATE))
    return app


def hidden() -> Any:
    """A suite behind a function, where nothing but its answers shows it."""
    shell = ASGIClient(Suite(), Pages()).shell

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await shell(scope, receive, send)

    return app


class Far(DictDriver):
    """A driver whose values outlive the suite."""

    kept: dict[bytes, bytes] = {}

    def __init__(self) -> None:
        super().__init__()
        self.held = self.kept


def far() -> Any:
    return WSGIClient(Suite(cache={"driver": "tests.warm.shop:Far"}), Pages()).shell


def failing(when: str, message: str) -> Any:
    shell = ASGIClient(Suite(), Pages()).shell

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await shell(scope, receive, send)
            return
        for stage in ("startup", "shutdown"):
            await receive()
            if stage == when:
                told = f"Traceback:\n  {message}\n"
                await send({"type": f"lifespan.{stage}.failed", "message": told})
                return
            await send({"type": f"lifespan.{stage}.complete"})

    return app


def bare_wsgi() -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Cache-Control", "max-age=60")])
        return [b"page"]

    return app


FORMS: dict[str, Callable[[], Any]] = {
    "fastapi_app": fastapi,
    "flask_app": flask,
    "bare_app": bare,
    "bare_wsgi_app": bare_wsgi,
    "hidden_app": hidden,
    "far_app": far,
    "plain_asgi": lambda: ASGIClient(Suite(), Pages()).shell,
    "plain_wsgi": lambda: WSGIClient(Suite(), Pages()).shell,
    "off": lambda: Suite(cache={"enabled": False}).wsgi(bare_wsgi()),
    "fails_up": lambda: failing("startup", "no database"),
    "fails_down": lambda: failing("shutdown", "still busy"),
}


def __getattr__(name: str) -> Any:
    if name not in FORMS:
        raise AttributeError(name)
    return FORMS[name]()
