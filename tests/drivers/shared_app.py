"""An app behind a suite in a process of its own, told over standard input what to do; for tests.

Each line is JSON: `{"ask": path, "times": n}` asks so often at once and answers with the bodies,
`{"purge": [tags]}` purges, `{"post": path}` makes a URL void. Each call of the app adds a byte to a
file that all processes share.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from apsperf_mw import Suite

HEADERS = [(b"cache-control", b"max-age=600"), (b"cache-tag", b"page")]
SAID = {
    "/private": [(b"cache-control", b"no-store")],
    "/stale": [(b"cache-control", b"max-age=0, stale-while-revalidate=600")],
}


def main(url: str, calls: str, takes_s: float) -> None:
    """Serve until the input ends."""
    numbers = iter(range(1_000_000))
    counted = os.open(calls, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        os.write(counted, b"x")
        body = f"{os.getpid()}-{next(numbers)}".encode()
        await asyncio.sleep(takes_s)
        headers = SAID.get(scope["path"], HEADERS)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    suite = Suite(cache={"driver": url, "patience_s": 20})
    served = suite.asgi(app)
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            told = runner.run(done(suite, served, json.loads(line)))
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
    suite.close()
    os.close(counted)


async def done(suite: Suite, app: Any, order: dict[str, Any]) -> Any:
    """What the order says."""
    if "purge" in order:
        await suite.apurge(*order["purge"])
        return "purged"
    if "post" in order:
        return await ask(app, "POST", order["post"])
    asked = (ask(app, "GET", order["ask"]) for _ in range(order.get("times", 1)))
    return await asyncio.gather(*asked)


async def ask(app: Any, method: str, path: str) -> str:
    """The body of a response."""
    got: list[bytes] = []

    async def send(message: Any) -> None:
        got.append(message.get("body", b""))

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"shop.example")],
        "state": {},
    }
    await app(scope, receive, send)
    return b"".join(got).decode()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
