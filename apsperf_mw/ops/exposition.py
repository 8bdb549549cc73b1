"""Families written out by Prometheus's own client, which is loaded here: import it late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Exemplar, Metric
from prometheus_client.openmetrics import exposition as openmetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from apsperf_mw.ops.families import Family

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def written(families: Iterable[Family], accept: str) -> tuple[str, bytes]:
    """The content type and the text; OpenMetrics, which has exemplars, to who asks for it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected(families))
    if "application/openmetrics-text" in accept:
        return OPEN, openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
    return PLAIN, generate_latest(registry)


class Collected:
    """What a registry asks."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """The families as the client has them."""
        for each in self._families:
            unit = each.unit if each.name.endswith(each.unit) else ""
            metric = Metric(each.name, each.help, each.kind, unit)
            for sample in each.samples:
                shown = None
                if sample.exemplar is not None:
                    ids = {"trace_id": sample.exemplar.trace_id, "span_id": sample.exemplar.span_id}
                    shown = Exemplar(ids, sample.exemplar.value, sample.exemplar.at)
                metric.add_sample(
                    each.name + sample.suffix, dict(sample.labels), sample.value, exemplar=shown
                )
            yield metric
