"""One server span a request, made by the suite itself or by the user's tracer."""

from __future__ import annotations

from random import getrandbits
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.screen import TRACED
from apsperf_mw.observe.context import bounded_state, parse_traceparent
from apsperf_mw.observe.spans import OwnSpan, seen

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.settings import TracingSettings

# Sampling looks at the low 64 bits of the trace id, as OpenTelemetry's ratio sampler does.
LOW_BITS = (1 << 64) - 1


class Tracing:
    """Decides on sampling before any other work, and keeps to one span a request."""

    def __init__(self, exporter: MetricsExporter, settings: TracingSettings) -> None:
        self._exporter = exporter
        self._bound = round(settings.sample_ratio * (1 << 64))
        self._trusts = settings.trust_remote_parent

    def start(self, x: Exchange) -> None:
        """Begin the span of a sampled request."""
        exporter = self._exporter
        if not exporter.started:
            exporter.start()
        if exporter.tracer is not None:
            x.span = exporter.tracer.begin(x)
        elif exporter.spans is not None:
            if x.flags & TRACED:
                x.span = self._continued(x)
            elif (low := getrandbits(64)) < self._bound:
                x.span = root(low, sampled=True)

    def enter(self, x: Exchange) -> object:
        """Let spans made inside the app, and requests that it sends, know theirs."""
        if x.span is None:
            if self._exporter.spans is None:
                return None
            x.span = root(max(getrandbits(64), self._bound), sampled=False)
        from opentelemetry import context, trace

        return context.attach(trace.set_span_in_context(x.span.as_parent()))

    def leave(self, x: Exchange, token: Any) -> None:  # noqa: ARG002
        """Forget the span where the app has returned."""
        if token is not None:
            from opentelemetry import context

            context.detach(token)

    def end(self, x: Exchange) -> None:
        """Finish the span."""
        span = x.span
        if span is None:
            return
        if not isinstance(span, OwnSpan):
            span.finish(x)
        elif span.sampled:
            end_ns = time_ns() - int((monotonic() - x.ended_at) * 1e9)
            start_ns = end_ns - int((x.ended_at - x.started) * 1e9)
            self._exporter.keep_span(span, seen(x), start_ns, end_ns)

    def _continued(self, x: Exchange) -> OwnSpan:
        lines = x.fields(b"traceparent")
        remote = parse_traceparent(lines[0]) if len(lines) == 1 else None
        if remote is None:
            low = getrandbits(64)
            return root(low, sampled=low < self._bound)
        sampled = remote.sampled if self._trusts else remote.trace_id & LOW_BITS < self._bound
        state = bounded_state(list(x.fields(b"tracestate")))
        return OwnSpan(remote.trace_id, getrandbits(64) or 1, remote.span_id, state, sampled)


def root(low: int, *, sampled: bool) -> OwnSpan:
    """A new trace, whose id ends in the bits that decided, so that others decide alike."""
    return OwnSpan(getrandbits(64) << 64 | low or 1, getrandbits(64) or 1, 0, "", sampled)
