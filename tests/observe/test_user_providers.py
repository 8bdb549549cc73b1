"""The program's own providers: everything goes through them, and they decide."""

from __future__ import annotations

import gc
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any
from weakref import ref

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NoOpTracerProvider

from apsperf_mw import Suite
from apsperf_mw.observe.measures import DURATION_BOUNDS_S
from apsperf_mw.testing.messages import Request, Response
from tests.observe.support import PARENT, PATIENCE_S, TRACE, make_client, page, plain, traceparent

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from apsperf_mw.testing.harness import Client
    from tests.observe.conftest import Program

    Wrap = Callable[..., Client]

AUTO = {"kind": "auto"}
TRUSTING = {"sample_ratio": 0.0, "trust_remote_parent": True}
DURATION = "http.server.request.duration"


def collected(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    return {
        metric.name: list(metric.data.data_points)
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_spans_are_made_by_the_users_tracer(wrap: Wrap, program: Program) -> None:
    client = wrap(plain, exporter=AUTO, tracing=TRUSTING)
    kept = program.trace()  # after the suite was made, before its first request
    client.ask("/items/5?token=s3cret", {"traceparent": traceparent(), "tracestate": "a=1"})
    (span,) = kept.get_finished_spans()
    assert span.name == "GET /items/{id}"
    assert span.kind.name == "SERVER"
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert span.context.trace_state.to_header() == "a=1"
    assert span.attributes is not None
    assert span.attributes["http.route"] == "/items/{id}"
    assert span.attributes["url.query"] == "token=REDACTED"
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "apsperf_mw"
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < span.end_time - span.start_time < PATIENCE_S * 1e9


def test_a_span_made_in_the_app_is_a_child(wrap: Wrap, program: Program) -> None:
    kept = program.trace()

    def app(_: Request) -> Response:
        with trace.get_tracer("app").start_as_current_span("work"):
            return page()

    client = wrap(app, exporter=AUTO)
    client.ask()
    child, server = kept.get_finished_spans()
    assert (child.name, server.name) == ("work", "GET /items/{id}")
    assert child.parent is not None
    assert child.parent == server.context


def test_baggage_reaches_the_app_and_what_it_sends(wrap: Wrap, program: Program) -> None:
    program.trace()
    seen: list[Any] = []
    carrier: dict[str, str] = {}

    def app(_: Request) -> Response:
        seen.append(baggage.get_baggage("user"))
        propagate.inject(carrier)
        return page()

    wrap(app, exporter=AUTO, tracing=TRUSTING).ask("/", {"baggage": "user=7"})
    assert seen == ["7"]
    assert carrier["baggage"] == "user=7"
    assert "traceparent" in carrier
    assert baggage.get_baggage("user") is None


@pytest.mark.parametrize(
    ("sampler", "flags", "spans"),
    [
        (None, None, 1),
        (None, "01", 1),
        (None, "00", 0),
        (ALWAYS_OFF, "01", 0),
        (ParentBased(ALWAYS_OFF), "01", 1),
        (TraceIdRatioBased(1.0), "00", 1),
    ],
)
def test_the_users_sampler_decides(
    wrap: Wrap, program: Program, sampler: Any, flags: str | None, spans: int
) -> None:
    kept = program.trace(sampler)
    client = wrap(plain, exporter=AUTO, tracing=TRUSTING)
    client.ask("/", {"traceparent": traceparent(flags)} if flags else {})
    assert len(kept.get_finished_spans()) == spans


def test_a_span_of_the_users_tracer_links_to_who_is_not_trusted(
    wrap: Wrap, program: Program
) -> None:
    kept = program.trace()
    client = wrap(plain, exporter=AUTO)
    client.ask("/", {"traceparent": traceparent("00"), "baggage": "user=7"})
    (span,) = kept.get_finished_spans()
    assert span.parent is None
    (link,) = span.links
    assert f"{link.context.trace_id:032x}" == TRACE


@pytest.mark.parametrize("error", [KeyError("s3cret"), None])
def test_a_span_of_the_users_tracer_that_fails(
    wrap: Wrap, program: Program, error: Exception | None
) -> None:
    kept = program.trace()
    client = wrap(lambda _: page(error=error, status=500), exporter=AUTO)
    try:
        client.ask()
    except KeyError as raised:
        assert raised is error
    (span,) = kept.get_finished_spans()
    assert span.status.status_code.name == "ERROR"
    assert (span.attributes or {})["error.type"] == ("KeyError" if error else "500")
    assert "s3cret" not in span.to_json()


def test_durations_are_recorded_when_a_reader_collects(wrap: Wrap, program: Program) -> None:
    readers = program.measure(2)
    client = wrap(plain, exporter=AUTO)
    for _ in range(5):
        client.ask()
    for reader in readers:
        got = collected(reader)
        (point,) = got[DURATION]
        assert point.count == 5
        assert tuple(point.explicit_bounds) == DURATION_BOUNDS_S
        assert point.attributes["http.route"] == "/items/{id}"
        assert [each.value for each in got["apsperf.cache.requests"]] == [5]
        assert [each.value for each in got["apsperf.exporter.dropped"]] == [0]
    assert client.suite.exporter.spans is None


def test_readers_that_collect_at_once_lose_nothing(
    make_suite: Callable[..., Suite], program: Program
) -> None:
    readers = program.measure(3)
    suite = make_suite(exporter=AUTO)
    client = make_client("wsgi", plain, suite)
    client.ask()
    together = Barrier(5)

    def collect(reader: InMemoryMetricReader) -> None:
        together.wait(PATIENCE_S)
        for _ in range(20):
            collected(reader)

    def ask() -> None:
        together.wait(PATIENCE_S)
        for _ in range(200):
            client.ask()

    threads = [Thread(target=collect, args=(reader,)) for reader in readers]
    threads += [Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert suite.flush(PATIENCE_S)
    for reader in readers:
        got = collected(reader)
        assert sum(point.count for point in got[DURATION]) == 401
        assert sum(point.value for point in got["apsperf.cache.requests"]) == 401


def test_the_cap_of_series_holds_here_too(wrap: Wrap, program: Program) -> None:
    (reader,) = program.measure()
    client = wrap(
        lambda request: page(status=int(request.target[1:])),
        exporter={"kind": "auto", "max_series": 3},
    )
    for status in range(200, 210):
        client.ask(f"/{status}")
    told = collected(reader)[DURATION]
    assert len(told) == 3
    assert sum(point.count for point in told) == 10
    assert {"otel.metric.overflow": True} in [dict(point.attributes) for point in told]


def test_suites_that_share_a_provider_add_up(
    make_suite: Callable[..., Suite], program: Program
) -> None:
    (reader,) = program.measure()
    clients = [make_client("wsgi", plain, make_suite(exporter=AUTO)) for _ in range(3)]
    for client in clients:
        client.ask()
    got = collected(reader)
    assert [point.count for point in got[DURATION]] == [3]
    assert [point.value for point in got["apsperf.cache.requests"]] == [3]
    assert len(got["apsperf.exporter.dropped"]) == 1
    for client in clients:
        assert client.suite.flush(PATIENCE_S)
    rss = collected(reader)["process.memory.usage"]
    assert len(rss) == 1
    memory = clients[0].suite.memory
    assert memory is not None
    latest = memory.samples.latest
    assert latest is not None
    assert rss[0].value < 2 * latest.rss_bytes


def test_a_provider_keeps_no_suite_alive(program: Program) -> None:
    (reader,) = program.measure()
    suite = Suite(exporter=AUTO)
    make_client("wsgi", plain, suite).ask()
    assert suite.flush(PATIENCE_S)
    suite.close()
    gone = ref(suite.exporter)
    del suite
    gc.collect()
    assert gone() is None
    assert [point.count for point in collected(reader)[DURATION]] == [1]


def test_flush_goes_into_the_users_readers(
    wrap: Wrap, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reader,) = program.measure()
    client = wrap(plain, exporter=AUTO)
    client.ask()
    assert client.suite.flush(PATIENCE_S)
    data = reader._metrics_data
    assert data is not None
    assert DURATION in data.to_json()


def test_a_provider_whose_flush_fails_is_told(wrap: Wrap, program: Program) -> None:
    (reader,) = program.measure()

    def broken(*_: Any, **__: Any) -> Any:
        raise SystemError

    client = wrap(plain, exporter=AUTO)
    client.ask()
    reader._set_collect_callback(broken)
    assert not client.suite.flush(PATIENCE_S)
    assert client.suite.faults.counts["the flush of providers"] == 1


def test_providers_that_do_nothing_are_a_decision(
    wrap: Wrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "console")
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", NoOpTracerProvider())
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", NoOpMeterProvider())
    client = wrap(plain, exporter=AUTO)
    client.ask()
    assert client.suite.exporter.spans is None
    assert client.suite.exporter.tracer is None


def test_a_named_kind_leaves_the_users_providers_alone(wrap: Wrap, program: Program) -> None:
    kept = program.trace()
    client = wrap(plain)
    client.ask()
    assert client.suite.flush(PATIENCE_S)
    assert kept.get_finished_spans() == ()
    assert client.suite.exporter.memory is not None
    assert len(client.suite.exporter.memory.spans) == 1


def test_exemplars_are_of_the_requests_spans(
    wrap: Wrap, program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    kept, reader = program.trace(), program.measure()[0]
    client = wrap(plain, exporter={**AUTO, "histograms": "exponential"})
    client.ask()
    (span,) = kept.get_finished_spans()
    (point,) = collected(reader)[DURATION]
    (exemplar,) = point.exemplars
    assert span.context is not None
    assert (exemplar.trace_id, exemplar.span_id) == (span.context.trace_id, span.context.span_id)
    assert "exporter.histograms: the views" in caplog.text
