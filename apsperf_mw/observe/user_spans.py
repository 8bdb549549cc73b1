"""The user's own tracer provider: it makes the spans, and its sampler decides.

Loads OpenTelemetry's API: import it late.
"""

from __future__ import annotations

from time import monotonic, time_ns
from typing import TYPE_CHECKING

from opentelemetry.context import get_current
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)

from apsperf_mw.__about__ import __version__
from apsperf_mw.cache.screen import TRACED
from apsperf_mw.observe.carried import extracted
from apsperf_mw.observe.context import parse_traceparent
from apsperf_mw.observe.series import error_type
from apsperf_mw.observe.spans import (
    asked,
    first_attributes,
    last_attributes,
    span_name,
    told_fields,
)

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from apsperf_mw.exchange import Exchange
    from apsperf_mw.observe.captured import Captures
    from apsperf_mw.observe.series import Attributes
    from apsperf_mw.observe.spans import Shown

SCOPE = "apsperf_mw"


class UserTracer:
    """Makes spans with the user's tracer."""

    def __init__(self, provider: TracerProvider, shown: Shown) -> None:
        self._tracer = provider.get_tracer(SCOPE, __version__)
        self._shown = shown

    def begin(
        self, x: Exchange, captures: Captures | None = None, *, trusts: bool
    ) -> UserSpan | None:
        """Start a span under a trusted caller's, as the user's propagators read it.

        Another's is linked to. None where another instrumentation outside has begun the request's
        span already.
        """
        if getattr(get_current_span(), "kind", None) is SpanKind.SERVER:
            return None
        around = extracted(x, get_current()) if trusts and x.flags & TRACED else get_current()
        told = first_attributes(asked(x), x.facts(x.route), self._shown)
        fields = {} if captures is None else told_fields(captures.asked(x))
        span = self._tracer.start_span(
            span_name(x.method, x.route),
            context=around,
            kind=SpanKind.SERVER,
            attributes={**told, **fields},
            links=None if trusts else _links(x),
            start_time=time_ns() - int((monotonic() - x.started) * 1e9),
        )
        return UserSpan(self._tracer, span, around)


def _links(x: Exchange) -> list[Link] | None:
    lines = x.fields(b"traceparent") if x.flags & TRACED else ()
    remote = parse_traceparent(lines[0]) if len(lines) == 1 else None
    if remote is None:
        return None
    return [Link(SpanContext(remote.trace_id, remote.span_id, is_remote=True))]


class UserSpan:
    """A span of the user's tracer, and the context that the caller sent."""

    __slots__ = ("_around", "_span", "_tracer")

    def __init__(self, tracer: Tracer, span: Span, around: Context | None) -> None:
        self._tracer = tracer
        self._span = span
        self._around = around

    def note(
        self, name: str, kind: str, attributes: Attributes, started: float, error: str
    ) -> None:
        """Something below this span has ended now."""
        now_ns = time_ns()
        span = self._tracer.start_span(
            name,
            context=self.context,
            kind=SpanKind.CLIENT if kind == "client" else SpanKind.INTERNAL,
            attributes=attributes,
            start_time=now_ns - int((monotonic() - started) * 1e9),
        )
        if error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(now_ns)

    @property
    def context(self) -> Context:
        """The span in the current context, with the caller's baggage."""
        return set_span_in_context(self._span, self._around)

    def finish(self, x: Exchange, captures: Captures | None = None) -> tuple[int, int]:
        """End the span at the instant when the request ended; its ids where it is sampled."""
        span = self._span
        if span.is_recording():
            span.update_name(span_name(x.method, x.route))
            span.set_attributes(last_attributes(x.facts(x.route), x.sent_bytes))
            if captures is not None:
                span.set_attributes(told_fields(captures.answered(x)))
            if error_type(x.status, x.error):
                span.set_status(Status(StatusCode.ERROR))
        span.end(time_ns() - int((monotonic() - x.ended_at) * 1e9))
        context = span.get_span_context()
        return (context.trace_id, context.span_id) if context.trace_flags.sampled else (0, 0)
