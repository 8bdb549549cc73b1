"""Apps that count their calls and take their time, with the suite round them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from apsperf_mw import Suite

SLOW_S = 0.3
PAGE = b"page " * 400

calls: Counter[str] = Counter()
suite = Suite(memory={"interval_s": 0.05})


def headers_for(path: str) -> list[tuple[str, str]]:
    control = "no-store" if path.startswith(("/calls", "/private")) else "max-age=60"
    length = str(len(body_for(path)))
    return [("content-type", "text/plain"), ("cache-control", control), ("content-length", length)]


def body_for(path: str) -> bytes:
    return str(calls[path.removeprefix("/calls")]).encode() if path.startswith("/calls") else PAGE


async def slow_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    path = scope["path"]
    calls[path] += 1
    if not path.startswith("/calls"):
        await asyncio.sleep(SLOW_S)
    headers = [(name.encode(), value.encode()) for name, value in headers_for(path)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body_for(path)})


def slow_wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    path = environ["PATH_INFO"]
    calls[path] += 1
    if not path.startswith("/calls"):
        time.sleep(SLOW_S)
    start_response("200 OK", headers_for(path))
    return [body_for(path)]


asgi = suite.asgi(slow_asgi)
wsgi = suite.wsgi(slow_wsgi)
