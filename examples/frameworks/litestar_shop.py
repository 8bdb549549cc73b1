"""A Litestar app with the suite round it.

uvicorn examples.frameworks.litestar_shop:served
"""

from __future__ import annotations

from collections.abc import AsyncIterator  # noqa: TC003 - they look at annotations
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.response import Stream

from apsperf_mw import Suite

suite = Suite()
stock: dict[int, str] = {1: "For Those About To Rock", 2: "Balls to the Wall"}


@get("/albums/{number:int}")
async def album(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """An album; it may be kept for a minute."""
    number = request.path_params["number"]
    found = {"number": number, "title": stock[number]}
    return Response(found, headers={"Cache-Control": "max-age=60", "ETag": f'"{stock[number]}"'})


@post("/albums/{number:int}")
async def rename(request: Request[Any, Any, Any]) -> None:
    """Give it another title: what is stored of the URL is void."""
    stock[request.path_params["number"]] = (await request.json())["title"]


@get("/export")
async def export() -> Stream:
    """All of them, sent while they are read."""

    async def lines() -> AsyncIterator[str]:
        for number, title in stock.items():
            yield f"{number}\t{title}\n"

    return Stream(lines(), headers={"Cache-Control": "max-age=60"})


@get("/broken")
async def broken() -> None:
    """It fails."""
    raise RuntimeError("broken")


app = Litestar([album, rename, export, broken])
served = suite.asgi(app)  # type: ignore[arg-type] # whose types are narrower than a server's
