"""What has come since the last export, for backends that add up by themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricExportResult, MetricsData

Key = tuple[str, frozenset[Any]]


class Deltas:
    """An exporter of metrics that is handed what is new.

    What it did not take is handed to it again with the next: nothing is lost. `counters` is
    whether counters are told so too, or histograms alone.
    """

    def __init__(self, exporter: Any, *, counters: bool) -> None:
        self._exporter = exporter
        self._counters = counters
        self._taken: dict[Key, Any] = {}

    def export(self, data: MetricsData) -> MetricExportResult:
        """Hand over what has changed."""
        seen: dict[Key, Any] = {}
        resources = [
            replace(
                resource,
                scope_metrics=[
                    replace(scope, metrics=self._changed(scope.metrics, seen))
                    for scope in resource.scope_metrics
                ],
            )
            for resource in data.resource_metrics
        ]
        result: MetricExportResult = self._exporter.export(
            replace(data, resource_metrics=resources)
        )
        if result.name == "SUCCESS":
            self._taken = seen
        return result

    def shutdown(self) -> None:
        """Let the exporter go."""
        self._exporter.shutdown()

    def _changed(self, metrics: Any, seen: dict[Key, Any]) -> list[Metric]:
        told = [
            self._since(metric, seen) if self._adds_up(metric.data) else metric
            for metric in metrics
        ]
        return [metric for metric in told if metric.data.data_points]

    def _adds_up(self, data: Any) -> bool:
        if type(data).__name__ == "Sum":
            return self._counters and data.is_monotonic
        return type(data).__name__ != "Gauge"

    def _since(self, metric: Metric, seen: dict[Key, Any]) -> Metric:
        from opentelemetry.sdk.metrics.export import AggregationTemporality

        points = []
        for point in metric.data.data_points:
            key = metric.name, frozenset((point.attributes or {}).items())
            seen[key] = point
            new = less(point, self._taken.get(key))
            if new is not None:
                points.append(new)
        whole: Any = metric.data
        delta = AggregationTemporality.DELTA
        data = replace(whole, data_points=points, aggregation_temporality=delta)
        return replace(metric, data=data)


def less(point: Any, before: Any) -> Any:
    """The point without what an earlier one has; None where nothing is new. Pure.

    The least and the greatest of what is new are not known, unless all of it is.
    """
    if before is None:
        return point
    start = before.time_unix_nano
    if amount(point) < amount(before):  # counted from nought again
        return replace(point, start_time_unix_nano=start)
    if not hasattr(point, "count"):
        value = point.value - before.value
        return replace(point, start_time_unix_nano=start, value=value) if value else None
    if point.count == before.count:
        return None
    new: dict[str, Any] = {
        "start_time_unix_nano": start,
        "count": point.count - before.count,
        "sum": point.sum - before.sum,
        "min": None,
        "max": None,
        "exemplars": [each for each in point.exemplars or () if each.time_unix_nano >= start],
    }
    if hasattr(point, "bucket_counts"):
        pairs = zip(point.bucket_counts, before.bucket_counts, strict=True)
        return replace(point, **new, bucket_counts=[now - then for now, then in pairs])
    return replace(
        point,
        **new,
        zero_count=point.zero_count - before.zero_count,
        positive=_buckets(point, before),
    )


def _buckets(point: Any, before: Any) -> Any:
    """The buckets of an exponential histogram; those of before may have been narrower."""
    first, shift = point.positive.offset, before.scale - point.scale
    counts = list(point.positive.bucket_counts)
    for index, count in enumerate(before.positive.bucket_counts, before.positive.offset):
        if count:
            counts[(index >> shift) - first] -= count
    return replace(point.positive, bucket_counts=counts)


def amount(point: Any) -> float:
    """What only grows in a point."""
    return point.count if hasattr(point, "count") else point.value  # type: ignore[no-any-return]
