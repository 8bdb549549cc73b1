"""Prove that the wheel works with its base dependencies and nothing else; run it with `-I`."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import apsperf_mw
from apsperf_mw import Suite

HEADERS = [("content-type", "text/plain"), ("cache-control", "max-age=60")]


def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", list(HEADERS))
    return [b"hello"]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    headers = [(name.encode(), value.encode()) for name, value in HEADERS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


def ask_wsgi(app: Any) -> tuple[str, str]:
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    heads: list[dict[str, str]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        heads.append({name.lower(): value for name, value in headers})

    body = app(environ, start_response)
    return b"".join(body).decode(), heads[0].get("cache-status", "")


async def ask_asgi(app: Any) -> tuple[str, str]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"shop.example")],
        "server": ("shop.example", 80),
        "client": ("192.0.2.1", 1),
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    fields = {name.lower(): value for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return body.decode(), fields.get(b"cache-status", b"").decode()


def check(answers: list[tuple[str, str]]) -> None:
    bodies, (first, second) = {body for body, _ in answers}, [status for _, status in answers]
    assert bodies == {"hello"}, answers
    assert "hit" not in first.split("; "), answers
    assert "hit" in second.split("; "), answers


async def twice(app: Any) -> list[tuple[str, str]]:
    return [await ask_asgi(app), await ask_asgi(app)]


# Tests for drivers of others, which pytest runs.
FOR_PYTEST = ("apsperf_mw.testing.contract", "apsperf_mw.testing.drivers")
# What extras bring is used by these alone, which are loaded where it is asked for.
FOR_EXTRAS = (
    "apsperf_mw.advice.advising",
    "apsperf_mw.advice.choosing",
    "apsperf_mw.advice.reading",
    "apsperf_mw.db.asyncpg",
    "apsperf_mw.db.batches",
    "apsperf_mw.db.buffers",
    "apsperf_mw.db.catalogue",
    "apsperf_mw.db.copying",
    "apsperf_mw.db.engines",
    "apsperf_mw.db.following",
    "apsperf_mw.db.keeping",
    "apsperf_mw.db.lazy_rows",
    "apsperf_mw.db.loads",
    "apsperf_mw.db.parsing",
    "apsperf_mw.db.pools",
    "apsperf_mw.db.psycopg",
    "apsperf_mw.db.psycopg_pools",
    "apsperf_mw.db.sqlalchemy",
    "apsperf_mw.db.writing",
    "apsperf_mw.ops.exposition",
    "apsperf_mw.profiling.formats",
)


def main() -> None:
    here = Path(apsperf_mw.__file__).parent
    assert "site-packages" in here.parts, f"not the installed package: {here}"
    for name in ("adapters", "flask", "fastapi", "django"):
        assert find_spec(name) is None, f"{name} can be imported"
    names = [m.name for m in pkgutil.walk_packages([str(here)], "apsperf_mw.")]
    for name in names:
        if not name.endswith("__main__") and not name.startswith((*FOR_PYTEST, *FOR_EXTRAS)):
            importlib.import_module(name)
    wsgi, asgi = Suite().wsgi(wsgi_app), Suite().asgi(asgi_app)
    check([ask_wsgi(wsgi), ask_wsgi(wsgi)])
    check(asyncio.run(twice(asgi)))
    print(f"{len(names)} modules import on the base alone; both shells answer, then hit")


if __name__ == "__main__":
    main()
