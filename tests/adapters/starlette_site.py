"""The site in Starlette."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from apsperf_fastapi import cached, install
from tests.adapters.support import FOR_ALL, ASGISite, Pages


def make(*, bare: bool = False, **settings: Any) -> ASGISite:
    pages = Pages()
    app = Starlette(
        routes=routes(pages), middleware=[Middleware(SessionMiddleware, secret_key="secret")]
    )
    return ASGISite(app, pages, None if bare else install(app, **settings))


def routes(pages: Pages) -> list[Route | Mount]:
    def page(name: str, **more: Any) -> Response:
        return PlainTextResponse(pages.turn(name), **more)

    def plain(request: Request) -> Response:
        return page("plain")

    @cached("short", tags=["items"])
    async def item(request: Request) -> Response:
        return page(f"item {request.path_params['number']}")

    @cached(90, tags=["other"])
    def seconds(request: Request) -> Response:
        return page("seconds")

    @cached("long")
    def said(request: Request) -> Response:
        return page("said", headers={"Cache-Control": request.query_params["control"]})

    def unmarked(request: Request) -> Response:
        return page("unmarked", headers={"Cache-Control": request.query_params["control"]})

    @cached("long")
    def cookie(request: Request) -> Response:
        response = page("cookie", headers=FOR_ALL)
        response.set_cookie("visit", "1")
        return response

    @cached("long", shared=True)
    def shared(request: Request) -> Response:
        return page("shared")

    @cached("long")
    def thing(request: Request) -> Response:
        return page("thing", status_code=int(request.headers.get("x-status", "200")))

    @cached("long")
    def etag(request: Request) -> Response:
        held = request.headers.get("if-none-match") == '"v1"'
        return page("etag", status_code=304 if held else 200, headers={"ETag": '"v1"'})

    @cached("long")
    def status(request: Request) -> Response:
        return page("status", status_code=request.path_params["code"])

    @cached("long")
    def stream(request: Request) -> Response:
        return StreamingResponse(pages.chunks())

    @cached("long")
    async def astream(request: Request) -> Response:
        return StreamingResponse(pages.achunks())

    @cached("long", shared=True)
    def session_write(request: Request) -> Response:
        request.session["user"] = "alice"
        return page("session write", headers=FOR_ALL)

    @cached("long", shared=True)
    def session_read(request: Request) -> Response:
        user = request.session.get("user")
        return PlainTextResponse(f"{user} {pages.turn('session read')}", headers=FOR_ALL)

    @cached("long", shared=True)
    def session_idle(request: Request) -> Response:
        return page("session idle", headers=FOR_ALL)

    @cached("long")
    def error(request: Request) -> Response:
        raise RuntimeError(pages.turn("error"))

    @cached("long")
    def gone(request: Request) -> Response:
        pages.turn("gone")
        raise HTTPException(404)

    return [
        Route("/plain", plain),
        Route("/item/{number:int}", item),
        Route("/seconds", seconds),
        Route("/said", said),
        Route("/unmarked", unmarked),
        Route("/cookie", cookie),
        Route("/shared", shared),
        Route("/thing", thing, methods=["GET", "POST"]),
        Route("/etag", etag),
        Route("/status/{code:int}", status),
        Route("/stream", stream),
        Route("/astream", astream),
        Route("/session/write", session_write),
        Route("/session/read", session_read),
        Route("/session/idle", session_idle),
        Route("/error", error),
        Route("/gone", gone),
        Mount("/shop/{town}", routes=[Route("/item/{number:int}", item)]),
    ]
