"""Spans of what is done within a request, below the request's own."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.observe.ids import span_id
from apsperf_mw.observe.spans import ChildRecord, OwnSpan

if TYPE_CHECKING:
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.series import Attributes


def note_below(
    exporter: MetricsExporter,
    span: Any,
    name: str,
    kind: str,
    attributes: Attributes,
    started: float,
    error: str = "",
) -> None:
    """Something below a span has ended now; nothing where that is not sampled."""
    if type(span) is OwnSpan:
        ring = exporter.spans
        if ring is not None and span.sampled:
            own = OwnSpan(span.trace_id, span_id(), span.span_id, span.state, True)
            ring.keep(ChildRecord(own, name, kind, attributes, started, monotonic(), error))
    elif span is not None:
        span.note(name, kind, attributes, started, error)
