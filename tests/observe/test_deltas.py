"""Metrics for backends that add up by themselves: the parts make the whole."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExportResult

from apsperf_mw.errors import SettingError
from apsperf_mw.observe.deltas import Deltas
from apsperf_mw.observe.environment import TEMPORALITY, temporality
from apsperf_mw.observe.record import Finished
from apsperf_mw.observe.sinks import make_exporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw import Suite

DURATION = "http.server.request.duration"
RESULTS = "apsperf.cache.requests"


class Backend:
    """Adds up what it takes; it can refuse."""

    def __init__(self) -> None:
        self.takes = True
        self.sums: dict[str, float] = {}
        self.buckets: dict[int, int] = {}
        self.ends: dict[str, int] = {}
        self.temporalities: dict[str, Any] = {}
        self.closed = False

    def export(self, data: Any) -> MetricExportResult:
        encode_metrics(data)
        if not self.takes:
            return MetricExportResult.FAILURE
        for metric in data.resource_metrics[0].scope_metrics[0].metrics:
            self.temporalities[metric.name] = getattr(metric.data, "aggregation_temporality", None)
            for point in metric.data.data_points:
                amount = getattr(point, "count", None)
                amount = point.value if amount is None else amount
                self.sums[metric.name] = self.sums.get(metric.name, 0) + amount
                if metric.name == DURATION:
                    assert self.ends.get(DURATION, 0) <= point.start_time_unix_nano
                    self._bucket(point)
            if metric.data.data_points:
                self.ends[metric.name] = metric.data.data_points[0].time_unix_nano
        return MetricExportResult.SUCCESS

    def _bucket(self, point: Any) -> None:
        counts = getattr(point, "bucket_counts", None)
        counts = point.positive.bucket_counts if counts is None else counts
        assert all(count >= 0 for count in counts)
        assert sum(counts) == point.count

    def shutdown(self) -> None:
        self.closed = True


def finished(duration_s: float) -> Finished:
    raw = ("GET", "http", "/albums", 200, "1.1", "", "off")
    return Finished(raw, duration_s, duration_s, 0.0, 0.0, 10, 0, 1, None, 0, 0, 0)


@pytest.mark.parametrize("histograms", ["explicit", "exponential"])
def test_the_parts_make_the_whole_though_some_are_refused(
    make_suite: Callable[..., Suite], histograms: str
) -> None:
    suite: Suite = make_suite(exporter={"kind": "memory", "histograms": histograms})
    backend, random = Backend(), Random(11)
    deltas = Deltas(backend, counters=True)
    for _ in range(40):
        batch = [finished(10 ** random.uniform(-9, 5)) for _ in range(random.randrange(1, 6))]
        suite.exporter.requests.count(batch)
        backend.takes = random.random() < 0.6
        deltas.export(suite.exporter.collect())
    backend.takes = True
    whole: Any = suite.exporter.collect()
    deltas.export(whole)
    named = {each.name: each for each in whole.resource_metrics[0].scope_metrics[0].metrics}
    assert backend.sums[DURATION] == sum(p.count for p in named[DURATION].data.data_points)
    assert backend.sums[RESULTS] == sum(p.value for p in named[RESULTS].data.data_points)
    assert backend.temporalities[DURATION] is AggregationTemporality.DELTA
    before = {name: backend.sums[name] for name in (DURATION, RESULTS)}
    deltas.export(whole)
    assert {name: backend.sums[name] for name in before} == before
    deltas.shutdown()
    assert backend.closed


def test_counters_stay_whole_where_histograms_alone_are_parted(
    make_suite: Callable[..., Suite],
) -> None:
    suite = make_suite()
    backend = Backend()
    suite.exporter.requests.count([finished(0.1)])
    Deltas(backend, counters=False).export(suite.exporter.collect())
    assert backend.temporalities[RESULTS] is AggregationTemporality.CUMULATIVE
    assert backend.temporalities[DURATION] is AggregationTemporality.DELTA


def test_what_counts_anew_is_told_whole(make_suite: Callable[..., Suite]) -> None:
    suite = make_suite()
    backend = Backend()
    deltas = Deltas(backend, counters=True)
    suite.exporter.requests.count([finished(0.1), finished(0.2)])
    deltas.export(suite.exporter.collect())
    suite.exporter.requests.clear()
    suite.exporter.requests.count([finished(0.3)])
    deltas.export(suite.exporter.collect())
    assert backend.sums[DURATION] == backend.sums[RESULTS] == 3


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(make_exporter("METRICS", "otlp http", None), Deltas)
    for given in ("delta", "LowMemory"):
        monkeypatch.setenv(TEMPORALITY, given)
        made = make_exporter("METRICS", "otlp http", None)
        assert isinstance(made, Deltas)
        made.shutdown()
    with pytest.raises(SettingError, match=r"TEMPORALITY.*'both'.*cumulative, delta, lowmemory"):
        temporality({TEMPORALITY: "both"})
