"""A small site for both shells and for servers, and what asks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner, Result

from apsperf_mw import Suite
from apsperf_mw.cli import main
from apsperf_mw.testing.harness import ASGIClient, WSGIClient
from apsperf_mw.testing.messages import Gate, Response
from tests.apps.servers import STOP_S, port_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apsperf_mw.testing.messages import Request

ROOT = Path(__file__).resolve().parents[2]
MINUTE = ("Cache-Control", "max-age=60")
EVIL = "http://evil.test/x"
BARE = (("A", "b"),)

SITEMAP = b"<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>%b</urlset>"
INDEX = b"<sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>%b</sitemapindex>"


def urlset(*pages: str) -> bytes:
    return SITEMAP % b"".join(b"<url><loc>%b</loc></url>" % page.encode() for page in pages)


def index(*sitemaps: str) -> bytes:
    locs = b"".join(b"<sitemap><loc>%b</loc></sitemap>" % each.encode() for each in sitemaps)
    return INDEX % locs


class Pages:
    """The app: `/a` and whatever else has no line here may be stored for a minute."""

    def __init__(self, documents: dict[str, bytes] | None = None) -> None:
        self.calls: Counter[str] = Counter()
        self.seen: list[Request] = []
        self.documents = documents or {}

    def __call__(self, request: Request) -> Response:
        path = request.target.partition("?")[0]
        self.calls[path] += 1
        if path == "/seen":
            return Response(headers=(("Cache-Control", "no-store"),), body=[self._told()])
        self.seen.append(request)
        if path in self.documents:
            return Response(body=[self.documents[path]])
        return self.page(path, request)

    def page(self, path: str, request: Request) -> Response:
        match path:
            case "/private":
                return Response(headers=(("Cache-Control", "private"),), body=[b"yours"])
            case "/plain":
                return Response(body=[b"plain"])
            case "/missing":
                return Response(404, body=[b"no"])
            case "/raises":
                return Response(error=RuntimeError("\x1b[31mred\x1b[0m"))
            case "/there":
                return Response(302, (("Location", "a?from=there"),), [b""])
            case "/away":
                return Response(302, (("Location", EVIL),), [b""])
            case "/round":
                return Response(302, (("Location", "/round"),), [b""])
            case "/large":
                return Response(headers=(MINUTE,), body=iter([b"x" * 1000] * 3))
            case "/endless":
                return Response(headers=(MINUTE,), body=_endless())
            case "/tongue":
                tongue = request.header("Accept-Language") or "none"
                headers = (MINUTE, ("Vary", "Accept-Language"))
                return Response(headers=headers, body=[tongue.encode()])
        return Response(headers=(MINUTE,), body=[path.encode("latin-1")])

    def _told(self) -> bytes:
        told = [(each.method, each.target, each.headers) for each in self.seen]
        return json.dumps(told).encode()


def _endless() -> Iterator[bytes | Gate]:
    """A body that goes on long after everybody has left; lets the loop have its turns."""
    turn = Gate()
    turn.open()
    for _ in range(1000):
        time.sleep(0.005)
        yield b"more"
        yield turn


pages = Pages({"/sitemap.xml": urlset("http://shop.test/a", "http://shop.test/b")})
asgi = ASGIClient(Suite(memory={"enabled": False}), pages).shell
wsgi = WSGIClient(Suite(memory={"enabled": False}), pages).shell

UVICORN = ("-m", "uvicorn", "--host=127.0.0.1", "--port=0", "--no-access-log", "--lifespan=off")
GUNICORN = ("-m", "gunicorn", "--bind=127.0.0.1:0", "--worker-class=gthread", "--threads=4")
SERVERS = {
    "uvicorn": (*UVICORN, "tests.warm.support:asgi"),
    "gunicorn": (*GUNICORN, "tests.warm.support:wsgi"),
}


def environ() -> dict[str, str]:
    """The environment of an interpreter that imports what this one does, with no settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("APSPERF_", "OTEL_"))}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path]))}


@contextmanager
def serving(name: str, directory: Path) -> Iterator[str]:
    """The base URL of a server of this kind on the loopback, until the block ends."""
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *SERVERS[name]],
            cwd=ROOT,
            env=environ(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port_of(process, log)}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def invoke(*args: str, pages: str = "") -> Result:
    """The command `apsperf warm` with these pages as its input."""
    make: Any = CliRunner
    apart = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
    result: Result = make(**apart).invoke(
        main, ("warm", *args), input=pages, catch_exceptions=False
    )
    return result
