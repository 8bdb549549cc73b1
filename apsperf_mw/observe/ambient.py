"""The suite's own span as the parent of what the app does.

Loads OpenTelemetry's API: import it late.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from apsperf_mw.cache.policy import current
from apsperf_mw.observe.ids import span_id, trace_id, unsampled_low

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from apsperf_mw.observe.spans import OwnSpan

PLAIN = frozenset({"ContextVarsRuntimeContext"})
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)
NO_STATE = TraceState()


def span_context(span: OwnSpan, span_id: int, *, remote: bool = False) -> SpanContext:
    """A span's context as OpenTelemetry has it."""
    state = TraceState.from_header([span.state]) if span.state else NO_STATE
    flags = SAMPLED if span.sampled else UNSAMPLED
    return SpanContext(span.trace_id, span_id, remote, flags, state)


class Ambient(NonRecordingSpan):
    """Makes its context when somebody asks for it: most apps never do."""

    def __init__(self, own: OwnSpan) -> None:
        self._own = own

    def get_span_context(self) -> SpanContext:
        """The context, the same each time."""
        return span_context(self._own, self._own.span_id)

    def __repr__(self) -> str:
        return f"Ambient({self.get_span_context()!r})"


class Unsampled(Ambient):
    """One for all requests that are not sampled: it finds their ids in the request's plan.

    They are drawn when somebody asks for them first, so that others who sample the same share of
    traces leave this one out too.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound

    def get_span_context(self) -> SpanContext:
        """The context, the same each time within a request."""
        plan = current.get()
        known = None if plan is None else plan.trace
        if known is None:
            known = trace_id(unsampled_low(self._bound)), span_id()
            if plan is not None:
                plan.trace = known
        return SpanContext(*known, is_remote=False, trace_flags=UNSAMPLED, trace_state=NO_STATE)


class Ambience:
    """Puts spans into the current context, and takes them out again."""

    def __init__(self, bound: int) -> None:
        self._nobody = Unsampled(bound)
        self._alone = set_span_in_context(self._nobody, Context())
        (self._key,) = self._alone  # by which the API finds a span
        self.attach: Callable[[Context], Token[Context]] = context.attach
        self.leave: Callable[[Token[Context]], None] = context.detach
        self.around: Callable[[], Context] = context.get_current
        runtime = getattr(context, "_RUNTIME_CONTEXT", None)
        variable = getattr(runtime, "_current_context", None)
        if isinstance(variable, ContextVar) and type(runtime).__name__ in PLAIN:
            # What the API puts round the variable costs several times more than the variable.
            self.attach, self.leave, self.around = variable.set, variable.reset, variable.get

    def enter(self, own: OwnSpan | None) -> Token[Context]:
        """Put the span there, or the one that stands for all that are not sampled."""
        around = self.around()
        if own is None:
            alone = self._alone
            return self.attach(set_span_in_context(self._nobody, around) if around else alone)
        if own.around is not None:
            around = Context({**around, **own.around})
        return self.attach(Context({**around, self._key: Ambient(own)}))
