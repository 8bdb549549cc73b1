"""A Falcon app with the suite round it, over WSGI and over ASGI.

gunicorn examples.frameworks.falcon_shop:served
uvicorn examples.frameworks.falcon_shop:served_async
"""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi

from apsperf_mw import Suite

suite = Suite()
stock: dict[int, str] = {1: "For Those About To Rock", 2: "Balls to the Wall"}


class Album:
    """An album; it may be kept for a minute."""

    def on_get(self, _: Any, resp: Any, number: int) -> None:
        """Show it."""
        resp.media = {"number": number, "title": stock[number]}
        resp.set_header("Cache-Control", "max-age=60")
        resp.set_header("ETag", f'"{stock[number]}"')

    def on_post(self, req: Any, resp: Any, number: int) -> None:
        """Give it another title: what is stored of the URL is void."""
        stock[number] = req.get_media()["title"]
        resp.status = falcon.HTTP_201


class AsyncAlbum:
    """The same for an event loop."""

    async def on_get(self, req: Any, resp: Any, number: int) -> None:
        """Show it."""
        Album().on_get(req, resp, number)

    async def on_post(self, req: Any, resp: Any, number: int) -> None:
        """Rename it."""
        stock[number] = (await req.get_media())["title"]
        resp.status = falcon.HTTP_201


class Export:
    """All of them, sent while they are read."""

    def on_get(self, _: Any, resp: Any) -> None:
        """Send them."""
        resp.stream = (f"{number}\t{title}\n".encode() for number, title in stock.items())
        resp.set_header("Cache-Control", "max-age=60")


class AsyncExport:
    """The same for an event loop."""

    async def on_get(self, _: Any, resp: Any) -> None:
        """Send them."""

        async def lines() -> Any:
            for number, title in stock.items():
                yield f"{number}\t{title}\n".encode()

        resp.stream = lines()
        resp.set_header("Cache-Control", "max-age=60")


class Broken:
    """It fails."""

    def on_get(self, _: Any, __: Any) -> None:
        """Fail."""
        raise RuntimeError("broken")


class AsyncBroken:
    """The same for an event loop."""

    async def on_get(self, _: Any, __: Any) -> None:
        """Fail."""
        raise RuntimeError("broken")


def routed(app: Any, album: Any, export: Any, broken: Any) -> Any:
    """The app with its routes."""
    app.add_route("/albums/{number:int}", album)
    app.add_route("/export", export)
    app.add_route("/broken", broken)
    return app


served = suite.wsgi(routed(falcon.App(), Album(), Export(), Broken()))
served_async = suite.asgi(routed(falcon.asgi.App(), AsyncAlbum(), AsyncExport(), AsyncBroken()))
