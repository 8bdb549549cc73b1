"""Spans as OTLP bytes, written by hand: the SDK's way takes twenty times as long.

The form is that of `opentelemetry/proto/trace/v1/trace.proto`.
"""

from __future__ import annotations

from struct import Struct as Packing
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from apsperf_mw.observe.series import error_type
from apsperf_mw.observe.spans import (
    SpanRecord,
    first_attributes,
    last_attributes,
    redacted,
    span_name,
    told_fields,
    told_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from apsperf_mw.observe.ring import Record
    from apsperf_mw.observe.spans import ChildRecord, OwnSpan, Shown

# What was encoded before is kept; past so many pieces all are forgotten.
MOST_KNOWN = 4096
KINDS = {"internal": b"\x30\x01", "client": b"\x30\x03"}
SERVER = b"\x30\x02"
FAILED = b"\x7a\x02\x18\x02"
# Field 16, fixed32: it is known whether the parent is remote, and whether it is.
HITS = frozenset({"hit", "collapsed"})
LOCAL = b"\x85\x01\x00\x01\x00\x00"
REMOTE = b"\x85\x01\x00\x03\x00\x00"
# Fields 7 and 8, fixed64.
TIMES = Packing("<BQBQ")


def varint(number: int) -> bytes:
    """The number in groups of seven bits, the lowest first; a negative one as 64 bits."""
    if 0 <= number < MOST_LENGTHS:
        return LENGTHS[number]
    return _varint(number)


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


# Those of most texts and spans.
MOST_LENGTHS = 1024
LENGTHS = tuple(map(_varint, range(MOST_LENGTHS)))


def field(tag: bytes, content: bytes) -> bytes:
    """A field of some length."""
    return tag + varint(len(content)) + content


def attribute(name: str, value: str | int | bool | tuple[str, ...]) -> bytes:
    """A span's attribute: field 9, a key and a value of one of four kinds."""
    if isinstance(value, bool):
        held = b"\x10\x01" if value else b"\x10\x00"
    elif isinstance(value, int):
        held = b"\x18" + varint(value)
    elif isinstance(value, tuple):
        texts = [field(b"\x0a", each.encode("utf-8", "replace")) for each in value]
        held = field(b"\x2a", b"".join([field(b"\x0a", each) for each in texts]))
    else:
        held = field(b"\x0a", value.encode("utf-8", "replace"))
    return field(b"\x4a", field(b"\x0a", name.encode()) + field(b"\x12", held))


class Encoder:
    """Makes one OTLP request of many records; `head` and `tail` are what is round its spans."""

    def __init__(self, resource: bytes, scope: bytes, shown: Shown) -> None:
        self._resource = resource
        self._scope = scope
        self._shown = shown
        self._still: dict[object, bytes] = {}
        self._paths: dict[str, bytes] = {}
        self._agents: dict[bytes, bytes] = {}
        self._clients: dict[str, bytes] = {"": b""}
        self._queries: dict[bytes, bytes] = {b"": b""}

    def __call__(self, records: Sequence[Record]) -> bytes:
        """The request's bytes."""
        offset_ns = time_ns() - int(monotonic() * 1e9)
        spans: list[bytes] = []
        for each in records:
            if isinstance(each, SpanRecord):
                span = self._server(each, offset_ns)
            else:
                span = self._child(each, offset_ns)
            spans += (b"\x12", varint(len(span)), span)
        self._forget()
        return field(b"\x0a", self._resource + field(b"\x12", self._scope + b"".join(spans)))

    def _forget(self) -> None:
        """Keep no more than so much of what was encoded."""
        for known in (self._still, self._paths, self._agents):
            if len(known) > MOST_KNOWN:
                known.clear()
        if len(self._clients) > MOST_KNOWN:
            self._clients = {"": b""}
        if len(self._queries) > MOST_KNOWN:
            self._queries = {b"": b""}

    def _server(self, record: SpanRecord, offset_ns: int) -> bytes:
        raw, asked, span = record.raw, record.asked, record.span
        key = (raw, asked.host, asked.server, asked.port)
        path, agent, client, query = asked.path, asked.agent, asked.client, asked.query
        parts = [
            b"\x0a\x10",
            span.trace_id.to_bytes(16, "big"),
            b"\x12\x08",
            span.span_id.to_bytes(8, "big"),
            relations(span) if span.parent_id or span.link or span.state else b"",
            self._still.get(key) or self._keep_still(key, record),
            times(record, offset_ns),
            self._paths.get(path) or self._keep_path(path),
        ]
        if agent:
            parts.append(self._agents.get(agent) or self._keep_agent(agent))
        if client:
            parts.append(self._clients.get(client) or self._keep_client(client))
        if query:
            parts.append(self._queries.get(query) or self._keep_query(query))
        if record.fields:
            parts.append(attributes(told_fields(record.fields)))
        if record.sent_bytes and raw[6] in HITS:
            parts.append(attribute("cache.item_size", record.sent_bytes))
        parts.append(REMOTE if span.parent_id else LOCAL)
        return b"".join(parts)

    def _keep_path(self, path: str) -> bytes:
        made = self._paths[path] = attribute("url.path", told_path(path))
        return made

    def _keep_agent(self, agent: bytes) -> bytes:
        made = self._agents[agent] = attribute("user_agent.original", agent.decode("latin-1"))
        return made

    def _keep_client(self, client: str) -> bytes:
        both = attribute("client.address", client) + attribute("network.peer.address", client)
        self._clients[client] = both
        return both

    def _keep_query(self, query: bytes) -> bytes:
        made = self._queries[query] = attribute("url.query", redacted(query, self._shown))
        return made

    def _keep_still(self, key: object, record: SpanRecord) -> bytes:
        """What is the same for many requests: name, kind, status, and most attributes."""
        raw = record.raw
        told = first_attributes(record.asked, raw, self._shown)
        told.update(last_attributes(raw, 0))
        for name in MOVING:
            told.pop(name, None)
        status = FAILED if error_type(raw[3], raw[5]) else b"\x7a\x00"
        named = span_name(raw[0], raw[2]).encode("utf-8", "replace")
        made = self._still[key] = field(b"\x2a", named) + SERVER + attributes(told) + status
        return made

    def _child(self, record: ChildRecord, offset_ns: int) -> bytes:
        return b"".join(
            (
                identity(record.span),
                field(b"\x2a", record.name.encode("utf-8", "replace")),
                KINDS[record.kind],
                attributes(record.attributes),
                FAILED if record.error else b"\x7a\x00",
                times(record, offset_ns),
                LOCAL,
            )
        )


# The attributes of a server span that differ from one request of a route to the next.
MOVING = (
    "url.path",
    "url.query",
    "client.address",
    "network.peer.address",
    "user_agent.original",
    "cache.item_size",
)


def ids(trace_id: int, span_id: int) -> bytes:
    """Fields 1 and 2 of a span, and of a link."""
    return b"\x0a\x10%b\x12\x08%b" % (trace_id.to_bytes(16, "big"), span_id.to_bytes(8, "big"))


def identity(span: OwnSpan) -> bytes:
    """The span's ids, the caller's state, its parent, and whom it links to."""
    return ids(span.trace_id, span.span_id) + relations(span)


def relations(span: OwnSpan) -> bytes:
    """The caller's state, the span's parent, and whom it links to."""
    out = b""
    if span.state:
        out += field(b"\x1a", span.state.encode("latin-1", "replace"))
    if span.parent_id:
        out += b"\x22\x08" + span.parent_id.to_bytes(8, "big")
    return out if span.link is None else out + link(span.link)


def times(record: Record, offset_ns: int) -> bytes:
    """When the span began and ended."""
    start_ns, end_ns = int(record.started * 1e9), int(record.ended * 1e9)
    return TIMES.pack(0x39, start_ns + offset_ns, 0x41, end_ns + offset_ns)


def attributes(told: Mapping[str, str | int | bool | tuple[str, ...]]) -> bytes:
    """Attributes, one after the other."""
    return b"".join([attribute(name, value) for name, value in told.items()])


def link(linked: tuple[int, int]) -> bytes:
    """A link to a remote span: field 13, in which the flags are field 6."""
    return field(b"\x6a", ids(*linked) + b"\x35\x00\x03\x00\x00")


def surroundings(spans: Iterable[object]) -> tuple[bytes, bytes]:
    """Resource and scope as the SDK encodes them, from a span that bears them."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    (about,) = encode_spans(list(spans)).resource_spans  # type: ignore[arg-type]
    (within,) = about.scope_spans
    resource = field(b"\x0a", about.resource.SerializeToString())
    if about.schema_url:
        resource += field(b"\x1a", about.schema_url.encode())
    return resource, field(b"\x0a", within.scope.SerializeToString())
