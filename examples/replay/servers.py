"""The two shops as processes of their own, under uvicorn."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from json import loads
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import psutil

from examples.shop import counters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
STOP_S = 10.0
LOG_TAIL = 25


class ServerFailed(Exception):
    """A server did not start, or died; the message ends with what it logged last."""


class Server:
    """One shop; `name` is a factory of `examples.shop.serve`."""

    def __init__(self, name: str, port: int, log: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.port = port
        self._log = log
        command = [sys.executable, "-m", "uvicorn", "--factory", f"examples.shop.serve:{name}"]
        options = {
            "--app-dir": str(ROOT),
            "--port": str(port),
            "--log-level": "warning",
            "--timeout-keep-alive": "60",
        }
        for option in options.items():
            command += option
        with log.open("wb") as output:
            # A session of its own, so that Ctrl-C comes to us alone and we end it in order.
            self._process = subprocess.Popen(
                [*command, "--no-access-log"],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def rss_bytes(self) -> int:
        """Its resident memory now."""
        rss: int = psutil.Process(self._process.pid).memory_info().rss
        return rss

    def counted(self) -> dict[str, int]:
        """The app's own counters; `OSError` or `HTTPException` where it gives none."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            connection.request("GET", counters.PATH)
            response = connection.getresponse()
            if response.status != HTTPStatus.OK:
                raise HTTPException(f"{counters.PATH} answers {response.status}")
            found: dict[str, int] = loads(response.read())
            return found

    def wait_until_ready(self) -> None:
        """Return once it answers; raise `ServerFailed` if it dies or takes too long."""
        deadline = monotonic() + START_S
        while monotonic() < deadline:
            self.check()
            try:
                self.counted()
            except (OSError, HTTPException):
                sleep(0.05)
            else:
                return
        raise ServerFailed(self._report(f"did not answer within {START_S:.0f} s"))

    def check(self) -> None:
        """Raise `ServerFailed` if it has died."""
        code = self._process.poll()
        if code is not None:
            raise ServerFailed(self._report(f"has ended with exit code {code}"))

    def stop(self) -> None:
        """Ask it to end, and insist where it does not."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _report(self, what: str) -> str:
        said = self._log.read_text("utf-8", "replace").splitlines()[-LOG_TAIL:]
        return "\n".join([f"the {self.name} shop {what}; its log ends with:", *said])


@contextmanager
def running(directory: Path, secret: str, otlp: str) -> Iterator[tuple[Server, Server]]:
    """Both shops, bare and wrapped, ready to answer; only the second exports, to `otlp`."""
    shared = _environ(directory, secret)
    exporting = shared | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "record-shop",
        "APSPERF_EXPORTER__INTERVAL_S": "2",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    with ExitStack() as stack:
        servers = []
        environs = {"bare": shared, "wrapped": exporting}
        for port, (name, environ) in zip(free_ports(2), environs.items(), strict=True):
            server = Server(name, port, directory / f"{name}.log", environ)
            stack.callback(server.stop)
            servers.append(server)
        for server in servers:
            server.wait_until_ready()
        yield servers[0], servers[1]


def free_ports(count: int) -> list[int]:
    """Ports on the loopback that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]


def _environ(directory: Path, secret: str) -> dict[str, str]:
    """Ours, without the telemetry settings of the caller; temporary files in `directory`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return kept | {"SHOP_SECRET": secret, "SHOP_DEMO": "1", "TMPDIR": str(directory)}
