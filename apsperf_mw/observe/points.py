"""Our series as OpenTelemetry's data, cumulative since a start. Loads the SDK when first used."""

from __future__ import annotations

from os import environ
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from apsperf_mw.observe.environment import old_names
from apsperf_mw.observe.measures import MEASURES
from apsperf_mw.observe.old_names import old_only
from apsperf_mw.observe.powers import Powers
from apsperf_mw.observe.series import Histogram, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.sdk.metrics.export import Metric, MetricsData
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from apsperf_mw.observe.series import Attributes, Requests

    Point = tuple[float, Attributes]
    Values = Callable[[], Iterable[Point]]

Kind = Literal["counter", "updown", "gauge"]

Named = tuple[str, str, str]

DURATION = ("http.server.request.duration", "s", "Duration of HTTP server requests.")
RESULTS = ("apsperf.cache.requests", "{request}", "Requests by what the cache did.")
OLD_DURATION = ("http.server.duration", "ms", "Duration of HTTP server requests.")
ACTIVE = ("http.server.active_requests", "{request}", "HTTP server requests under way.")
# The histograms of requests, by the name of their table.
HISTOGRAMS: dict[str, Named] = {
    "durations": DURATION,
    "first_bytes": (
        "apsperf.server.first_byte.duration",
        "s",
        "Time until the first byte of HTTP server responses.",
    ),
    "received": ("http.server.request.body.size", "By", "Size of HTTP server request bodies."),
    "sent": ("http.server.response.body.size", "By", "Size of HTTP server response bodies."),
    "app": ("apsperf.server.app.duration", "s", "Time that requests spend in the app."),
    "fills": ("apsperf.cache.fill.duration", "s", "Time in which the app makes what was missed."),
    "streams": (
        "apsperf.server.stream.duration",
        "s",
        "Time from the first to the last byte of responses in several pieces.",
    ),
}


class Observed(Struct, eq=False):
    """An instrument whose values are asked for when they are exported."""

    name: str
    unit: str
    description: str
    kind: Kind
    values: Callable[[], Sequence[Point]]


def metrics_data(
    requests: Requests,
    observed: Iterable[Observed],
    resource: Resource,
    scope: InstrumentationScope,
    times_ns: tuple[int, int],
) -> MetricsData:
    """Everything counted so far; `times_ns` are the start of counting and now."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics

    metrics = [
        *(
            histogram(named, getattr(requests, table).all(), times_ns)
            for table, named in HISTOGRAMS.items()
        ),
        *(
            histogram((name, kind.unit, kind.description), requests.measured[name].all(), times_ns)
            for name, kind in MEASURES.items()
        ),
        *(number(one, times_ns) for one in (results(requests), *observed)),
    ]
    if old_names(environ):
        metrics.append(_old_durations(requests, times_ns))
    metrics = [metric for metric in metrics if metric.data.data_points]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


def _old_durations(requests: Requests, times_ns: tuple[int, int]) -> Metric:
    """The durations in milliseconds, by the names from before the conventions were stable."""
    told = []
    for series in requests.durations.all():
        value = series.value
        if isinstance(value, Histogram):
            scaled = Histogram(tuple(bound * 1000 for bound in value.bounds))
            scaled.count, scaled.total = value.count, value.total * 1000
            scaled.lowest, scaled.highest = value.lowest * 1000, value.highest * 1000
            scaled.buckets = list(value.buckets)
            told.append(Series(old_only(series.attributes), scaled))
    return histogram(OLD_DURATION, told, times_ns)


def results(requests: Requests) -> Observed:
    """The counter of what the cache did."""
    return Observed(
        *RESULTS,
        "counter",
        lambda: [(series.value[0], series.attributes) for series in requests.results.all()],
    )


def histogram(named: Named, series: Iterable[Series[Any]], times_ns: tuple[int, int]) -> Metric:
    """A histogram with one point for each series."""
    from opentelemetry.sdk.metrics.export import AggregationTemporality, Metric
    from opentelemetry.sdk.metrics.export import Histogram as HistogramData

    name, unit, description = named
    listed = list(series)
    if listed and isinstance(listed[0].value, Powers):
        return Metric(name, description, unit, _powers(listed, times_ns))
    points = [_histogram_point(one, times_ns) for one in listed]
    return Metric(name, description, unit, HistogramData(points, AggregationTemporality.CUMULATIVE))


def _powers(series: Iterable[Series[Any]], times_ns: tuple[int, int]) -> Any:
    """The data of an exponential histogram."""
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Buckets,
        ExponentialHistogram,
        ExponentialHistogramDataPoint,
    )

    points = []
    for one in series:
        value: Powers = one.value
        point = ExponentialHistogramDataPoint(
            attributes=one.attributes,
            start_time_unix_nano=times_ns[0],
            time_unix_nano=times_ns[1],
            count=value.count,
            sum=value.total,
            scale=value.scale,
            zero_count=value.zeros,
            positive=Buckets(*value.dense()),
            negative=Buckets(0, []),
            flags=0,
            min=value.lowest,
            max=value.highest,
            exemplars=exemplars(value, times_ns[1]),
        )
        points.append(point)
    return ExponentialHistogram(points, AggregationTemporality.CUMULATIVE)


def number(one: Observed, times_ns: tuple[int, int]) -> Metric:
    """A sum or a gauge with one point for each value."""
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        Metric,
        NumberDataPoint,
        Sum,
    )

    points = [NumberDataPoint(attributes, *times_ns, value) for value, attributes in one.values()]
    data: Any = Gauge(points)
    if one.kind != "gauge":
        data = Sum(points, AggregationTemporality.CUMULATIVE, one.kind == "counter")
    return Metric(one.name, one.description, one.unit, data)


def _histogram_point(series: Series[Any], times_ns: tuple[int, int]) -> Any:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    value = series.value
    return HistogramDataPoint(
        series.attributes,
        *times_ns,
        value.count,
        value.total,
        list(value.buckets),
        value.bounds,
        value.lowest,
        value.highest,
        exemplars(value, times_ns[1]),
    )


def exemplars(value: Histogram | Powers, now_ns: int) -> Sequence[Any]:
    """The traces that stand for the buckets."""
    if not value.exemplars:
        return ()
    from opentelemetry.sdk.metrics import Exemplar

    offset_ns = now_ns - int(monotonic() * 1e9)
    return [
        Exemplar({}, each.value, int(each.at * 1e9) + offset_ns, each.span_id, each.trace_id)
        for each in list(value.exemplars.values())
    ]
