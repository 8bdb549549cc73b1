"""Forms in which the same is told: exponential histograms, old names, other propagators."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import propagate
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat

from apsperf_mw import Suite
from apsperf_mw.errors import SettingError
from apsperf_mw.observe.environment import sampler_ratio, whole_number
from apsperf_mw.observe.powers import MOST_BUCKETS, Powers
from tests.observe.support import make_client, metric, plain, points, traceparent

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.testing.harness import Client

    Wrap = Callable[..., Client]

DURATION = "http.server.request.duration"


@given(st.lists(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), min_size=1, max_size=5))
def test_each_value_is_between_the_bounds_of_its_bucket(batches: list[list[float]]) -> None:
    powers = Powers()
    for batch in batches:
        powers.add(list(batch))
    values = [value for batch in batches for value in batch]
    first, counts = powers.dense()
    assert len(counts) <= MOST_BUCKETS
    assert sum(counts) + powers.zeros == powers.count == len(values)
    base = 2 ** (2.0**-powers.scale)
    for at, count in enumerate(counts):
        low, high = base ** (first + at), base ** (first + at + 1)
        inside = sum(low * 1.000001 < value < high * 0.999999 for value in values)
        around = sum(low * 0.999999 <= value <= high * 1.000001 for value in values)
        assert inside <= count <= around


def test_exponential_histograms_where_the_settings_ask_for_them(wrap: Wrap) -> None:
    client = wrap(plain, exporter={"kind": "memory", "histograms": "exponential"})
    for _ in range(3):
        client.ask()
    (point,) = points(client, DURATION)
    assert point.count == sum(point.positive.bucket_counts) == 3
    assert point.sum > 0
    assert len(point.exemplars) >= 1


def test_exemplars_link_buckets_to_traces(wrap: Wrap) -> None:
    client = wrap(plain)
    client.ask()
    (point,) = points(client, DURATION)
    memory = client.suite.exporter.memory
    assert memory is not None
    (span,) = memory.spans
    assert span.context is not None
    (shown,) = point.exemplars
    assert (shown.trace_id, shown.span_id) == (span.context.trace_id, span.context.span_id)
    assert shown.value == pytest.approx(point.sum)
    assert abs(shown.time_unix_nano - (span.end_time or 0)) < 50_000_000


@pytest.mark.parametrize(("said", "count"), [("always_off", 0), ("trace_based", 1), ("", 1)])
def test_the_filter_of_exemplars(
    monkeypatch: pytest.MonkeyPatch, said: str, count: int, wrap: Wrap
) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXEMPLAR_FILTER", said)
    client = wrap(plain)
    client.ask()
    (point,) = points(client, DURATION)
    assert len(point.exemplars) == count


def test_a_request_that_is_not_sampled_has_no_exemplar(wrap: Wrap) -> None:
    client = wrap(plain, tracing={"sample_ratio": 0.0})
    client.ask()
    (point,) = points(client, DURATION)
    assert not point.exemplars


def test_old_names_beside_the_new_ones(monkeypatch: pytest.MonkeyPatch, wrap: Wrap) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "database/dup, http/dup")
    client = wrap(plain)
    client.ask("/items/5?a=1", {"User-Agent": "curl/8"})
    (new,) = points(client, DURATION)
    (old,) = points(client, "http.server.duration")
    assert metric(client.suite, "http.server.duration").unit == "ms"
    assert old.sum == pytest.approx(new.sum * 1000)
    assert old.bucket_counts == new.bucket_counts
    assert old.attributes["http.status_code"] == 200
    assert old.attributes["http.method"] == "GET"
    assert "http.request.method" not in old.attributes
    memory = client.suite.exporter.memory
    assert memory is not None
    (span,) = memory.spans
    told: Any = span.attributes
    assert told["http.method"] == told["http.request.method"] == "GET"
    assert told["http.target"] == "/items/5?a=REDACTED"
    assert told["http.user_agent"] == "curl/8"


def test_by_default_there_are_no_old_names(wrap: Wrap) -> None:
    client = wrap(plain)
    client.ask()
    assert points(client, DURATION)
    assert not points(client, "http.server.duration")


@pytest.mark.parametrize(
    ("sampler", "argument", "ratio"),
    [
        ("", "", None),
        ("always_on", "", 1.0),
        ("always_off", "", 0.0),
        ("traceidratio", "0.25", 0.25),
        ("parentbased_traceidratio", "0.5", 0.5),
        ("parentbased_always_on", "", 1.0),
        ("traceidratio", "", 1.0),
    ],
)
def test_the_variables_of_the_sampler(sampler: str, argument: str, ratio: float | None) -> None:
    environ = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert sampler_ratio(environ) == ratio


@pytest.mark.parametrize(
    ("sampler", "argument"), [("jaeger_remote", ""), ("traceidratio", "2"), ("traceidratio", "x")]
)
def test_a_sampler_that_is_not_known_is_refused(sampler: str, argument: str) -> None:
    environ = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    with pytest.raises(SettingError, match="OTEL_TRACES_SAMPLER"):
        sampler_ratio(environ)


@pytest.mark.parametrize("bad", ["0", "-1", "1.5", "x", "9" * 12])
def test_numbers_that_are_none(bad: str) -> None:
    assert whole_number({}, "OTEL_BSP_MAX_QUEUE_SIZE", 7) == 7
    assert whole_number({"A": "12"}, "A", 7) == 12
    with pytest.raises(SettingError, match="A: .* given"):
        whole_number({"A": bad}, "A", 7)


def test_the_variables_of_the_batch_processor(monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "3")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    suite = Suite(exporter={"kind": "memory"})
    client = make_client(shell, plain, suite)
    client.ask()
    assert suite.exporter.spans is not None
    assert suite.exporter.spans._most == 3
    assert suite.flush(20)
    assert suite.exporter.memory is not None
    assert len(suite.exporter.memory.spans) == 1
    suite.close()


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        (B3SingleFormat, {"b3": f"{TRACE}-{PARENT}-1"}),
        (B3MultiFormat, {"X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT, "X-B3-Sampled": "1"}),
    ],
)
def test_b3_of_a_trusted_caller(wrap: Wrap, kind: Any, headers: dict[str, str]) -> None:
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(kind())
    try:
        client = wrap(plain, tracing={"sample_ratio": 0.0, "trust_remote_parent": True})
        client.ask("/", headers)
    finally:
        propagate.set_global_textmap(before)
    assert client.suite.flush(20)
    memory = client.suite.exporter.memory
    assert memory is not None
    (span,) = memory.spans
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT


def test_baggage_of_a_trusted_caller_goes_on(wrap: Wrap) -> None:
    from opentelemetry import baggage

    seen: list[Any] = []

    def app(request: Any) -> Any:
        seen.append(baggage.get_baggage("user"))
        return plain(request)

    headers = {"traceparent": traceparent(), "baggage": "user=7"}
    trusting = {"sample_ratio": 1.0, "trust_remote_parent": True}
    wrap(app, tracing=trusting).ask("/", headers)
    wrap(app).ask("/", headers)
    assert seen == ["7", None]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_each_forked_worker_is_an_instance_of_its_own(shell: str) -> None:
    suite = Suite(exporter={"kind": "memory"}, tracing={"sample_ratio": 1.0})
    client = make_client(shell, plain, suite)

    def instance() -> str:
        client.ask()
        assert suite.flush(20)
        memory = suite.exporter.memory
        assert memory is not None
        return str(memory.spans[-1].resource.attributes["service.instance.id"])

    own = instance()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, instance().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100).decode() != own
    os.close(reading)
    os.close(writing)
    suite.close()
