"""Server spans: what they say, and the suite's own form of one until it is exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.observe.series import METHODS, OTHER_METHOD, error_type

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import NonRecordingSpan, SpanContext

    from apsperf_mw.exchange import Exchange
    from apsperf_mw.observe.series import Attributes

MOST_PATH = 1024
MOST_TEXT = 256
MOST_QUERY_NAMES = 64


class OwnSpan(Struct, eq=False):
    """The identity of a span that the suite makes itself; `parent_id` is 0 for a root."""

    trace_id: int
    span_id: int
    parent_id: int
    state: str
    sampled: bool

    def context(self, span_id: int, *, remote: bool) -> SpanContext:
        """The identity as OpenTelemetry has it."""
        from opentelemetry.trace import SpanContext, TraceFlags, TraceState

        flags = TraceFlags.SAMPLED if self.sampled else TraceFlags.DEFAULT
        state = TraceState.from_header([self.state]) if self.state else TraceState()
        return SpanContext(self.trace_id, span_id, remote, TraceFlags(flags), state)

    def as_parent(self) -> NonRecordingSpan:
        """The span as the parent of what the app does."""
        from opentelemetry.trace import NonRecordingSpan

        return NonRecordingSpan(self.context(self.span_id, remote=False))


class Seen(Struct, gc=False, eq=False):
    """What a span says of a request, as scalars."""

    method: str
    scheme: str
    path: str
    query: bytes
    version: str
    server: tuple[str, int | None]
    client: str
    agent: bytes
    route: str
    status: int
    error: str
    result: str
    sent_bytes: int


class FinishedSpan(Struct, eq=False):
    """A span that waits for export; it holds scalars only."""

    span: OwnSpan
    seen: Seen
    start_ns: int
    end_ns: int

    def readable(self, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
        """The span as exporters take it."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanKind, Status, StatusCode

        span, seen = self.span, self.seen
        parent = span.context(span.parent_id, remote=True) if span.parent_id else None
        failed = error_type(seen.status, seen.error)
        return ReadableSpan(
            span_name(seen.method, seen.route),
            context=span.context(span.span_id, remote=False),
            parent=parent,
            resource=resource,
            attributes=first_attributes(seen) | last_attributes(seen),
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            start_time=self.start_ns,
            end_time=self.end_ns,
            instrumentation_scope=scope,
        )


def seen(x: Exchange) -> Seen:
    """What is known of the request now."""
    agents = x.fields(b"user-agent")
    return Seen(
        x.method,
        x.scheme,
        x.path,
        x.query,
        x.http_version,
        x.server,
        x.client,
        agents[0] if agents else b"",
        x.route,
        x.status,
        x.error,
        x.result,
        x.sent_bytes,
    )


def span_name(method: str, route: str) -> str:
    """`{method} {route}`, or the method alone where no route is known."""
    method = method if method in METHODS else "HTTP"
    return f"{method} {route}" if route else method


def first_attributes(seen: Seen) -> Attributes:
    """What is known when the span begins, and what samplers decide by."""
    known = seen.method in METHODS
    host, port = seen.server
    attributes: Attributes = {
        "http.request.method": seen.method if known else OTHER_METHOD,
        "url.scheme": seen.scheme,
        "url.path": seen.path[:MOST_PATH],
        "network.protocol.version": seen.version,
    }
    optional: Attributes = {
        "http.request.method_original": "" if known else seen.method[:MOST_TEXT],
        "url.query": redacted(seen.query),
        "server.address": host,
        "server.port": port or 0,
        "client.address": seen.client,
        "network.peer.address": seen.client,
        "user_agent.original": seen.agent[:MOST_TEXT].decode("latin-1"),
    }
    return attributes | {name: value for name, value in optional.items() if value}


def last_attributes(seen: Seen) -> Attributes:
    """What is known when the request is over."""
    hit = seen.result in {"hit", "collapsed"}
    optional: Attributes = {
        "http.response.status_code": seen.status,
        "cache.item_size": seen.sent_bytes if hit else 0,
        "http.route": seen.route,
        "error.type": error_type(seen.status, seen.error),
    }
    told: Attributes = {"apsperf.cache.result": seen.result, "cache.hit": hit}
    return told | {name: value for name, value in optional.items() if value}


def redacted(query: bytes) -> str:
    """The query with its names, and without its values."""
    if not query:
        return ""
    names = [
        pair.partition(b"=")[0][:MOST_TEXT].decode("latin-1")
        for pair in query[: MOST_PATH * 4].split(b"&")[:MOST_QUERY_NAMES]
    ]
    return "&".join(f"{name}=REDACTED" if name else "" for name in names)[:MOST_PATH]
