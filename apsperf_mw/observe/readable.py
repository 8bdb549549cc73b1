"""Finished spans in the form that exporters take. Loads OpenTelemetry's SDK: import it late."""

from __future__ import annotations

from os import environ
from time import monotonic, time_ns
from typing import TYPE_CHECKING
from uuid import uuid4

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from apsperf_mw.observe.ambient import span_context
from apsperf_mw.observe.environment import longest_value, old_names
from apsperf_mw.observe.old_names import beside
from apsperf_mw.observe.series import error_type
from apsperf_mw.observe.spans import (
    SpanRecord,
    first_attributes,
    last_attributes,
    span_name,
    told_fields,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from apsperf_mw.observe.spans import ChildRecord, OwnSpan, Shown

    Value = str | int | bool | tuple[str, ...]
    Told = Mapping[str, Value]

INSTANCE = "service.instance.id"
FINE = Status(StatusCode.UNSET)
FAILED = Status(StatusCode.ERROR)
KINDS = {"client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}


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
    if INSTANCE not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        # The SDK draws one for a process, and forked workers would all bear the first one's.
        resource = resource.merge(Resource({INSTANCE: str(uuid4())}))
    return HashedResource(resource), InstrumentationScope("apsperf_mw", version)


class Readable:
    """Makes of our records what exporters take."""

    def __init__(self, resource: Resource, scope: InstrumentationScope, shown: Shown) -> None:
        self._resource = resource
        self._scope = scope
        self._shown = shown
        self._old = old_names(environ)
        self._longest = longest_value(environ)

    def __call__(self, records: Iterable[SpanRecord | ChildRecord]) -> list[ReadableSpan]:
        """The records as spans."""
        # Where the wall clock is when the monotonic one says 0: it is asked anew each time.
        offset_ns = time_ns() - int(monotonic() * 1e9)
        return [
            self._server(each, offset_ns)
            if isinstance(each, SpanRecord)
            else self._child(each, offset_ns)
            for each in records
        ]

    def _server(self, record: SpanRecord, offset_ns: int) -> ReadableSpan:
        raw = record.raw
        told = first_attributes(record.asked, raw, self._shown)
        told.update(last_attributes(raw, record.sent_bytes))
        attributes = {**(beside(told) if self._old else told), **told_fields(record.fields)}
        failed = bool(error_type(raw[3], raw[5]))
        times_s = record.started, record.ended
        return self._span(
            record.span,
            span_name(raw[0], raw[2]),
            SpanKind.SERVER,
            attributes,
            times_s,
            offset_ns,
            failed=failed,
        )

    def _child(self, record: ChildRecord, offset_ns: int) -> ReadableSpan:
        return self._span(
            record.span,
            record.name,
            KINDS[record.kind],
            record.attributes,
            (record.started, record.ended),
            offset_ns,
            failed=bool(record.error),
        )

    def _span(
        self,
        span: OwnSpan,
        name: str,
        kind: SpanKind,
        attributes: Told,
        times_s: tuple[float, float],
        offset_ns: int,
        *,
        failed: bool,
    ) -> ReadableSpan:
        parent = None
        if span.parent_id:
            parent = span_context(span, span.parent_id, remote=kind is SpanKind.SERVER)
        start_ns, end_ns = (int(each * 1e9) + offset_ns for each in times_s)
        return ReadableSpan(
            name,
            context=span_context(span, span.span_id),
            parent=parent,
            resource=self._resource,
            attributes=attributes if self._longest is None else cut(attributes, self._longest),
            links=links(span),
            kind=kind,
            status=FAILED if failed else FINE,
            start_time=start_ns,
            end_time=end_ns,
            instrumentation_scope=self._scope,
        )


def cut(attributes: Told, longest: int) -> Told:
    """The attributes, of whose texts no more is told."""
    return {name: _cut(value, longest) for name, value in attributes.items()}


def _cut(value: Value, longest: int) -> Value:
    if isinstance(value, tuple):
        return tuple([each[:longest] for each in value])
    return value[:longest] if isinstance(value, str) else value


def links(span: OwnSpan) -> tuple[Link, ...]:
    """The caller that is not trusted, as a link."""
    if span.link is None:
        return ()
    return (Link(SpanContext(*span.link, is_remote=True)),)
