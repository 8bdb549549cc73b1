"""What the tests of the admin endpoint share: a token, an app, and servers with workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apsperf_mw import Suite
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient
from apsperf_mw.testing.messages import Reply, Response
from tests.apps.servers import STOP_S, port_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.testing.messages import Request

TOKEN = "0123456789abcdef-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ADMIN = {"enabled": True, "token": TOKEN}
BASE = "/-/apsperf"
ROOT = Path(__file__).resolve().parents[2]


class Numbered:
    """Answers are told apart by a number, and tagged with their path; fresh for a minute."""

    def __init__(self) -> None:
        self.count = 0
        self.seen: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.count += 1
        self.seen.append(request)
        path = request.target.partition("?")[0]
        control = "private" if path.startswith("/private") else "max-age=60"
        headers = (("Cache-Control", control), ("Cache-Tag", f"all, {path}"))
        status = 404 if path.startswith(BASE) else 200
        return Response(status, headers, [b"answer %d" % self.count])


def client_of(shell: str, app: Any = None, **settings: Any) -> Client:
    kind: Callable[..., Client] = WSGIClient if shell == "wsgi" else ASGIClient
    suite = Suite(None, **({"admin": ADMIN} | settings))
    return kind(suite, Numbered() if app is None else app)


def shell_of(client: Client) -> Any:
    """What the client asks."""
    assert isinstance(client, ASGIClient | WSGIClient)
    return client.shell


def told(reply: Reply, status: int = 200) -> dict[str, Any]:
    """The fields of an answer of the endpoint."""
    assert reply.status == status, reply.body
    assert reply.header("apsperf-admin")
    assert reply.header("cache-control") == "no-store"
    fields: dict[str, Any] = json.loads(reply.body)
    return fields


def purge(client: Any, **fields: Any) -> Reply:
    reply: Reply = client.ask(
        f"{BASE}/purge", BEARER, method="POST", body=json.dumps(fields).encode()
    )
    return reply


def until(happens: Callable[[], object], within_s: float = 20.0) -> None:
    """Ask again and again until it is so."""
    deadline = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@contextmanager
def serving(server: str, where: Path, *extra: str, **environ: str) -> Iterator[int]:
    """The port of a server with several workers, started in this directory."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("APSPERF_", "OTEL_"))}
    kept |= {"PYTHONPATH": str(ROOT), **environ}
    log = where / "server.log"
    command = [sys.executable, "-m", *server.split(), *extra]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=where, env=kept, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield port_of(process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    said = log.read_text("utf-8", "replace")
    assert "fault in" not in said, said
