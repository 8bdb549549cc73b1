"""Real servers as processes of their own, and a client for them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.testing.messages import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
HOST = "apps.test"
START_S = 30.0
STOP_S = 15.0
# Settings of whoever runs the tests, which must not reach a server.
FOREIGN = ("APSPERF_", "OTEL_", "GUNICORN_", "HTTPBIN_", "DATASETTE_")
# One hash seed: the order of methods in Allow comes from a set.
SEED = {"PYTHONHASHSEED": "0"}

# Each takes a free port by itself, and logs which.
UVICORN = ("-m", "uvicorn", "--host=127.0.0.1", "--port=0", "--factory", "--no-access-log")
GUNICORN = ("-m", "gunicorn", "--bind=127.0.0.1:0", "--worker-class=gthread", "--threads=2")
LISTENS = re.compile(r"(?:running on|Listening at:) http://127\.0\.0\.1:(\d+)")


class Case(Struct, frozen=True):
    """One request, and whether the same one is answered from the cache afterwards."""

    target: str
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    body: bytes = b""
    hits: bool = False

    def __str__(self) -> str:
        named = (f"{name}={value}" for name, value in self.headers)
        return " ".join((self.method, self.target, *named))


@contextmanager
def running(
    directory: Path, *command: str, cwd: Path = ROOT, environ: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A Python process with these arguments and its log, until the block ends.

    Fails where the suite has logged a fault of its own.
    """
    log = directory / "server.log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    own = {"HOME": str(directory), "PYTHONPATH": str(ROOT)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=cwd,
            env=kept | own | dict(environ or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, log
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    said = log.read_text("utf-8", "replace")
    assert "fault in" not in said, said


@contextmanager
def serving(server: tuple[str, ...], app: str, directory: Path) -> Iterator[int]:
    """The port of a server with this app of `tests.apps.sites`, until the block ends."""
    with running(directory, *server, f"tests.apps.sites:{app}", environ=SEED) as started:
        yield port_of(*started)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server listens there."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        said = log.read_text("utf-8", "replace")
        assert process.poll() is None, f"the server has ended:\n{said}"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the server does not listen:\n{log.read_text('utf-8', 'replace')}")


def port_of(process: subprocess.Popen[bytes], log: Path) -> int:
    """Where the server says that it listens."""
    deadline, said = time.monotonic() + START_S, ""
    while time.monotonic() < deadline:
        said = log.read_text("utf-8", "replace")
        assert process.poll() is None, f"the server has ended:\n{said}"
        if found := LISTENS.search(said):
            return int(found[1])
        time.sleep(0.05)
    raise AssertionError(f"the server does not listen:\n{said}")


def ask(port: int, case: Case) -> Reply:
    """One request on a connection of its own."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.putrequest(case.method, case.target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", HOST)
        for name, value in case.headers:
            connection.putheader(name, value)
        if case.body:
            connection.putheader("Content-Length", str(len(case.body)))
        connection.endheaders(case.body or None)
        response = connection.getresponse()
        headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in response.getheaders()]
        return Reply(response.status, headers, [response.read()])
