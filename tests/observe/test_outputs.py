"""Where signals go: the user's providers, an exporter that the environment names, or nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP = """
from wsgiref.util import setup_testing_defaults
from apsperf_mw import Suite

def app(environ, start_response):
    start_response("200 OK", [("Cache-Control", "max-age=60")])
    return [b"page"]

def ask(wrapped, times=3):
    for _ in range(times):
        environ = {}
        setup_testing_defaults(environ)
        assert b"".join(wrapped(environ, lambda *a: None)) == b"page"
"""


class Sink(ThreadingHTTPServer):
    """A collector on the loopback that decodes what it gets with the official protobufs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Collect)
        self.spans: list[str] = []
        self.metrics: set[str] = set()
        self.hangs = threading.Event()
        self.hangs.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Collect(BaseHTTPRequestHandler):
    """Takes one export."""

    def do_POST(self) -> None:
        """Decode, keep, answer."""
        sink = self.server
        assert isinstance(sink, Sink)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sink.hangs.wait(30)
        if self.path.endswith("traces"):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    sink.spans += [span.name for span in scope.spans]
        else:
            for each in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for within in each.scope_metrics:
                    sink.metrics |= {metric.name for metric in within.metrics}
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.hangs.set()
    server.shutdown()
    thread.join()
    server.server_close()


def run(code: str, tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "program.py").write_text(APP + textwrap.dedent(code))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "APSPERF_"))}
    return subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=clean | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_users_providers_get_everything(tmp_path: Path) -> None:
    ran = run(
        """
        suite = Suite()
        wrapped = suite.wsgi(app)   # before the providers: they are looked up at the first request
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        readers = [InMemoryMetricReader(), InMemoryMetricReader()]
        metrics.set_meter_provider(MeterProvider(readers))
        kept = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(kept))
        trace.set_tracer_provider(provider)
        ask(wrapped, 7)
        for reader in readers:
            found = {}
            for resource in reader.get_metrics_data().resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        found[metric.name] = metric.data.data_points
            assert sum(p.count for p in found["http.server.request.duration"]) == 7, found
            results = {p.attributes["apsperf.cache.result"]: p.value
                       for p in found["apsperf.cache.requests"]}
            assert results == {"miss": 1, "hit": 6}, results
        assert len(kept.get_finished_spans()) == 7
        assert not suite.faults.counts, suite.faults.counts
        """,
        tmp_path,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_program_that_exits_has_exported(sink: Sink, tmp_path: Path) -> None:
    ran = run(
        "ask(Suite(tracing={'sample_ratio': 1.0}).wsgi(app))",
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
        APSPERF_EXPORTER__FLUSH_TIMEOUT_S="20",
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert sink.spans == ["GET"] * 3
    assert {"http.server.request.duration", "apsperf.cache.requests"} <= sink.metrics


def test_a_hanging_collector_holds_neither_request_nor_exit(sink: Sink, tmp_path: Path) -> None:
    sink.hangs.clear()
    ran = run(
        """
        import time
        suite = Suite(tracing={"sample_ratio": 1.0})
        wrapped = suite.wsgi(app)
        ask(wrapped, 50)
        began = time.monotonic()
        suite.close()
        assert time.monotonic() - began < 4   # 2 s is the time-out; the rest is the machine's
        ask(wrapped, 50)
        """,
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
    )
    assert ran.returncode == 0, ran.stderr


def test_a_dead_collector_is_not_felt(tmp_path: Path) -> None:
    ran = run(
        "ask(Suite(tracing={'sample_ratio': 1.0}).wsgi(app))",
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "environ",
    [{}, {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}],
)
def test_with_nothing_set_up_nothing_is_traced(tmp_path: Path, environ: dict[str, str]) -> None:
    ran = run(
        """
        suite = Suite(tracing={"sample_ratio": 1.0})
        class Spy:
            def end(self, x): assert x.span is None, x.span
        from apsperf_mw.hooks import Hooks
        suite.hooks = Hooks([*suite.observers, Spy()], suite.faults)
        ask(suite.wsgi(app))
        assert not suite.faults.counts
        """,
        tmp_path,
        **environ,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_console_gets_both_signals(tmp_path: Path) -> None:
    ran = run(
        """
        suite = Suite(exporter={"kind": "console"}, tracing={"sample_ratio": 1.0})
        ask(suite.wsgi(app))
        suite.close()
        """,
        tmp_path,
    )
    assert ran.returncode == 0
    assert "http.server.request.duration" in ran.stdout
    assert "SpanKind.SERVER" in ran.stdout


def test_an_unknown_exporter_is_named_once_and_the_app_answers(tmp_path: Path) -> None:
    ran = run("ask(Suite().wsgi(app))", tmp_path, OTEL_TRACES_EXPORTER="carrier-pigeon")
    assert ran.returncode == 0
    assert ran.stderr.count("carrier-pigeon") >= 1
    assert "otlp" in ran.stderr


def test_a_forked_child_exports_only_its_own(sink: Sink, tmp_path: Path) -> None:
    ran = run(
        """
        import os, warnings
        # Python 3.12 and newer warn of any fork beside a thread; ours waits before it.
        warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
        suite = Suite(tracing={"sample_ratio": 1.0}, exporter={"interval_s": 3600})
        wrapped = suite.wsgi(app)
        ask(wrapped, 2)
        suite.flush(10)
        child = os.fork()
        if child == 0:
            ask(wrapped, 3)
            suite.close()
            os._exit(0)
        os.waitpid(child, 0)
        suite.close()
        """,
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert sink.spans == ["GET"] * 5
