"""The suite's own span as the parent of what the app does.

Loads OpenTelemetry's API: import it late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.context import attach, detach
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from apsperf_mw.observe.ids import span_id, trace_id, unsampled_low

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context

    from apsperf_mw.observe.spans import OwnSpan

__all__ = ["Ambient", "detach", "enter", "span_context"]

SAMPLED = TraceFlags(TraceFlags.SAMPLED)
UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)
NO_STATE = TraceState()


def span_context(span: OwnSpan, span_id: int, *, remote: bool = False) -> SpanContext:
    """A span's context as OpenTelemetry has it."""
    state = TraceState.from_header([span.state]) if span.state else NO_STATE
    flags = SAMPLED if span.sampled else UNSAMPLED
    return SpanContext(span.trace_id, span_id, remote, flags, state)


class Ambient(NonRecordingSpan):
    """Makes its context when somebody asks for it: most apps never do.

    Ids that are not drawn yet are drawn then, so that others who sample the same share of traces
    leave this one out too.
    """

    def __init__(self, own: OwnSpan, bound: int) -> None:
        self._own = own
        self._bound = bound

    def get_span_context(self) -> SpanContext:
        """The context, the same each time."""
        own = self._own
        if not own.trace_id:
            own.span_id = span_id()
            own.trace_id = trace_id(unsampled_low(self._bound))
        return span_context(own, own.span_id)

    def __repr__(self) -> str:
        return f"Ambient({self.get_span_context()!r})"


def enter(own: OwnSpan, bound: int) -> Token[Context]:
    """Put the span into the current context; `detach` takes the token."""
    return attach(set_span_in_context(Ambient(own, bound)))
