"""What a trusted caller sends, as the program's propagators read it: W3C, B3, baggage.

Loads OpenTelemetry's API: import it late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from apsperf_mw.observe.ids import span_id
from apsperf_mw.observe.spans import OwnSpan

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange

# A longer line of context is not read; W3C allows baggage of this many bytes.
MOST_LINE_BYTES = 8192


def extracted(x: Exchange, around: Context | None = None) -> Context:
    """The context that the request carries, on top of another."""
    carrier: dict[str, list[str]] = {}
    for name in propagate.get_global_textmap().fields:
        lines = x.fields(name.lower().encode("latin-1"))
        if lines and sum(map(len, lines)) <= MOST_LINE_BYTES:
            carrier[name] = [line.decode("latin-1") for line in lines]
    empty = Context() if around is None else around
    return propagate.extract(carrier, empty) if carrier else empty


def carried(x: Exchange) -> OwnSpan | None:
    """The span of a request whose caller is trusted; None where it has sent none of this."""
    around = extracted(x)
    if not around:
        return None
    remote = get_current_span(around).get_span_context()
    if not remote.is_valid:
        return None
    state = remote.trace_state.to_header()
    sampled = remote.trace_flags.sampled
    return OwnSpan(remote.trace_id, span_id(), remote.span_id, state, sampled, None, around)
