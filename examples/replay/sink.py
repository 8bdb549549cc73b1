"""A small OTLP/HTTP collector that counts what it is sent."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator


class Sink:
    """What has come in so far; `exports` counts the metric exports."""

    def __init__(self) -> None:
        self.spans = 0
        self.metric_points = 0
        self.exports = 0
        self.url = ""
        self._changed = Condition()

    def take(self, path: str, body: bytes) -> None:
        """Count one export; raises `DecodeError` if it is not OTLP."""
        with self._changed:
            if path == "/v1/traces":
                self.spans += count_spans(body)
            elif path == "/v1/metrics":
                self.metric_points += count_points(body)
                self.exports += 1
            self._changed.notify_all()

    def wait_for_exports(self, more: int, timeout_s: float) -> bool:
        """Wait for so many more metric exports; whether they came."""
        with self._changed:
            enough = self.exports + more
            return self._changed.wait_for(lambda: self.exports >= enough, timeout_s)


def count_spans(body: bytes) -> int:
    """The spans of an export request."""
    request = ExportTraceServiceRequest.FromString(body)
    return sum(len(scope.spans) for of in request.resource_spans for scope in of.scope_spans)


def count_points(body: bytes) -> int:
    """The data points of an export request."""
    request = ExportMetricsServiceRequest.FromString(body)
    return sum(
        len(getattr(metric, kind).data_points)
        for of in request.resource_metrics
        for scope in of.scope_metrics
        for metric in scope.metrics
        if (kind := metric.WhichOneof("data")) is not None
    )


@contextmanager
def listening() -> Iterator[Sink]:
    """A sink on a free loopback port, with a thread of its own."""
    sink = Sink()

    class Export(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            sink.take(self.path, body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")  # an empty message: all accepted
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Export) as server:
        server.daemon_threads = True
        sink.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, name="otlp-sink", daemon=True).start()
        try:
            yield sink
        finally:
            server.shutdown()
