"""The servers that the cache is tested on, each a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from tests.apps.servers import ROOT, port_of
from tests.conformance.proxies import ORIGIN_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator

STOP_S = 10.0
FOREIGN = ("APSPERF_", "OTEL_", "GUNICORN_", "UVICORN_", "npm_")
GUNICORN = ("-m", "gunicorn", "--bind=127.0.0.1:0", "--no-control-socket", "--worker-class")


class Server(Struct, frozen=True):
    """A server's name, its command and the factory of the app that it loads."""

    name: str
    command: tuple[str, ...]
    app: str


SERVERS = (
    Server(
        "uvicorn-asgi",
        (
            *("-m", "uvicorn", "--host=127.0.0.1", "--port=0", "--no-access-log", "--factory"),
            *("--no-date-header", "--no-server-header"),
        ),
        "tests.conformance.proxies:asgi",
    ),
    Server("gunicorn-asgi", (*GUNICORN, "asgi"), "tests.conformance.proxies:asgi()"),
    Server(
        "gunicorn-wsgi",
        (*GUNICORN, "gthread", "--threads=32"),
        "tests.conformance.proxies:wsgi()",
    ),
)


def chosen(name: str | None) -> list[Server]:
    """The servers of this name, or of this shell."""
    return [s for s in SERVERS if name is None or s.name == name or s.name.endswith(f"-{name}")]


@contextmanager
def serving(server: Server, origin_port: int, log: Path) -> Iterator[int]:
    """The port of the server with the proxy to this origin, until the block ends."""
    environ = clean_environ() | {ORIGIN_PORT: str(origin_port), "PYTHONPATH": str(ROOT)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *server.command, server.app],
            cwd=log.parent,
            env=environ,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield port_of(process, log)
    finally:
        stop(process)


def clean_environ() -> dict[str, str]:
    """The environment without what would set up the suite, a server or the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process, and by force what it leaves behind."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
