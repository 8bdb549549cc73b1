"""The exporter's life: what goes out, what is counted when it cannot, and how it ends."""

from __future__ import annotations

import gc
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any
from weakref import ref

import pytest

from apsperf_mw import Suite
from tests.observe.raw import ask
from tests.observe.support import PATIENCE_S, make_client, plain, run, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.testing.harness import Client
    from tests.observe.support import Sink

    Wrap = Callable[..., Client]

DURATION = "http.server.request.duration"


@pytest.fixture
def otlp(sink: Sink, monkeypatch: pytest.MonkeyPatch, wrap: Wrap) -> Callable[..., Client]:
    """Puts a suite that exports to the collector round an app."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)

    def otlp(app: Any = plain, **exporter: Any) -> Client:
        return wrap(app, exporter={"kind": "otlp", "interval_s": 3600.0, **exporter})

    return otlp


def test_a_collector_gets_both_signals(
    otlp: Wrap, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    client = otlp()
    client.ask("/items/5")
    assert client.suite.flush(PATIENCE_S)
    (span,) = sink.spans()
    assert span.name == "GET /items/{id}"
    assert span.kind == 2
    (resource,) = sink.resources()
    assert resource["service.name"] == "shop"
    assert resource["deployment.environment.name"] == "test"
    metrics = sink.metrics()
    (point,) = metrics[DURATION].histogram.data_points
    assert point.count == 1
    assert metrics[DURATION].unit == "s"
    (point,) = metrics["process.memory.usage"].sum.data_points
    assert point.as_int > 1_000_000
    modes = {
        point.attributes[0].value.string_value
        for point in metrics["process.cpu.time"].sum.data_points
    }
    assert modes == {"user", "system"}
    assert metrics["process.cpu.time"].sum.is_monotonic
    assert metrics["process.thread.count"].sum.data_points[0].as_int >= 2
    assert metrics["process.memory.virtual"].sum.data_points[0].as_int > point.as_int


def test_metrics_are_cumulative(otlp: Wrap, sink: Sink) -> None:
    client = otlp()
    for count in (1, 2):
        client.ask()
        assert client.suite.flush(PATIENCE_S)
        (point,) = sink.metrics()[DURATION].histogram.data_points
        assert point.count == count


def test_spans_go_out_in_batches(otlp: Wrap, sink: Sink) -> None:
    client = otlp(max_spans=4000)
    for _ in range(1100):
        client.ask()
    assert client.suite.flush(PATIENCE_S)
    sizes = [len(batch) for batch in sink.batches()]
    assert sum(sizes) == 1100
    assert max(sizes) <= 512


def test_an_export_that_is_refused_is_told_and_counted(otlp: Wrap, sink: Sink) -> None:
    sink.answer = 400
    client = otlp()
    client.ask()
    assert not client.suite.flush(PATIENCE_S)
    sink.answer = 200
    client.ask()
    assert client.suite.flush(PATIENCE_S)
    metrics = sink.metrics()
    failures = {
        point.attributes[0].value.string_value: point.as_int
        for point in metrics["apsperf.exporter.failures"].sum.data_points
    }
    assert failures == {"traces": 1, "metrics": 1}
    (dropped,) = metrics["apsperf.exporter.dropped"].sum.data_points
    assert dropped.as_int == 1
    (point,) = metrics[DURATION].histogram.data_points
    assert point.count == 2  # metrics are cumulative: a refused export loses nothing


def test_a_hanging_collector_holds_nobody_up(otlp: Wrap, sink: Sink) -> None:
    sink.hangs = True
    client = otlp(max_spans=10, flush_timeout_s=0.05)
    client.ask()
    assert not client.suite.flush(0.05)
    assert sink.came.wait(PATIENCE_S)
    for _ in range(30):
        assert client.ask().status == 200
    assert len(client.suite.exporter.spans or ()) == 10
    assert client.suite.exporter._losses.spans == 20
    client.suite.close()
    assert client.ask().status == 200


def test_close_ends_the_thread_and_may_come_twice(
    wrap: Wrap, started: list[threading.Thread]
) -> None:
    client = wrap(plain)
    assert not started
    client.ask()
    (thread,) = started
    assert thread.daemon
    client.suite.close()
    client.suite.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert client.suite.flush(0.0)
    memory = client.suite.exporter.memory
    assert memory is not None
    assert len(memory.spans) == 1


def test_after_close_the_apps_go_on_bare(wrap: Wrap, started: list[threading.Thread]) -> None:
    client = wrap(plain)
    client.suite.close()
    for _ in range(3):
        assert client.ask().status == 200
    assert not started
    assert not client.suite.exporter.ledger.pending
    assert client.suite.faults.counts.total() == 0


@pytest.mark.parametrize("kind", ["memory", "none"])
def test_a_suite_that_is_collected_takes_its_thread_along(
    shell: str, kind: str, started: list[threading.Thread]
) -> None:
    client = make_client(shell, plain, Suite(exporter={"kind": kind}))
    client.ask()
    (thread,) = started
    gone = ref(client.suite.exporter)
    del client
    gc.collect()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert gone() is None


def test_a_hundred_suites_start_no_thread(started: list[threading.Thread]) -> None:
    suites = [Suite() for _ in range(100)]
    assert not started
    assert len(suites) == 100


def test_two_suites_count_apart(make_suite: Callable[..., Suite], shell: str) -> None:
    one, other = (make_client(shell, plain, make_suite()) for _ in range(2))
    one.ask()
    other.ask()
    other.ask()
    for client, count in ((one, 1), (other, 2)):
        assert client.suite.flush(PATIENCE_S)
        memory = client.suite.exporter.memory
        assert memory is not None
        assert len(memory.spans) == count
        (point,) = memory.points(DURATION)
        assert point.count == count


def test_a_driver_that_cannot_count_keeps_no_other_metric_back(wrap: Wrap) -> None:
    client = wrap(plain)

    def broken() -> Any:
        raise OSError

    client.suite.exporter.observe("apsperf.broken", "1", "Breaks.", "gauge", broken)
    client.ask()
    assert client.suite.flush(PATIENCE_S)
    memory = client.suite.exporter.memory
    assert memory is not None
    assert memory.points(DURATION)
    assert memory.points("apsperf.broken") == []
    assert client.suite.faults.counts["the metric apsperf.broken"] == 1


def test_a_sampler_that_raises_is_noted(wrap: Wrap) -> None:
    client = wrap(plain)

    def broken() -> None:
        raise OSError

    client.suite.exporter.every(3600, broken)
    client.ask()
    assert client.suite.flush(PATIENCE_S)
    assert client.suite.faults.counts == {"a sampler": 1}


def test_metrics_go_out_at_their_interval(wrap: Wrap) -> None:
    client = wrap(plain, exporter={"kind": "memory", "interval_s": 0.01})
    client.ask()
    memory = client.suite.exporter.memory
    assert memory is not None
    assert wait_until(lambda: bool(memory.points(DURATION)))


def test_cpu_use_is_told_once_two_samples_are_there(wrap: Wrap) -> None:
    client = wrap(plain, memory={"interval_s": 0.01})
    client.ask()
    memory = client.suite.exporter.memory
    assert memory is not None

    def told() -> bool:
        client.suite.flush(PATIENCE_S)
        return bool(memory.points("process.cpu.utilization"))

    assert wait_until(told)
    for point in memory.points("process.cpu.utilization"):
        assert point.attributes["cpu.mode"] in {"user", "system"}
        assert point.value >= 0


@pytest.mark.parametrize("hook", ["start", "enter", "leave", "head", "end"])
def test_an_observer_that_raises_never_reaches_the_app(
    make_suite: Callable[..., Suite], shell: str, hook: str
) -> None:
    def broken(*_: Any) -> None:
        raise OSError

    class Observer:
        def enter(self, _: Any) -> None:
            """Stand round the app."""

        def leave(self, _: Any, token: Any) -> None:
            """Go."""

    observer = Observer()
    setattr(observer, hook, broken)
    suite = make_suite()
    suite.hooks.__init__((*suite.observers, observer), suite.faults)  # type: ignore[misc]
    client = make_client(shell, plain, suite)
    reply = copy_context().run(client.ask)
    assert (reply.status, reply.body) == (200, b"page")
    assert suite.faults.counts.total() >= 1
    assert suite.flush(PATIENCE_S)
    assert suite.exporter.memory is not None
    assert len(suite.exporter.memory.spans) == 1


def test_the_end_of_a_lifespan_flushes(
    sink: Sink, make_suite: Callable[..., Suite], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    suite = make_suite(exporter={"kind": "auto", "interval_s": 3600.0, "flush_timeout_s": 20.0})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})

    wrapped = suite.asgi(app)
    ask(wrapped)
    assert ask(wrapped, type="lifespan") == [{"type": "lifespan.shutdown.complete"}]
    assert len(sink.spans()) == 1
    assert DURATION in sink.metrics()


def test_a_program_that_ends_at_once_has_exported(sink: Sink) -> None:
    ran = run(
        "ask(Suite(tracing={'sample_ratio': 1}).asgi(app), 3)",
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
        OTEL_SERVICE_NAME="shop",
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(sink.spans()) == 3
    assert sink.resources()[0]["service.name"] == "shop"
    (point,) = sink.metrics()[DURATION].histogram.data_points
    assert point.count == 3


def test_at_exit_the_users_providers_are_still_open() -> None:
    ran = run("""
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

suite = Suite()
wrapped = suite.asgi(app)
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
reader = PeriodicExportingMetricReader(ConsoleMetricExporter(), 3_600_000)
metrics.set_meter_provider(MeterProvider([reader]))
ask(wrapped)
""")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"kind": "SpanKind.SERVER"' in ran.stdout
    assert DURATION in ran.stdout


def test_with_nothing_set_up_opentelemetry_is_not_loaded() -> None:
    ran = run("""
import sys
suite = Suite()
ask(suite.asgi(app))
print(suite.flush(20), [name for name in sys.modules if name.startswith("opentelemetry")])
suite.close()
""")
    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", "True []\n")


def test_forked_children_trace_apart(sink: Sink) -> None:
    ran = run(
        """
import os, random
random.seed(1)
suite = Suite(tracing={"sample_ratio": 1}, exporter={"interval_s": 3600})
wrapped = suite.asgi(app)
ask(wrapped, 2)
children = []
for _ in range(2):
    if (child := os.fork()) == 0:
        random.seed(1)
        ask(wrapped, 3)
        ok = suite.flush(20)
        suite.close()
        os._exit(0 if ok else 1)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
ask(wrapped)
assert codes == [0, 0], codes
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    spans = sink.spans()
    assert len(spans) == 9
    assert len({span.trace_id for span in spans}) == 9
    # Cumulative: the last export of each process counts, and each has a start of its own.
    counts = {
        point.start_time_unix_nano: point.count
        for metric in sink.all_metrics(DURATION)
        for point in metric.histogram.data_points
    }
    assert sorted(counts.values()) == [3, 3, 3]


def test_few_spans_wait_for_more_unless_they_crowd_the_ring(
    wrap: Wrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    client = wrap(plain, exporter={"kind": "memory", "max_spans": 6, "interval_s": 3600.0})
    exporter = client.suite.exporter
    client.ask()
    assert client.suite.flush(PATIENCE_S)
    assert exporter._pulse.hold(PATIENCE_S)  # the test ticks in its thread's place
    exporter._outputs._spans_due = float("inf")
    ring = exporter.spans
    assert ring is not None
    left = []
    for _ in range(4):
        client.ask()
        exporter.tick()
        left.append(len(ring))
    assert left == [1, 2, 3, 0]
    exporter._outputs._batch = 100
    for _ in range(4):
        client.ask()
        exporter.tick()
        left.append(len(ring))
    assert left[4:] == [1, 2, 3, 0]
    client.ask()
    exporter._pulse.go_on()
    assert client.suite.flush(PATIENCE_S)
    assert exporter.memory is not None
    assert len(ring) == 0
