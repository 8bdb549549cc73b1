"""A Bottle app with the suite round it.

gunicorn examples.frameworks.bottle_shop:served
"""

# Bottle comes without types.
# pyright: reportCallIssue=false, reportIndexIssue=false

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - they look at annotations
from typing import Any

from bottle import Bottle, request, response

from apsperf_mw import Suite

suite = Suite()
app = Bottle()
app.catchall = False  # the server is told of what fails
stock: dict[int, str] = {1: "For Those About To Rock", 2: "Balls to the Wall"}


@app.get("/albums/<number:int>")
def album(number: int) -> dict[str, Any]:
    """An album; it may be kept for a minute."""
    response.set_header("Cache-Control", "max-age=60")
    response.set_header("ETag", f'"{stock[number]}"')
    return {"number": number, "title": stock[number]}


@app.post("/albums/<number:int>")
def rename(number: int) -> dict[str, str]:
    """Give it another title: what is stored of the URL is void."""
    stock[number] = request.json["title"]
    response.status = 201
    return {"title": stock[number]}


@app.get("/export")
def export() -> Iterator[bytes]:
    """All of them, sent while they are read."""
    response.set_header("Cache-Control", "max-age=60")
    for number, title in stock.items():
        yield f"{number}\t{title}\n".encode()


@app.get("/broken")
def broken() -> str:
    """It fails."""
    raise RuntimeError("broken")


served = suite.wsgi(app)
