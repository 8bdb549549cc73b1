"""The user's own providers: our measurements go through their views, readers and samplers."""

from __future__ import annotations

from functools import partial
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

from apsperf_mw.__about__ import __version__
from apsperf_mw.observe.points import DURATION, FIRST_BYTE, results
from apsperf_mw.observe.series import (
    DURATION_BOUNDS_S,
    Facts,
    Requests,
    Table,
    error_type,
    grouped,
    request_attributes,
)
from apsperf_mw.observe.spans import first_attributes, last_attributes, seen, span_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import MeterProvider, Observation
    from opentelemetry.trace import Span, TracerProvider

    from apsperf_mw.exchange import Exchange
    from apsperf_mw.observe.ledger import Ledger
    from apsperf_mw.observe.points import Observed
    from apsperf_mw.observe.series import Finished

SCOPE = "apsperf_mw"


class UserMeters:
    """Records into the user's instruments.

    A histogram cannot be observed, so durations wait in the ledger and are recorded when a reader
    collects: it asks the observable instruments before it looks at the others.
    """

    def __init__(
        self, provider: MeterProvider, ledger: Ledger, observed: Iterable[Observed], most: int
    ) -> None:
        self._ledger = ledger
        self._requests = Requests(most)
        self._series: Table[None] = Table(most, lambda: None)
        meter = provider.get_meter(SCOPE, __version__)
        advised = {"explicit_bucket_boundaries_advisory": DURATION_BOUNDS_S}
        self._durations = meter.create_histogram(*DURATION, **advised)  # type: ignore[arg-type]
        self._first_bytes = meter.create_histogram(*FIRST_BYTE, **advised)  # type: ignore[arg-type]
        for one in (results(self._requests), *observed):
            create = {
                "counter": meter.create_observable_counter,
                "updown": meter.create_observable_up_down_counter,
                "gauge": meter.create_observable_gauge,
            }[one.kind]
            create(one.name, [self._callback(one)], one.unit, one.description)

    def count(self, batch: list[Finished]) -> None:
        """Record a batch of requests."""
        for key, durations, first_bytes in grouped(batch):
            facts = Facts(*key)
            series = self._series.at(key[:-1], partial(request_attributes, facts))
            for duration_s in durations:
                self._durations.record(duration_s, series.attributes)
            for first_byte_s in first_bytes if facts.status else ():
                self._first_bytes.record(first_byte_s, series.attributes)
            self._requests.count_results(facts, len(durations))

    def _callback(self, one: Observed) -> Callable[[Any], list[Observation]]:
        def observe(options: Any) -> list[Observation]:  # noqa: ARG001
            from opentelemetry.metrics import Observation

            self._ledger.drain()
            return [Observation(value, attributes) for value, attributes in one.values()]

        return observe


class UserTracer:
    """Makes spans with the user's tracer; their sampler decides."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import propagate

        self._tracer = provider.get_tracer(SCOPE, __version__)
        self._fields = tuple(propagate.get_global_textmap().fields)

    def begin(self, x: Exchange) -> UserSpan:
        """Start a span under the caller's, as the user's propagators read it."""
        from opentelemetry import propagate
        from opentelemetry.trace import SpanKind

        carrier = {
            name: [line.decode("latin-1") for line in lines]
            for name in self._fields
            if (lines := x.fields(name.lower().encode("latin-1")))
        }
        span = self._tracer.start_span(
            span_name(x.method, x.route),
            context=propagate.extract(carrier) if carrier else None,
            kind=SpanKind.SERVER,
            attributes=first_attributes(seen(x)),
            start_time=time_ns() - int((monotonic() - x.started) * 1e9),
        )
        return UserSpan(span)


class UserSpan:
    """A span of the user's tracer."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def as_parent(self) -> Span:
        """The span as the parent of what the app does."""
        return self._span

    def finish(self, x: Exchange) -> None:
        """End the span at the instant when the request ended."""
        from opentelemetry.trace import Status, StatusCode

        span = self._span
        if span.is_recording():
            span.update_name(span_name(x.method, x.route))
            span.set_attributes(last_attributes(seen(x)))
            if error_type(x.status, x.error):
                span.set_status(Status(StatusCode.ERROR))
        span.end(time_ns() - int((monotonic() - x.ended_at) * 1e9))
