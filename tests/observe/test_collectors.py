"""Real collectors: over gRPC and HTTP, dead, hung and slow, and workers that end."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from threading import Event
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from apsperf_mw import Suite
from tests.apps.servers import ROOT, port_of
from tests.observe.support import Sink, make_client, plain, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Collector:
    """Takes OTLP over gRPC."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}
        self.resources: list[dict[str, str]] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        serve_traces: Any = trace_grpc.add_TraceServiceServicer_to_server
        serve_traces(self._traces(), self._server)
        serve_metrics: Any = metrics_grpc.add_MetricsServiceServicer_to_server
        serve_metrics(self._meters(), self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _traces(self) -> Any:
        collector = self

        class Traces(trace_grpc.TraceServiceServicer):
            def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
                for resource in request.resource_spans:
                    told = {a.key: a.value.string_value for a in resource.resource.attributes}
                    collector.resources.append(told)
                    for scope in resource.scope_spans:
                        collector.spans.extend(scope.spans)
                return ExportTraceServiceResponse()

        return Traces()

    def _meters(self) -> Any:
        collector = self

        class Meters(metrics_grpc.MetricsServiceServicer):
            def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
                for resource in request.resource_metrics:
                    for scope in resource.scope_metrics:
                        collector.metrics.update({each.name: each for each in scope.metrics})
                return ExportMetricsServiceResponse()

        return Meters()

    def close(self) -> None:
        self._server.stop(0).wait()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def test_spans_and_metrics_over_grpc(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    suite = Suite(tracing={"sample_ratio": 1.0})
    client = make_client(shell, plain, suite)
    for n in range(600):
        client.ask(f"/items/{n}")
    assert suite.flush(20)
    suite.close()
    assert len(collector.spans) == 600
    paths = [
        each.value.string_value
        for span in collector.spans
        for each in span.attributes
        if each.key == "url.path"
    ]
    assert paths == [f"/items/{n}" for n in range(600)]
    (point,) = collector.metrics["http.server.request.duration"].histogram.data_points
    assert point.count == 600
    assert point.exemplars[0].trace_id
    assert {each["service.name"] for each in collector.resources} == {"shop"}
    assert all(each["service.instance.id"] for each in collector.resources)


def test_compressed_over_http(sink: Sink, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    suite = Suite(tracing={"sample_ratio": 1.0})
    make_client(shell, plain, suite).ask("/items/5")
    assert suite.flush(20)
    suite.close()
    sink.bodies = [(path, gzip.decompress(body)) for path, body in sink.bodies]
    (span,) = sink.spans()
    assert span.name == "GET /items/{id}"


def refused() -> str:
    """An address where nobody listens."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("state", ["dead", "hung"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_program_ends_in_time_whatever_its_collector_does(
    sink: Sink, state: str, protocol: str
) -> None:
    sink.hangs = state == "hung"
    done = run(
        """
import time
suite = Suite(tracing={"sample_ratio": 1.0})
wrapped = suite.asgi(app)
ask(wrapped, 5000)
began = time.monotonic()
suite.close()
took = time.monotonic() - began
assert took < 3.5, took
assert len(suite.exporter.ledger.pending) < 10_000
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.url if state == "hung" else refused(),
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
    )
    assert done.returncode == 0, done.stderr


def asked(port: int, stop: Event, enough: Event, share: int) -> int:
    """How many whole responses one client gets until it is told to stop, or is refused.

    It says so when it has got its share.
    """
    whole = 0
    while not stop.is_set():
        try:
            with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                connection.request("GET", "/")
                whole += connection.getresponse().read() == b"page"
        except (OSError, HTTPException):
            stop.wait(0.005)
        if whole == share:
            enough.set()
    return whole


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_every_finished_request_is_counted_when_workers_are_ended(
    sink: Sink, tmp_path: Path, kind: str
) -> None:
    log = tmp_path / "server.log"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environ |= {
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        "APSPERF_EXPORTER__FLUSH_TIMEOUT_S": "20",  # a busy machine is not what is tested
    }
    command = [
        *(sys.executable, "-m", "gunicorn", "--preload", "--workers=4", "--bind=127.0.0.1:0"),
        *(f"--worker-class={kind}", "--max-requests=150", "tests.ops.exporting:wsgi"),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT
        )
    stop = Event()
    try:
        port = port_of(process, log)
        with ThreadPoolExecutor(6) as threads:
            enough = [Event() for _ in range(6)]
            clients = [threads.submit(asked, port, stop, each, 120) for each in enough]
            assert all(each.wait(60) for each in enough)  # more than 4 times 150 in all
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            stop.set()
            whole = sum(each.result() for each in clients)
        assert process.wait(30) == 0
    finally:
        stop.set()
        process.kill()
        process.wait()
    counted = counted_by_instance(sink)
    assert len(counted) > 4  # some have been recycled
    # What was finished and not received, as the signal came, may be counted besides.
    assert whole <= sum(counted.values()) <= whole + 12


def counted_by_instance(sink: Sink) -> dict[str, int]:
    """The latest count of requests of each worker."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    counted: dict[str, int] = {}
    for path, body in sink.bodies:
        if path != "/v1/metrics":
            continue
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            told = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == "http.server.request.duration":
                        count = sum(point.count for point in metric.histogram.data_points)
                        counted[told["service.instance.id"]] = count
    return counted
