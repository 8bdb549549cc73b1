"""One server span a request, made by the suite itself or by the user's tracer."""

from __future__ import annotations

from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.screen import TRACED
from apsperf_mw.observe.context import bounded_state, parse_traceparent
from apsperf_mw.observe.ids import LOW_BITS, bound_of, random_bits, span_id, trace_id
from apsperf_mw.observe.spans import FinishedSpan, OwnSpan, answered, asked

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.settings import TracingSettings


class Tracing:
    """Decides on sampling before any other work, and keeps to one span a request."""

    def __init__(self, exporter: MetricsExporter, settings: TracingSettings) -> None:
        self._exporter = exporter
        self._bound = bound_of(settings.sample_ratio)
        self._trusts = settings.trust_remote_parent
        self._ambient: Any = None

    def start(self, x: Exchange) -> None:
        """Begin the span of a sampled request."""
        exporter = self._exporter
        if not exporter.started and not exporter.start():
            return
        if exporter.spans is not None:
            if x.flags & TRACED:
                x.span = self._continued(x)
            elif (low := random_bits(64)) < self._bound:
                x.span = _root(low)
        elif exporter.tracer is not None:
            x.span = exporter.tracer.begin(x)

    def enter(self, x: Exchange) -> object:
        """Let spans made inside the app, and requests that it sends, know theirs."""
        span: Any = x.span
        if span is None:
            if self._exporter.spans is None:
                return None
            span = x.span = OwnSpan(0, 0, 0, "", False)
        ambient = self._ambient
        if ambient is None:
            from apsperf_mw.observe import ambient

            self._ambient = ambient
        own = type(span) is OwnSpan
        return ambient.enter(span, self._bound) if own else span.enter()

    def leave(self, x: Exchange, token: Any) -> None:  # noqa: ARG002
        """Forget the span where the app has returned."""
        if token is not None:
            self._ambient.detach(token)

    def end(self, x: Exchange) -> None:
        """Finish the span."""
        span = x.span
        if span is None:
            return
        if type(span) is not OwnSpan:
            span.finish(x)
        elif span.sampled and (ring := self._exporter.spans) is not None:
            end_ns = time_ns() - int((monotonic() - x.ended_at) * 1e9)
            start_ns = end_ns - int((x.ended_at - x.started) * 1e9)
            ring.keep(FinishedSpan(span, asked(x), answered(x), start_ns, end_ns))

    def _continued(self, x: Exchange) -> OwnSpan | None:
        lines = x.fields(b"traceparent")
        remote = parse_traceparent(lines[0]) if len(lines) == 1 else None
        if remote is None:
            low = random_bits(64)
            return _root(low) if low < self._bound else None
        sampled = remote.sampled if self._trusts else remote.trace_id & LOW_BITS < self._bound
        state = bounded_state(x.fields(b"tracestate"))
        return OwnSpan(remote.trace_id, span_id(), remote.span_id, state, sampled)


def _root(low: int) -> OwnSpan:
    """A sampled trace; its id ends in the bits that decided, so that others decide alike."""
    return OwnSpan(trace_id(low), span_id(), 0, "", True)
