"""What the tests of the observers share."""

from __future__ import annotations

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient
from apsperf_mw.testing.messages import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.sdk.trace import ReadableSpan

    App = Callable[[Request], Response]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0
MINUTE = (("Cache-Control", "max-age=60"),)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def traceparent(flags: str = "01", trace: str = TRACE) -> str:
    return f"00-{trace}-{PARENT}-{flags}"


def page(
    *headers: tuple[str, str], body: Iterable[Any] = (), status: int = 200, **more: Any
) -> Response:
    return Response(status, headers, list(body) or [b"page"], plan=Plan("/items/{id}"), **more)


def plain(_: Request) -> Response:
    return page()


def make_client(shell: str, app: App, suite: Suite) -> Client:
    return WSGIClient(suite, app) if shell == "wsgi" else ASGIClient(suite, app)


def exported(client: Client) -> list[ReadableSpan]:
    """All spans that the suite has made."""
    assert client.suite.flush(PATIENCE_S)
    memory = client.suite.exporter.memory
    assert memory is not None
    return list(memory.spans)


def points(client: Client, name: str) -> list[Any]:
    """The points of a metric as it is now."""
    assert client.suite.flush(PATIENCE_S)
    memory = client.suite.exporter.memory
    assert memory is not None
    return memory.points(name)


def metric(suite: Suite, name: str) -> Any:
    """A metric as it was exported last."""
    memory = suite.exporter.memory
    assert memory is not None
    assert memory.metrics is not None
    (found,) = [
        metric
        for resource in memory.metrics.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
    ]
    return found


def wait_until(true: Callable[[], bool]) -> bool:
    """Whether something becomes true before patience ends."""
    until = monotonic() + PATIENCE_S
    while monotonic() < until:
        if true():
            return True
        sleep(0.005)
    return False


class Sink:
    """A collector: takes OTLP over HTTP on loopback, and decodes it.

    `answer` is the status that it gives; while `hangs` is set it gives none.
    """

    def __init__(self) -> None:
        self.answer = 200
        self.hangs = False
        self.bodies: list[tuple[str, bytes]] = []
        self.came = Event()
        self.let_go = Event()
        sink = self

        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.came.set()
                if sink.hangs:
                    sink.let_go.wait(PATIENCE_S)
                else:
                    sink.bodies.append((self.path, body))
                self.send_response(sink.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def batches(self) -> list[list[Any]]:
        """The spans that came, by export."""
        return [
            [
                span
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]
            for path, body in self.bodies
            if path == "/v1/traces"
        ]

    def spans(self) -> list[Any]:
        return [span for batch in self.batches() for span in batch]

    def metrics(self) -> dict[str, Any]:
        """The metrics that came, the latest of each name."""
        return {metric.name: metric for metric in self._metrics()}

    def all_metrics(self, name: str) -> list[Any]:
        """The metrics of this name, from all exports."""
        return [metric for metric in self._metrics() if metric.name == name]

    def _metrics(self) -> list[Any]:
        return [
            metric
            for path, body in self.bodies
            if path == "/v1/metrics"
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def resources(self) -> list[dict[str, str]]:
        """What is said of those that sent spans."""
        return [
            {each.key: each.value.string_value for each in resource.resource.attributes}
            for path, body in self.bodies
            if path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        ]


SERVED = """
import asyncio
from apsperf_mw import Suite

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})

def scope():
    return {"type": "http", "method": "GET", "scheme": "http", "path": "/", "raw_path": b"/",
            "query_string": b"", "headers": [(b"host", b"shop.test")], "http_version": "1.1"}

async def nothing(message): pass

def ask(wrapped, count=1):
    async def all():
        for _ in range(count):
            await wrapped(scope(), None, nothing)
    asyncio.run(all())
"""


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program that knows `SERVED`, with warnings as errors and no `OTEL_*` but these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", SERVED + code],
        env={**clean, "PYTHONPATH": str(ROOT), **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
