"""Where to export: the user's providers, an exporter that the environment names, or nowhere."""

from __future__ import annotations

from collections import deque
from os import environ
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import TracerProvider

    from apsperf_mw.settings import ExporterSettings

Signal = Literal["METRICS", "TRACES"]
# Providers that stand for "nobody has set one": the API has no public question for it.
UNSET = frozenset(
    {"ProxyTracerProvider", "NoOpTracerProvider", "_ProxyMeterProvider", "NoOpMeterProvider"}
)


class InMemory:
    """Keeps what is exported, for tests: the newest spans, and the latest metrics."""

    def __init__(self, max_spans: int) -> None:
        self.spans: deque[ReadableSpan] = deque(maxlen=max_spans)
        self.metrics: MetricsData | None = None

    def points(self, name: str) -> list[Any]:
        """The data points of the metric of this name."""
        if self.metrics is None:
            return []
        return [
            point
            for resource in self.metrics.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


class Outputs(Struct, eq=False):
    """What was chosen for each signal; at most one of a pair is set."""

    meter_provider: MeterProvider | None = None
    tracer_provider: TracerProvider | None = None
    metrics: Any = None
    spans: Any = None
    memory: InMemory | None = None


def choose(settings: ExporterSettings) -> Outputs:
    """Look once, at the first request, at what the program and its environment have set up.

    Raises `SettingError` where a chosen exporter is not installed or not known.
    """
    kind = settings.kind
    if kind == "none" or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Outputs()
    if kind == "memory":
        kept = InMemory(settings.max_spans)
        return Outputs(metrics=_KeepMetrics(kept), spans=_KeepSpans(kept), memory=kept)
    if kind != "auto":
        return Outputs(metrics=exporter("METRICS", kind), spans=exporter("TRACES", kind))
    outputs = Outputs(meter_provider=_user_meters(), tracer_provider=_user_tracers())
    if outputs.meter_provider is None:
        outputs.metrics = exporter("METRICS", named_by_environment("METRICS"))
    if outputs.tracer_provider is None:
        outputs.spans = exporter("TRACES", named_by_environment("TRACES"))
    return outputs


def named_by_environment(signal: Signal) -> str:
    """The exporter that the standard variables name for a signal, or `none`."""
    named = environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    if named:
        return named
    variables = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return "otlp" if any(environ.get(name) for name in variables) else "none"


def exporter(signal: Signal, name: str) -> Any:
    """OpenTelemetry's exporter of this name for a signal; None for `none`."""
    if name == "none":
        return None
    if name == "console":
        return _console(signal)
    if name == "otlp":
        return _otlp(signal)
    raise SettingError(f"OTEL_{signal}_EXPORTER: {name!r} given; accepted: otlp, console, none")


def _console(signal: Signal) -> Any:
    if signal == "METRICS":
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

        return ConsoleMetricExporter()
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    return ConsoleSpanExporter()


def _otlp(signal: Signal) -> Any:
    """The OTLP exporter for the protocol that the environment names."""
    protocol = (
        environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL")
        or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )
    paths = {"http/protobuf": "http", "grpc": "grpc"}
    if protocol not in paths:
        raise SettingError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} given; accepted: {', '.join(paths)}"
        )
    module, name = {
        "METRICS": ("metric_exporter", "OTLPMetricExporter"),
        "TRACES": ("trace_exporter", "OTLPSpanExporter"),
    }[signal]
    from importlib import import_module

    try:
        found = import_module(f"opentelemetry.exporter.otlp.proto.{paths[protocol]}.{module}")
    except ImportError as missing:
        package = f"opentelemetry-exporter-otlp-proto-{paths[protocol]}"
        raise SettingError(
            f"exporting {signal.lower()} by OTLP needs {package}: "
            'pip install "apsperf-mw[otlp]" brings the one for http/protobuf'
        ) from missing
    return getattr(found, name)()


def _user_meters() -> MeterProvider | None:
    from opentelemetry.metrics import get_meter_provider

    provider = get_meter_provider()
    return None if type(provider).__name__ in UNSET else provider


def _user_tracers() -> TracerProvider | None:
    from opentelemetry.trace import get_tracer_provider

    provider = get_tracer_provider()
    return None if type(provider).__name__ in UNSET else provider


class _KeepMetrics:
    def __init__(self, kept: InMemory) -> None:
        self._kept = kept

    def export(self, data: MetricsData, timeout_millis: float = 0) -> None:  # noqa: ARG002
        self._kept.metrics = data

    def shutdown(self) -> None:
        """Nothing to release."""


class _KeepSpans:
    def __init__(self, kept: InMemory) -> None:
        self._kept = kept

    def export(self, spans: Sequence[ReadableSpan]) -> None:
        self._kept.spans.extend(spans)

    def shutdown(self) -> None:
        """Nothing to release."""
