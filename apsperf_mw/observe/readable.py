"""Finished spans in the form that exporters take. Loads OpenTelemetry's SDK: import it late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, StatusCode

from apsperf_mw.observe.ambient import span_context
from apsperf_mw.observe.series import error_type
from apsperf_mw.observe.spans import first_attributes, last_attributes, span_name

if TYPE_CHECKING:
    from apsperf_mw.observe.spans import FinishedSpan

FINE = Status(StatusCode.UNSET)
FAILED = Status(StatusCode.ERROR)


class HashedResource(Resource):
    """A resource that knows its hash.

    OTLP exporters ask for it once a span, and the SDK works it out anew each time, from JSON.
    """

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


def identity(version: str) -> tuple[Resource, InstrumentationScope]:
    """Who exports: the process as `OTEL_SERVICE_NAME` and its like have it, and the suite."""
    try:
        resource = Resource.create()
    except RuntimeError:  # the detectors want threads, which an interpreter that exits denies
        resource = OTELResourceDetector().detect()
    return HashedResource(resource), InstrumentationScope("apsperf_mw", version)


def readable(
    finished: FinishedSpan, resource: Resource, scope: InstrumentationScope
) -> ReadableSpan:
    """The span as exporters take it."""
    span, answered = finished.span, finished.answered
    parent = span_context(span, span.parent_id, remote=True) if span.parent_id else None
    failed = error_type(answered.status, answered.error)
    attributes = first_attributes(finished.asked)
    attributes.update(last_attributes(answered))
    return ReadableSpan(
        span_name(finished.asked.method, answered.route),
        context=span_context(span, span.span_id),
        parent=parent,
        resource=resource,
        attributes=attributes,
        kind=SpanKind.SERVER,
        status=FAILED if failed else FINE,
        start_time=finished.start_ns,
        end_time=finished.end_ns,
        instrumentation_scope=scope,
    )
