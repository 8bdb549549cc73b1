"""The user's own tracer provider: it makes the spans, and its sampler decides.

Loads OpenTelemetry's API: import it late.
"""

from __future__ import annotations

from time import monotonic, time_ns
from typing import TYPE_CHECKING

from opentelemetry import propagate
from opentelemetry.context import attach, get_current
from opentelemetry.trace import (
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)

from apsperf_mw.__about__ import __version__
from apsperf_mw.observe.series import error_type
from apsperf_mw.observe.spans import (
    answered,
    asked,
    first_attributes,
    last_attributes,
    span_name,
)

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

    from apsperf_mw.exchange import Exchange

SCOPE = "apsperf_mw"


class UserTracer:
    """Makes spans with the user's tracer."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(SCOPE, __version__)
        fields = propagate.get_global_textmap().fields
        self._fields = tuple((name, name.lower().encode("latin-1")) for name in fields)

    def begin(self, x: Exchange) -> UserSpan | None:
        """Start a span under the caller's, as the user's propagators read it.

        None where another instrumentation outside has begun the request's span already.
        """
        if getattr(get_current_span(), "kind", None) is SpanKind.SERVER:
            return None
        around = self._extract(x)
        span = self._tracer.start_span(
            span_name(x.method, x.route),
            context=around,
            kind=SpanKind.SERVER,
            attributes=first_attributes(asked(x)),
            start_time=time_ns() - int((monotonic() - x.started) * 1e9),
        )
        return UserSpan(span, around)

    def _extract(self, x: Exchange) -> Context | None:
        carrier = {
            name: [line.decode("latin-1") for line in lines]
            for name, field in self._fields
            if (lines := x.fields(field))
        }
        return propagate.extract(carrier, get_current()) if carrier else None


class UserSpan:
    """A span of the user's tracer, and the context that the caller sent."""

    __slots__ = ("_around", "_span")

    def __init__(self, span: Span, around: Context | None) -> None:
        self._span = span
        self._around = around

    def enter(self) -> Token[Context]:
        """Put the span into the current context, with the caller's baggage."""
        return attach(set_span_in_context(self._span, self._around))

    def finish(self, x: Exchange) -> None:
        """End the span at the instant when the request ended."""
        span = self._span
        if span.is_recording():
            span.update_name(span_name(x.method, x.route))
            span.set_attributes(last_attributes(answered(x)))
            if error_type(x.status, x.error):
                span.set_status(Status(StatusCode.ERROR))
        span.end(time_ns() - int((monotonic() - x.ended_at) * 1e9))
