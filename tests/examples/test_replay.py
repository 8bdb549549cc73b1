"""The demo's parts: workload, client, sink, report."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from urllib.request import Request, urlopen

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from examples.replay.client import Client
from examples.replay.race import Outcome, Tally
from examples.replay.report import Figures, percentile, table, verdict
from examples.replay.sink import listening
from examples.replay.workload import ALBUM, CHUNK, FRONT, PRIVATE, Ask, read_log, workload


def pages(requests: int, seed: int = 1) -> list[str]:
    return [ask.target for chunk in workload(requests, seed, "secret") for ask in chunk.reads]


def test_the_log_has_4000_successful_gets() -> None:
    log = read_log()

    assert len(log) == 4000
    assert all(path.startswith(("/", "http")) for _, path in log)


def test_pages_come_in_the_order_and_with_the_repetition_of_the_log() -> None:
    paths = [path for _, path in read_log()]
    replayed = pages(4000)

    assert len(set(zip(paths, replayed, strict=True))) == len(set(paths))
    assert sorted(Counter(paths).values()) == sorted(Counter(replayed).values())


def test_the_most_requested_paths_become_the_front_pages() -> None:
    ranked = [page for page, _ in Counter(pages(4000)).most_common(len(FRONT))]

    assert set(ranked[:3]) == set(FRONT[:3])
    assert set(ranked) == set(FRONT)


def test_the_same_seed_draws_the_same_and_another_one_does_not() -> None:
    assert workload(500, 1, "secret") == workload(500, 1, "secret")
    assert pages(500, seed=1) != pages(500, seed=2)


def test_past_its_end_the_log_begins_again() -> None:
    replayed = pages(4100)

    assert len(replayed) == 4100
    assert replayed[4000:] == replayed[:100]


def test_only_the_private_page_is_asked_with_a_cookie() -> None:
    asks = [ask for chunk in workload(4000, 1, "secret") for ask in chunk.reads]

    assert {bool(ask.fields) for ask in asks if ask.target == PRIVATE} == {True}
    assert not any(ask.fields for ask in asks if ask.target != PRIVATE)
    assert len({ask.fields for ask in asks}) > 20


def test_each_chunk_ends_with_a_write() -> None:
    chunks = workload(4 * CHUNK + 1, 1, "secret")

    assert [len(chunk.reads) for chunk in chunks] == [CHUNK] * 4 + [1]
    assert [chunk.write.method for chunk in chunks] == ["POST"] * 4 + ["PUT"]
    assert chunks[0].write.target == f"{ALBUM}/reviews"


async def play(wire: bytes, asks: list[Ask], *, close: bool = False) -> list[tuple[int, bytes]]:
    """What the client makes of a server that answers each request with these bytes."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(wire)
            if close:
                break
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        client = await Client.open(server.sockets[0].getsockname()[1], 2)
        try:
            replies, _ = await client.play(asks)
        finally:
            client.close()
            for writer in writers:
                await writer.wait_closed()
    return [(reply.status, b"".join(reply.chunks)) for reply in replies]


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
    ],
)
def test_the_client_reads_both_framings_and_keeps_connections(wire: bytes) -> None:
    assert asyncio.run(play(wire, [Ask("GET", "/")] * 5)) == [(200, b"body")] * 5


@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody", b"no"])
def test_the_client_says_so_when_a_response_does_not_come_whole(wire: bytes) -> None:
    with pytest.raises(ConnectionError):
        asyncio.run(play(wire, [Ask("GET", "/")], close=True))


def spans(count: int) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(count):
        scope.spans.add(name="GET /")
    return bytes(request.SerializeToString())


def points() -> bytes:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    scope.metrics.add(name="a").gauge.data_points.add(as_int=1)
    histogram = scope.metrics.add(name="b").histogram
    histogram.data_points.add(count=1)
    histogram.data_points.add(count=2)
    scope.metrics.add(name="empty")
    return bytes(request.SerializeToString())


def test_the_sink_counts_spans_and_points_over_http() -> None:
    with listening() as sink:
        for path, body in (("traces", spans(3)), ("traces", spans(2)), ("metrics", points())):
            urlopen(Request(f"{sink.url}/v1/{path}", body)).close()
        packed = Request(
            f"{sink.url}/v1/traces", gzip.compress(spans(1)), {"Content-Encoding": "gzip"}
        )
        urlopen(packed).close()

        assert (sink.spans, sink.metric_points, sink.exports) == (6, 3, 1)
        assert not sink.wait_for_exports(1, timeout_s=0)


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 1), (50, 50), (95, 95), (99, 99), (100, 100)]
)
def test_percentiles_of_a_hundred(percent: int, expected: int) -> None:
    assert percentile(range(1, 101), percent) == expected


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert {percentile([7.0], percent) for percent in (1, 50, 99, 100)} == {7.0}


def test_the_table_shows_both_shops_and_what_was_saved() -> None:
    bare = Tally(requests=10, elapsed_s=1.0, latencies_s=[0.1] * 10, app_calls=10, sql_statements=8)
    wrapped = Tally(
        requests=10, hits=5, elapsed_s=0.5, latencies_s=[0.05] * 10, app_calls=5, sql_statements=2
    )
    shown = table(Figures.of(bare), Figures.of(wrapped))

    assert "2.0 times as many" in shown
    assert "50.0%" in shown
    assert "5 saved (50%)" in shown
    assert "6 saved (75%)" in shown


def test_the_verdict_names_what_differs() -> None:
    outcome = Outcome(identical=3, different=["GET /charts: 200, 500"])

    assert verdict(outcome).startswith("1 of 4 responses DIFFER")
    assert "GET /charts: 200, 500" in verdict(outcome)
    assert verdict(Outcome(identical=4)).startswith("4 responses identical")
