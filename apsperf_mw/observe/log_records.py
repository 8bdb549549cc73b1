"""Log lines as OpenTelemetry log records. Loads its API: import it late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from apsperf_mw.__about__ import __version__

if TYPE_CHECKING:
    from apsperf_mw.observe.lines import Event

SEVERITIES = {
    10: SeverityNumber.DEBUG,
    20: SeverityNumber.INFO,
    30: SeverityNumber.WARN,
    40: SeverityNumber.ERROR,
}


def emit(provider: Any, told: Event, level: int, text: str, at_ns: int) -> None:
    """Hand one line to the provider, with the trace that it is about."""
    logger = provider.get_logger(f"apsperf.{told.channel}", __version__)
    fields: dict[str, Any] = {
        "timestamp": at_ns,
        "observed_timestamp": at_ns,
        "severity_text": told.level.upper(),
        "severity_number": SEVERITIES[level],
        "body": text,
        "attributes": {f"apsperf.{name}": value for name, value in told.facts.items()},
    }
    try:
        record: Any = LogRecord(context=about(told), event_name=f"apsperf.{told.name}", **fields)
    except TypeError:  # before 1.35 a record was the SDK's, and knew its trace by ids
        record = _older(logger, told, fields)
    logger.emit(record)


def about(told: Event) -> Context:
    """The context of the span that the line is about, or an empty one."""
    if not told.trace_id:
        return Context()
    span = SpanContext(
        told.trace_id, told.span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return set_span_in_context(NonRecordingSpan(span), Context())


def _older(logger: Any, told: Event, fields: dict[str, Any]) -> Any:
    from opentelemetry.sdk import _logs

    kind: Any = vars(_logs)["LogRecord"]
    return kind(
        **fields,
        trace_id=told.trace_id,
        span_id=told.span_id,
        trace_flags=TraceFlags(bool(told.trace_id)),
        resource=logger.resource,
    )
