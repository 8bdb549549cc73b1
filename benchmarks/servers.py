"""Requests per second and CPU time per request of real servers, bare and wrapped by turns.

Each server runs with one worker, once for each wrapping, on a free loopback port. The CPU time
is that of the server's processes alone, and the figure to trust: the requests per second also
tell of the load generator, which runs on the same machine.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import clock_gettime, monotonic, sleep
from typing import IO, TYPE_CHECKING

import psutil
from msgspec import Struct

from benchmarks.load import LoadError, load_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    Progress = Callable[[str], None]

ROOT = Path(__file__).resolve().parents[1]
CONNECTIONS = 32
# What stands round the app, in the order of the table: the second part of its name in `served`.
WRAPPINGS = ("bare", "hit", "observed")
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0

_GUNICORN = "gunicorn --no-control-socket --log-level warning -w 1 -b 127.0.0.1:{port}"
_GRANIAN = "granian --no-log --workers 1 --port {port}"
_UVICORN = "uvicorn --no-access-log --log-level warning --port {port}"
# The module and the first part of the app's name in it, and the command, but for the app.
KINDS: dict[str, tuple[str, str]] = {
    "uvicorn": ("served:asgi", _UVICORN),
    "uvicorn, FastAPI": ("served_fastapi:fastapi", _UVICORN),
    "granian asgi": ("served:asgi", f"{_GRANIAN} --interface asgi"),
    "granian wsgi": ("served:wsgi", f"{_GRANIAN} --interface wsgi"),
    "gunicorn sync": ("served:wsgi", f"{_GUNICORN} -k sync"),
    "gunicorn gthread": ("served:wsgi", f"{_GUNICORN} -k gthread --threads 4"),
}


class ServerResult(Struct):
    """One wrapping on one server; ratios are against the bare app on the same one."""

    server: str
    wrapping: str
    requests: int
    requests_per_s: float
    cpu_us: float
    requests_ratio: float
    cpu_ratio: float


class Server:
    """A server process and its workers."""

    def __init__(self, kind: str, wrapping: str) -> None:
        app, command = KINDS[kind]
        self.kind = kind
        self.wrapping = wrapping
        self.port = free_port()
        self.rates: list[float] = []
        self.cpu_us: list[float] = []
        self.served = 0
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        args = [*command.format(port=self.port).split(), f"benchmarks.{app}_{wrapping}"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", *args],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it by its pid, and whatever workers it leaves behind."""
        workers = self._family()[1:]
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for worker in workers:
            if worker.is_running():
                worker.kill()
        self._log.close()

    def wait_ready(self) -> None:
        """Return once it answers; `RuntimeError` with its last words where it does not."""
        until = monotonic() + START_TIMEOUT_S
        while monotonic() < until and self._process.poll() is None:
            try:
                load_s(self.port, 1, 1)
                return
            except (OSError, LoadError):
                sleep(0.05)
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")[-2000:]
        raise RuntimeError(f"{self.kind} does not serve {self.wrapping}: {said}")

    def play(self, requests: int) -> None:
        """Serve one slice, and note what it took."""
        before = self._cpu_s()
        args = ["-m", "benchmarks.load", str(self.port), str(requests), str(CONNECTIONS)]
        done = subprocess.run(
            [sys.executable, *args], cwd=ROOT, check=True, capture_output=True, text=True
        )
        self.cpu_us.append((self._cpu_s() - before) / requests * 1e6)
        self.rates.append(requests / float(done.stdout))
        self.served += requests

    def forget(self) -> None:
        """Leave the warm-up out of the result."""
        self.rates, self.cpu_us, self.served = [], [], 0

    def result(self, bare: Server) -> ServerResult:
        """What it did, and the median of its ratios to the bare app in each round."""
        return ServerResult(
            self.kind,
            self.wrapping,
            self.served,
            median(self.rates),
            median(self.cpu_us),
            median(a / b for a, b in zip(self.rates, bare.rates, strict=True)),
            median(a / b for a, b in zip(self.cpu_us, bare.cpu_us, strict=True)),
        )

    def _family(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _cpu_s(self) -> float:
        return sum(map(cpu_s, self._family()))


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process: by its clock on Linux, as cpu_times() counts in 10 ms there."""
    if psutil.LINUX:
        return clock_gettime((~process.pid << 3) | 2)  # clock_getcpuclockid(3)
    times = process.cpu_times()
    seconds: float = times.user + times.system
    return seconds


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def measure(
    kinds: Iterable[str] = KINDS, *, rounds: int, slice_requests: int, progress: Progress
) -> list[ServerResult]:
    """Measure each kind of server, one after the other."""
    results = []
    for kind in kinds:
        progress(f"servers: {kind}")
        results += _measured(kind, rounds, slice_requests)
    return results


def _measured(kind: str, rounds: int, slice_requests: int) -> list[ServerResult]:
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(kind, wrapping)) for wrapping in WRAPPINGS]
        for server in servers:
            server.wait_ready()
            server.play(slice_requests)
            server.forget()
        for _ in range(rounds):
            for server in random.sample(servers, len(servers)):
                server.play(slice_requests)
        return [server.result(servers[0]) for server in servers]
