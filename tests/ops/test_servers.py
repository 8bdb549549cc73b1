"""Health, readiness and scrapes on real servers, with workers that come and go."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.apps.servers import free_port, port_of, running, wait_for_port
from tests.ops.test_prometheus import COUNT, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UVICORN = ("uvicorn", "--host=127.0.0.1", "--port=0", "--no-access-log", "tests.ops.site:asgi")
GUNICORN = ("gunicorn", "--bind=127.0.0.1:0", "--graceful-timeout=5", "tests.ops.site:wsgi")
PROMETHEUS = shutil.which("prometheus")


@contextmanager
def served(
    directory: Path, *command: str, **settings: str
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port and the process of a server of the small site."""
    environ = {"APSPERF_HEALTH__ENABLED": "true"} | settings
    with running(directory, "-m", *command, environ=environ) as (process, log):
        yield port_of(process, log), process


def got(port: int, path: str) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.mark.parametrize(
    "command", [UVICORN, GUNICORN, ("gunicorn", "--preload", *GUNICORN[1:])], ids=str
)
def test_a_server_drains_at_sigterm_and_ends_as_ever(tmp_path: Path, command: Any) -> None:
    with served(tmp_path, *command) as (port, process):
        assert got(port, "/-/healthz") == (200, "alive\n")
        assert got(port, "/-/readyz") == (200, "ready\n")
        with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as slow:
            slow.request("GET", "/slow")
            time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            assert slow.getresponse().read() == b"page"
        assert process.wait(20) in {0, -signal.SIGTERM}


@pytest.mark.parametrize("more", [("--preload",), ()], ids=str)
def test_threads_say_that_their_worker_ends(tmp_path: Path, more: tuple[str, ...]) -> None:
    command = (GUNICORN[0], *more, "--threads=2", *GUNICORN[1:])
    with served(tmp_path, *command) as (port, process):
        with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as kept:
            assert again(kept, "/-/readyz") == (200, "ready\n")
            worker = int(again(kept, "/pid")[1])
            os.kill(worker, signal.SIGTERM)
            deadline, said = time.monotonic() + 2, (200, "")
            while said[0] == 200 and time.monotonic() < deadline:
                said = again(kept, "/-/readyz")
            assert said == (503, "not ready: shutting down\n")
        deadline = time.monotonic() + 20
        while got(port, "/pid")[1] == str(worker) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert got(port, "/-/readyz") == (200, "ready\n")  # by the worker in its place
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_worker_that_has_had_its_requests_is_ready_to_the_last(tmp_path: Path) -> None:
    command = (GUNICORN[0], "--preload", "--threads=2", "--max-requests=3", *GUNICORN[1:])
    with served(tmp_path, *command) as (port, _):
        for _ in range(12):
            assert got(port, "/-/readyz") == (200, "ready\n")


@pytest.mark.parametrize("server", ["granian", "waitress"])
def test_others_answer_nobody_after_sigterm(tmp_path: Path, server: str) -> None:
    own = free_port()
    options = {
        "granian": ("--interface=wsgi", "--host=127.0.0.1", f"--port={own}"),
        "waitress": ("--host=127.0.0.1", f"--port={own}"),
    }
    command = (server, *options[server], "tests.ops.site:wsgi")
    environ = {"APSPERF_HEALTH__ENABLED": "true"}
    with running(tmp_path, "-m", *command, environ=environ) as (process, log):
        wait_for_port(own, process, log)
        with closing(HTTPConnection("127.0.0.1", own, timeout=20)) as kept:
            assert again(kept, "/-/readyz") == (200, "ready\n")
            process.send_signal(signal.SIGTERM)
            with pytest.raises((OSError, HTTPException)):
                until_it_ends(kept)
        process.wait(20)
        with pytest.raises(OSError, match="refused"):
            got(own, "/-/readyz")


def until_it_ends(kept: HTTPConnection) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        again(kept, "/-/readyz")


def again(kept: HTTPConnection, path: str) -> tuple[int, str]:
    """As `got`, on a connection that is kept."""
    kept.request("GET", path)
    response = kept.getresponse()
    return response.status, response.read().decode()


def test_a_host_is_scraped_whole_while_its_workers_are_recycled(tmp_path: Path) -> None:
    settings = {
        "APSPERF_PROMETHEUS__ENABLED": "true",
        "APSPERF_PROMETHEUS__DIRECTORY": str(tmp_path / "numbers"),
    }
    command = (*GUNICORN[:-1], "--workers=3", "--max-requests=20", GUNICORN[-1])
    with served(tmp_path, *command, **settings) as (port, _):
        for _ in range(120):
            assert got(port, "/one")[0] == 200
        deadline = time.monotonic() + 20
        counted = 0.0
        while counted != 120 and time.monotonic() < deadline:
            status, text = got(port, "/-/metrics")
            assert status == 200
            counted = sum(values(text, COUNT).values())
            time.sleep(0.2)  # the others leave their numbers once a second
        assert counted == 120


@pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus comes with its own package")
def test_prometheus_answers_by_route(tmp_path: Path) -> None:
    assert PROMETHEUS is not None
    with served(tmp_path, *UVICORN, APSPERF_PROMETHEUS__ENABLED="true") as (port, _):
        own = free_port()
        config = tmp_path / "prometheus.yml"
        job = {
            "job_name": "site",
            "scrape_interval": "1s",
            "metrics_path": "/-/metrics",
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        }
        config.write_text(json.dumps({"scrape_configs": [job]}))
        server = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{own}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for n in range(30):
                got(port, "/one" if n % 3 else "/two")
            query = quote(f"sum by (http_route) ({COUNT})")
            url = f"http://127.0.0.1:{own}/api/v1/query?query={query}"
            wanted = {"/one": "20", "/two": "10"}
            deadline = time.monotonic() + 30
            told: dict[str, str] = {}
            while told != wanted and time.monotonic() < deadline:
                time.sleep(0.5)
                try:
                    with urlopen(url, timeout=5) as response:
                        result = json.load(response)["data"]["result"]
                except OSError:
                    continue
                told = {each["metric"]["http_route"]: each["value"][1] for each in result}
            assert told == wanted
        finally:
            server.terminate()
            server.wait(20)
