"""The bare apps that are observed, and requests to them as a server makes them."""

from __future__ import annotations

from typing import Any

from benchmarks.shells import FIELDS

HEAD = [(b"content-type", b"text/plain"), (b"content-length", b"4")]
PATH = "/albums/23"


def scope() -> dict[str, Any]:
    """A request as a server makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in FIELDS],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


def environ() -> dict[str, Any]:
    """The same for WSGI."""
    from io import BytesIO

    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": PATH,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in FIELDS},
    }


async def receive() -> dict[str, Any]:
    """No body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None:
    """Take it."""


def start(status: str, headers: Any, exc_info: Any = None) -> Any:
    """Take the head."""


async def raw_asgi(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
    """The least that an ASGI app can be."""
    await send({"type": "http.response.start", "status": 200, "headers": HEAD})
    await send({"type": "http.response.body", "body": b"page"})


def raw_wsgi(environ: Any, start_response: Any) -> list[bytes]:  # noqa: ARG001
    """The least that a WSGI app can be."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"page"]


def fastapi_app(**more: Any) -> Any:
    """A FastAPI app with one route."""
    from fastapi import FastAPI

    app = FastAPI(openapi_url=None, **more)

    @app.get("/albums/{number}")
    async def album(number: int) -> dict[str, int]:
        return {"number": number}

    return app


def flask_app() -> Any:
    """A Flask app with one route."""
    from flask import Flask

    app = Flask(__name__)

    @app.get("/albums/<int:number>")
    def album(number: int) -> dict[str, int]:
        return {"number": number}

    return app
