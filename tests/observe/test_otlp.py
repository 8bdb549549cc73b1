"""Spans as OTLP bytes: what official protobufs read is what the SDK would have written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from apsperf_mw.observe.otlp import MOST_KNOWN, Encoder, surroundings, varint
from apsperf_mw.observe.readable import Readable, identity
from apsperf_mw.observe.spans import Asked, ChildRecord, OwnSpan, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apsperf_mw.observe.ring import Record

text = st.text(max_size=30)
octets = st.binary(max_size=30)
ids = st.integers(1, 2**64 - 1)
traces = st.integers(1, 2**128 - 1)
seconds = st.floats(0, 1e6)
own = st.tuples(
    traces,
    ids,
    st.integers(0, 2**64 - 1),
    st.sampled_from(["", "a=1", "rojo=1,congo=2"]),
    st.just(True),
    st.none() | st.tuples(traces, ids),
).map(lambda each: OwnSpan(*each))
raw = st.tuples(
    st.sampled_from(["GET", "POST", "BREW"]) | text,
    st.sampled_from(["http", "https"]) | text,
    st.sampled_from(["", "/items/{id}"]) | text,
    st.sampled_from([0, 200, 404, 500]),
    st.sampled_from(["1.1", "2", "9"]),
    st.sampled_from(["", "KeyError"]),
    st.sampled_from(["hit", "miss", "off"]),
)
asked = st.tuples(
    text,
    octets,
    st.sampled_from([b"", b"shop.test", b"[::1]:80"]) | octets,
    st.sampled_from(["", "10.0.0.1"]),
    st.integers(0, 65535),
    st.sampled_from(["", "192.0.2.1"]) | text,
    octets,
).map(lambda each: Asked(*each))
told: Any = st.dictionaries(
    text, st.booleans() | text | st.integers(-(2**63), 2**63 - 1), max_size=4
)
lines = st.tuples(text, st.lists(text, max_size=3).map(tuple))
fields = st.lists(lines, max_size=3, unique_by=lambda each: each[0]).map(
    lambda each: tuple((f"http.request.header.{name}", values) for name, values in each)
)
servers = st.tuples(own, asked, raw, st.integers(0, 2**40), seconds, seconds, fields).map(
    lambda each: SpanRecord(*each)
)
kinds = st.sampled_from(["client", "internal"])
errors = st.sampled_from(["", "KeyError"])
children = st.tuples(own, text, kinds, told, seconds, seconds, errors).map(
    lambda each: ChildRecord(*each)
)
records = servers | children

READABLE = Readable(*identity("1"), frozenset())
ENCODER = Encoder(
    *surroundings(
        READABLE(
            [
                SpanRecord(
                    OwnSpan(1, 1, 0, "", True),
                    Asked("/", b"", b"", "", 0, "", b""),
                    ("GET", "http", "", 200, "1.1", "", "miss"),
                    0,
                    0.0,
                    0.0,
                )
            ]
        )
    ),
    frozenset(),
)


def spans(request: Any) -> list[Any]:
    """The spans of a request without their times, which the clocks decide, in one order."""
    found = [
        span
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    for span in found:
        span.ClearField("start_time_unix_nano")
        span.ClearField("end_time_unix_nano")
        in_order = sorted(span.attributes, key=lambda each: each.key)
        del span.attributes[:]
        span.attributes.extend(in_order)
    return found


@given(st.lists(records, min_size=1, max_size=5))
def test_bytes_read_as_those_of_the_sdk(batch: Sequence[Record]) -> None:
    ours = ExportTraceServiceRequest.FromString(ENCODER(batch))
    theirs = encode_spans(READABLE(batch))
    assert spans(ours) == spans(theirs)
    (about,) = ours.resource_spans
    (known,) = theirs.resource_spans
    assert about.resource == known.resource
    assert about.schema_url == known.schema_url
    assert [scope.scope for scope in about.scope_spans] == [
        scope.scope for scope in known.scope_spans
    ]


@given(seconds, st.floats(0, 100))
def test_a_span_lasts_as_long_as_its_request(started: float, lasts: float) -> None:
    span = OwnSpan(1, 1, 0, "", True)
    record = ChildRecord(span, "work", "internal", {}, started, started + lasts)
    (told,) = ExportTraceServiceRequest.FromString(ENCODER([record])).resource_spans[0].scope_spans
    (one,) = told.spans
    assert abs(one.end_time_unix_nano - one.start_time_unix_nano - lasts * 1e9) < 1000


@given(st.integers(0, 2**64 - 1))
def test_numbers_are_written_in_groups_of_seven_bits(number: int) -> None:
    written = varint(number)
    assert all(byte & 128 for byte in written[:-1])
    assert not written[-1] & 128
    assert sum((byte & 127) << 7 * at for at, byte in enumerate(written)) == number


def test_what_is_remembered_is_bounded() -> None:
    for n in range(3 * MOST_KNOWN):
        facts = ("GET", "http", f"/{n}", 200, "1.1", "", "miss")
        asked = Asked(f"/{n}", b"a=%d" % n, b"h%d" % n, "", 0, f"c{n}", b"u%d" % n)
        ENCODER([SpanRecord(OwnSpan(1, 1, 0, "", True), asked, facts, 0, 0.0, 0.0)])
        held: tuple[Any, ...] = (ENCODER._still, ENCODER._paths, ENCODER._agents, ENCODER._clients)
        assert all(len(known) <= MOST_KNOWN + 1 for known in held)
        assert len(ENCODER._queries) <= MOST_KNOWN + 1
