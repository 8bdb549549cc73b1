"""Where to export: the user's providers, exporters that the environment names, or nowhere."""

from __future__ import annotations

import sys
from collections import deque
from importlib import import_module
from os import environ
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.errors import SettingError
from apsperf_mw.observe.environment import (
    Signal,
    disabled,
    named_exporters,
    temporality,
    transport,
    unknown_exporter,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

    from apsperf_mw.faults import Faults
    from apsperf_mw.settings import ExporterSettings

# The providers that stand for "nobody has set one": the API has no public question for it.
UNSET = frozenset({"ProxyTracerProvider", "_ProxyMeterProvider"})
# The user has set one that does nothing: so be it.
SILENT = frozenset({"NoOpTracerProvider", "NoOpMeterProvider"})
CLASSES = {
    "METRICS": ("metric_exporter", "OTLPMetricExporter"),
    "TRACES": ("trace_exporter", "OTLPSpanExporter"),
}


class InMemory:
    """Keeps what is exported, for tests: the newest spans, and the latest metrics."""

    def __init__(self, max_spans: int) -> None:
        self.spans: deque[ReadableSpan] = deque(maxlen=max_spans)
        self.metrics: MetricsData | None = None

    def points(self, name: str) -> list[Any]:
        """The data points of the metric of this name."""
        metrics = self.metrics.resource_metrics if self.metrics is not None else ()
        return [
            point
            for resource in metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


class Chosen(Struct, eq=False):
    """Where one signal goes: to the user's provider, or to exporters of these names."""

    provider: Any = None
    names: list[str] = []


class Choice(Struct, eq=False):
    """Where both signals go."""

    metrics: Chosen
    spans: Chosen

    @classmethod
    def nowhere(cls) -> Choice:
        """Nothing is exported."""
        return cls(Chosen(), Chosen())


def choose(settings: ExporterSettings, faults: Faults) -> Choice:
    """Look once, at the first request, at what the program and its environment have set up.

    Imports nothing that the program has not imported. A name that is not known is noted as a
    fault; the other names of its list count.
    """
    if settings.kind == "none" or disabled(environ):
        return Choice.nowhere()
    if settings.kind != "auto":
        return Choice(Chosen(names=[settings.kind]), Chosen(names=[settings.kind]))
    return Choice(_chosen("METRICS", faults), _chosen("TRACES", faults))


def _chosen(signal: Signal, faults: Faults) -> Chosen:
    provider = _provider("metrics" if signal == "METRICS" else "trace")
    kind = type(provider).__name__
    if kind in SILENT:
        return Chosen()
    if provider is not None and kind not in UNSET:
        return Chosen(provider)
    known, unknown = named_exporters(environ, signal)
    for name in unknown:
        faults.note(
            f"the choice of an exporter for {signal.lower()}", unknown_exporter(signal, name)
        )
    return Chosen(names=known)


def _provider(of: str) -> Any:
    """The program's provider, as far as one can have been set."""
    getter, variable = {
        "metrics": ("get_meter_provider", "OTEL_PYTHON_METER_PROVIDER"),
        "trace": ("get_tracer_provider", "OTEL_PYTHON_TRACER_PROVIDER"),
    }[of]
    module = f"opentelemetry.{of}"
    if module not in sys.modules and variable not in environ:
        return None
    return getattr(import_module(module), getter)()


def make_exporter(signal: Signal, name: str, memory: InMemory | None) -> Any:
    """OpenTelemetry's exporter of this name; `SettingError` where it cannot be had."""
    if name == "memory":
        assert memory is not None
        return _KeepMetrics(memory) if signal == "METRICS" else _KeepSpans(memory)
    if name != "console":
        _, _, way = name.partition(" ")
        return _otlp(signal, way or transport(environ, signal))
    if signal == "METRICS":
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

        return ConsoleMetricExporter()
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    return ConsoleSpanExporter()


def _otlp(signal: Signal, way: str) -> Any:
    module, name = CLASSES[signal]
    try:
        found = import_module(f"opentelemetry.exporter.otlp.proto.{way}.{module}")
    except ImportError as missing:
        brought = ': pip install "apsperf-mw[otlp]"' if way == "http" else ""
        raise SettingError(
            f"OTEL_{signal}_EXPORTER: OTLP over {way} needs the package "
            f"opentelemetry-exporter-otlp-proto-{way}{brought}"
        ) from missing
    made = getattr(found, name)()
    return _by_preference(made) if signal == "METRICS" else made


def _by_preference(exporter: Any) -> Any:
    """The exporter of metrics, told what the environment wants to hear."""
    preference = temporality(environ)
    if preference == "cumulative":
        return exporter
    from apsperf_mw.observe.deltas import Deltas

    return Deltas(exporter, counters=preference == "delta")


class _KeepMetrics:
    def __init__(self, kept: InMemory) -> None:
        self._kept = kept

    def export(self, data: MetricsData) -> MetricExportResult:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        self._kept.metrics = data
        return MetricExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to release."""


class _KeepSpans:
    def __init__(self, kept: InMemory) -> None:
        self._kept = kept

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        from opentelemetry.sdk.trace.export import SpanExportResult

        self._kept.spans.extend(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to release."""
