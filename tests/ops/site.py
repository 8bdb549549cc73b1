"""A small site for real servers, set up by the environment."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import anyio

from apsperf_mw import Suite

if TYPE_CHECKING:
    from collections.abc import Iterable

suite = Suite()
HEAD = [("Content-Type", "text/plain"), ("Content-Length", "4")]


def page(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    environ["apsperf.plan"].route = environ["PATH_INFO"]
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.5)
    body = b"%d" % os.getpid() if environ["PATH_INFO"] == "/pid" else b"page"
    start_response("200 OK", [*HEAD[:-1], ("Content-Length", str(len(body)))])
    return [body]


async def apage(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        kind = ""
        while kind != "lifespan.shutdown":
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
        return
    scope["state"]["apsperf"].route = scope["path"]
    if scope["path"] == "/slow":
        await anyio.sleep(0.5)
    head = [(name.lower().encode(), value.encode()) for name, value in HEAD]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"page"})


wsgi = suite.wsgi(page)
asgi = suite.asgi(apage)
