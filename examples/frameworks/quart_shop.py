"""A Quart app with the suite round it.

uvicorn examples.frameworks.quart_shop:app
"""

from __future__ import annotations

from collections.abc import AsyncIterator  # noqa: TC003 - they look at annotations
from typing import Any

from quart import Quart, Response, request

from apsperf_mw import Suite

suite = Suite()
app = Quart(__name__)
stock: dict[int, str] = {1: "For Those About To Rock", 2: "Balls to the Wall"}


@app.get("/albums/<int:number>")
async def album(number: int) -> tuple[dict[str, Any], int, dict[str, str]]:
    """An album; it may be kept for a minute."""
    found = {"number": number, "title": stock[number]}
    return found, 200, {"Cache-Control": "max-age=60", "ETag": f'"{stock[number]}"'}


@app.post("/albums/<int:number>")
async def rename(number: int) -> tuple[dict[str, str], int]:
    """Give it another title: what is stored of the URL is void."""
    data: dict[str, str] = await request.get_json()
    stock[number] = data["title"]
    return data, 201


@app.get("/export")
async def export() -> Response:
    """All of them, sent while they are read."""

    async def lines() -> AsyncIterator[bytes]:
        for number, title in stock.items():
            yield f"{number}\t{title}\n".encode()

    return Response(lines(), headers={"Cache-Control": "max-age=60"})


@app.get("/broken")
async def broken() -> str:
    """It fails."""
    raise RuntimeError("broken")


app.asgi_app = suite.asgi(app.asgi_app)  # type: ignore[assignment,method-assign,arg-type]
