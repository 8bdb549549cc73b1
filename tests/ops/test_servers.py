"""Health, readiness and scrapes on real servers, with workers that come and go."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.apps.servers import free_port, port_of, running
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
