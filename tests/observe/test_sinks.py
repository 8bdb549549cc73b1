"""What the standard variables choose."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from apsperf_mw.errors import SettingError
from apsperf_mw.observe.environment import (
    disabled,
    metric_interval_s,
    named_exporters,
    transport,
)
from apsperf_mw.observe.sinks import make_exporter
from tests.observe.support import PATIENCE_S, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.testing.harness import Client
    from tests.observe.support import Sink

    Wrap = Callable[..., Client]


@pytest.mark.parametrize(
    ("variables", "known", "unknown"),
    [
        ({}, [], []),
        ({"OTEL_TRACES_EXPORTER": ""}, [], []),
        ({"OTEL_TRACES_EXPORTER": "none"}, [], []),
        ({"OTEL_TRACES_EXPORTER": "console"}, ["console"], []),
        ({"OTEL_TRACES_EXPORTER": " OTLP , console ,"}, ["otlp", "console"], []),
        ({"OTEL_TRACES_EXPORTER": "console,console"}, ["console"], []),
        ({"OTEL_TRACES_EXPORTER": "zipkin,console"}, ["console"], ["zipkin"]),
        ({"OTEL_TRACES_EXPORTER": "otlp_proto_http"}, ["otlp http"], []),
        ({"OTEL_METRICS_EXPORTER": "console"}, [], []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, ["otlp"], []),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a"}, ["otlp"], []),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://a"}, [], []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "none"}, [], []),
    ],
)
def test_named_exporters(variables: dict[str, str], known: list[str], unknown: list[str]) -> None:
    assert named_exporters(variables, "TRACES") == (known, unknown)


@pytest.mark.parametrize(
    ("value", "off"),
    [("true", True), (" TRUE ", True), ("1", False), ("false", False), ("", False)],
)
def test_the_switch(value: str, off: bool) -> None:
    assert disabled({"OTEL_SDK_DISABLED": value}) is off


@pytest.mark.parametrize(
    ("value", "seconds"), [("", None), ("500", 0.5), ("60000", 60.0), (" 10 ", 0.01)]
)
def test_the_interval(value: str, seconds: float | None) -> None:
    assert metric_interval_s({"OTEL_METRIC_EXPORT_INTERVAL": value}) == seconds


@pytest.mark.parametrize("value", ["0", "-1", "1s", "nan", "inf", "1e99"])
def test_an_interval_that_is_none(value: str) -> None:
    with pytest.raises(SettingError, match=f"OTEL_METRIC_EXPORT_INTERVAL: '{value}' given; acc"):
        metric_interval_s({"OTEL_METRIC_EXPORT_INTERVAL": value})


def test_the_way_of_otlp() -> None:
    grpc = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert transport({}, "TRACES") == "http"
    assert transport(grpc, "TRACES") == "grpc"
    assert transport({**grpc, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, "TRACES") == (
        "http"
    )
    with pytest.raises(SettingError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL: 'smtp' given; accepted"):
        transport({"OTEL_EXPORTER_OTLP_PROTOCOL": "smtp"}, "METRICS")


def test_exporters_are_opentelemetrys_own() -> None:
    assert isinstance(make_exporter("METRICS", "console", None), ConsoleMetricExporter)
    assert isinstance(make_exporter("TRACES", "console", None), ConsoleSpanExporter)
    for exporter in (
        make_exporter("METRICS", "otlp", None),
        make_exporter("TRACES", "otlp http", None),
    ):
        assert isinstance(exporter, OTLPMetricExporter | OTLPSpanExporter)
        exporter.shutdown()


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingError, match=r"opentelemetry-exporter-otlp-proto-http.*\[otlp\]"):
        make_exporter("TRACES", "otlp", None)


def test_a_package_that_is_missing_is_noted_and_the_app_answers(
    wrap: Wrap, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    client = wrap(plain, exporter={"kind": "auto"})
    for _ in range(3):
        assert client.ask().status == 200
    assert not client.suite.flush(PATIENCE_S)
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 1
    assert client.suite.exporter.spans is None


def test_a_name_that_is_not_known_leaves_the_others(
    wrap: Wrap, sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin,otlp")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "prometheus")
    client = wrap(plain, exporter={"kind": "auto"})
    client.ask()
    client.suite.flush(PATIENCE_S)
    assert len(sink.spans()) == 1
    assert not sink.metrics()
    said = [str(each.exc_info[1]) for each in caplog.records if each.exc_info]
    accepted = "accepted: otlp, otlp_proto_http, otlp_proto_grpc, console, none"
    assert f"OTEL_TRACES_EXPORTER: 'zipkin' given; {accepted}" in said
    assert f"OTEL_METRICS_EXPORTER: 'prometheus' given; {accepted}" in said


def test_a_list_reaches_all(
    wrap: Wrap, sink: Sink, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console,otlp")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    client = wrap(plain, exporter={"kind": "auto"})
    client.ask()
    assert client.suite.flush(PATIENCE_S)
    assert len(sink.spans()) == 1
    assert sink.metrics() == {}


def test_switched_off_nothing_goes_out(
    wrap: Wrap, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    client = wrap(plain, exporter={"kind": "otlp"})
    client.ask()
    assert client.suite.flush(PATIENCE_S)
    assert sink.bodies == []
    assert client.suite.exporter.spans is None


@pytest.mark.parametrize(
    ("interval_s", "variable", "used"),
    [(60.0, "250", 0.25), (60.0, "", 60.0), (7.0, "250", 7.0), (60.0, "soon", 60.0)],
)
def test_the_standard_interval_counts_where_ours_is_the_default(
    wrap: Wrap, monkeypatch: pytest.MonkeyPatch, interval_s: float, variable: str, used: float
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", variable)
    client = wrap(plain, exporter={"kind": "memory", "interval_s": interval_s})
    client.ask()
    assert client.suite.exporter._outputs.interval_s == used
    assert client.suite.faults.counts.total() == (variable == "soon")
