"""The site in FastAPI."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.middleware.sessions import SessionMiddleware

from apsperf_fastapi import cached, install
from tests.adapters.support import FOR_ALL, ASGISite, Pages


def make(*, bare: bool = False, **settings: Any) -> ASGISite:
    pages = Pages()
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="secret")
    app.include_router(rules(pages))
    app.include_router(streams(pages))
    app.include_router(sessions(pages))
    shop = APIRouter(prefix="/{town}")
    shop.include_router(rules(pages), prefix="/stock")
    app.include_router(shop, prefix="/shop")
    inner = FastAPI()
    inner.include_router(rules(pages))
    app.mount("/inner", inner)
    return ASGISite(app, pages, None if bare else install(app, **settings))


def rules(pages: Pages) -> APIRouter:
    router = APIRouter(default_response_class=PlainTextResponse)

    @router.get("/plain")
    def plain() -> str:
        return pages.turn("plain")

    @router.get("/item/{number}")
    @cached("short", tags=["items"])
    async def item(number: int) -> str:
        return pages.turn(f"item {number}")

    @router.get("/seconds")
    @cached(90, tags=["other"])
    def seconds() -> str:
        return pages.turn("seconds")

    @router.get("/said")
    @cached("long")
    def said(control: str, response: Response) -> str:
        response.headers["Cache-Control"] = control
        return pages.turn("said")

    @router.get("/unmarked")
    def unmarked(control: str, response: Response) -> str:
        response.headers["Cache-Control"] = control
        return pages.turn("unmarked")

    @router.get("/cookie")
    @cached("long")
    def cookie(response: Response) -> str:
        response.headers.update(FOR_ALL)
        response.set_cookie("visit", "1")
        return pages.turn("cookie")

    @router.get("/shared")
    @cached("long", shared=True)
    def shared() -> str:
        return pages.turn("shared")

    @router.api_route("/thing", methods=["GET", "POST"])
    @cached("long")
    def thing(request: Request, response: Response) -> str:
        response.status_code = int(request.headers.get("x-status", "200"))
        return pages.turn("thing")

    @router.api_route("/etag", methods=["GET", "HEAD"])
    @cached("long")
    def etag(request: Request) -> Response:
        held = request.headers.get("if-none-match") == '"v1"'
        body = pages.turn("etag")
        status = 304 if held else 200
        return PlainTextResponse(body, status_code=status, headers={"ETag": '"v1"'})

    @router.get("/status/{code}")
    @cached("long")
    def status(code: int) -> PlainTextResponse:
        return PlainTextResponse(pages.turn("status"), status_code=code)

    return router


def streams(pages: Pages) -> APIRouter:
    router = APIRouter()

    @router.get("/stream")
    @cached("long")
    def stream() -> StreamingResponse:
        return StreamingResponse(pages.chunks())

    @router.get("/astream")
    @cached("long")
    async def astream() -> StreamingResponse:
        return StreamingResponse(pages.achunks())

    @router.get("/error")
    @cached("long")
    def error() -> str:
        raise RuntimeError(pages.turn("error"))

    @router.get("/gone")
    @cached("long")
    def gone() -> str:
        pages.turn("gone")
        raise HTTPException(404)

    return router


def sessions(pages: Pages) -> APIRouter:
    router = APIRouter(prefix="/session", default_response_class=PlainTextResponse)

    @router.get("/write")
    @cached("long", shared=True)
    def write(request: Request, response: Response) -> str:
        request.session["user"] = "alice"
        response.headers.update(FOR_ALL)
        return pages.turn("session write")

    @router.get("/read")
    @cached("long", shared=True)
    def read(request: Request, response: Response) -> str:
        response.headers.update(FOR_ALL)
        return f"{request.session.get('user')} {pages.turn('session read')}"

    @router.get("/idle")
    @cached("long", shared=True)
    def idle(response: Response) -> str:
        response.headers.update(FOR_ALL)
        return pages.turn("session idle")

    return router
