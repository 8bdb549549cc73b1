"""What requests leave behind: durations, results, samples and spans, alike on both shells."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from apsperf_mw import Plan, Suite
from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import ASGIClient, WSGIClient
from apsperf_mw.testing.messages import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.testing.harness import Client

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C

TRUSTING = {"sample_ratio": 1.0, "trust_remote_parent": True}

Wrap = "Callable[..., Client]"


@pytest.fixture(params=[ASGIClient, WSGIClient], ids=["asgi", "wsgi"])
def wrap(request: pytest.FixtureRequest) -> Any:
    """A client of an app behind one of the shells, exporting into memory."""
    suites = []

    def make(app: Any, **settings: Any) -> Client:
        settings.setdefault("tracing", {"sample_ratio": 1.0})
        suites.append(
            Suite(exporter={"kind": "memory", **settings.pop("exporter", {})}, **settings)
        )
        client: Client = request.param(suites[-1], app)
        return client

    yield make
    for suite in suites:
        suite.close()


def page(
    *headers: tuple[str, str], status: int = 200, route: str = ""
) -> Callable[[Any], Response]:
    fields = headers or (("Cache-Control", "max-age=60"),)
    return lambda _: Response(status, fields, [b"page"], plan=Plan(route=route))


def points(client: Client, name: str) -> list[Any]:
    assert client.suite.flush(10)
    memory = client.suite.exporter.memory
    assert memory is not None
    return memory.points(name)


def spans(client: Client) -> list[Any]:
    assert client.suite.flush(10)
    memory = client.suite.exporter.memory
    assert memory is not None
    return list(memory.spans)


def test_a_duration_has_the_conventions_bounds_and_attributes(wrap: Any) -> None:
    client = wrap(page(route="/albums/{id}"))
    client.ask("/albums/7")
    [point] = points(client, "http.server.request.duration")
    assert tuple(point.explicit_bounds) == BOUNDS_S
    assert dict(point.attributes) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": "/albums/{id}",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
    }
    assert (point.count, sum(point.bucket_counts)) == (1, 1)
    assert 0 < point.sum < 10


def test_a_hit_is_counted_under_its_route_too(wrap: Any) -> None:
    client = wrap(page(route="/albums/{id}"))
    for _ in range(3):
        client.ask("/albums/7")
    [point] = points(client, "http.server.request.duration")
    assert point.count == 3
    results = {
        point.attributes["apsperf.cache.result"]: (point.value, point.attributes["http.route"])
        for point in points(client, "apsperf.cache.requests")
    }
    assert results == {"miss": (1, "/albums/{id}"), "hit": (2, "/albums/{id}")}


def test_errors_name_their_type(wrap: Any) -> None:
    def app(request: Any) -> Response:
        if request.target == "/raises":
            return Response(error=LookupError("lost"))
        return Response(503, (), [b"busy"])

    client = wrap(app)
    client.ask("/busy")
    with pytest.raises(LookupError):
        client.ask("/raises")
    found = points(client, "http.server.request.duration")
    assert {point.attributes["error.type"] for point in found} == {"503", "LookupError"}


def test_unknown_methods_are_other_and_series_are_bounded(wrap: Any) -> None:
    client = wrap(lambda r: page(route=r.target)(r), exporter={"max_series": 20})
    for number in range(200):
        client.ask(f"/{number}", method=f"M{number}")
    found = points(client, "http.server.request.duration")
    assert len(found) <= 20
    assert sum(point.count for point in found) == 200
    methods = {point.attributes.get("http.request.method") for point in found}
    assert methods == {"_OTHER", None}
    assert any(point.attributes.get("otel.metric.overflow") is True for point in found)


def test_ten_threads_lose_nothing() -> None:
    suite = Suite(exporter={"kind": "memory"})
    client = WSGIClient(suite, page())
    each = 300

    def ask() -> None:
        for _ in range(each):
            client.send(make_request())

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(p.count for p in points(client, "http.server.request.duration")) == 10 * each
    suite.close()


def test_the_process_and_the_cache_are_sampled(wrap: Any) -> None:
    client = wrap(page(), memory={"interval_s": 0.01})
    client.ask()
    [rss] = points(client, "process.memory.usage")
    assert rss.value > 1_000_000
    modes = {point.attributes["cpu.mode"] for point in points(client, "process.cpu.time")}
    assert modes == {"user", "system"}
    assert [point.value for point in points(client, "apsperf.cache.entries")] == [1]


def test_one_server_span_for_a_request_whatever_it_is(wrap: Any) -> None:
    def app(request: Any) -> Response:
        body = (b"%d" % number for number in range(50)) if request.target == "/stream" else [b"x"]
        return Response(200, (("Cache-Control", "max-age=60"),), body)

    client = wrap(app)
    for target in ("/stream", "/page", "/page"):
        client.ask(target)
    client.ask("/page", method="HEAD")
    client.ask("/page", method="POST")
    found = spans(client)
    assert [span.name for span in found] == ["GET", "GET", "GET", "HEAD", "POST"]
    assert {span.kind.name for span in found} == {"SERVER"}
    assert [span.attributes["cache.hit"] for span in found] == [False, False, True, True, False]


def test_a_callers_trace_goes_on(wrap: Any) -> None:
    client = wrap(page(route="/x"), tracing=TRUSTING)
    client.ask(headers={"traceparent": PARENT, "tracestate": "vendor=1"})
    [span] = spans(client)
    assert span.name == "GET /x"
    assert span.context.trace_id == TRACE_ID
    assert span.parent.span_id == 0xB7AD6B7169203331
    assert span.context.trace_state.get("vendor") == "1"


@pytest.mark.parametrize("broken", ["", "00-0-0-0", PARENT.upper(), "ff" + PARENT[2:], "x" * 9999])
def test_a_broken_parent_starts_a_trace(wrap: Any, broken: str) -> None:
    client = wrap(page())
    client.ask(headers={"traceparent": broken})
    [span] = spans(client)
    assert span.parent is None
    assert span.context.trace_id != TRACE_ID


@pytest.mark.parametrize(("trusted", "count"), [(False, 0), (True, 1)])
def test_a_caller_forces_sampling_only_where_it_is_trusted(
    wrap: Any, trusted: bool, count: int
) -> None:
    client = wrap(page(), tracing={"sample_ratio": 0.0, "trust_remote_parent": trusted})
    client.ask(headers={"traceparent": PARENT})
    client.ask()
    assert len(spans(client)) == count


def test_requests_sent_by_the_app_carry_the_trace(wrap: Any) -> None:
    from opentelemetry import propagate

    carriers: list[dict[str, str]] = []

    def app(request: Any) -> Response:
        carriers.append({})
        propagate.inject(carriers[-1])
        return Response(200, (), [b"page"])

    client = wrap(app, tracing=TRUSTING)
    client.ask(headers={"traceparent": PARENT})
    [span] = spans(client)
    sent = carriers[0]["traceparent"].split("-")
    assert (int(sent[1], 16), int(sent[2], 16)) == (TRACE_ID, span.context.span_id)
    from opentelemetry import trace

    assert not trace.get_current_span().get_span_context().is_valid


def test_secrets_are_in_no_span_and_no_metric(wrap: Any) -> None:
    client = wrap(page())
    secret = "hunter2"
    client.ask(
        f"/?token={secret}&a=1",
        headers={"Authorization": f"Bearer {secret}", "Cookie": f"s={secret}"},
    )
    [span] = spans(client)
    assert span.attributes["url.query"] == "token=REDACTED&a=REDACTED"
    memory = client.suite.exporter.memory
    assert memory is not None
    assert secret not in span.to_json()
    assert secret not in str(memory.metrics)


def test_spans_that_wait_are_bounded(wrap: Any) -> None:
    client = wrap(page(), exporter={"max_spans": 10})
    for _ in range(500):
        client.ask()
    assert len(spans(client)) <= 10


def test_server_timing_only_when_asked(wrap: Any) -> None:
    own = page(("Cache-Control", "max-age=60"), ("Server-Timing", "db;dur=1"))
    assert wrap(own).ask().lines("server-timing") == ["db;dur=1"]
    client = wrap(own, timing={"server_timing": "on"})
    first, second = client.ask(), client.ask()
    assert first.lines("server-timing")[0] == "db;dur=1"
    assert "cache;desc=miss" in first.lines("server-timing")[1]
    assert "cache;desc=hit" in second.lines("server-timing")[-1]


def test_layers_can_be_switched_off(wrap: Any) -> None:
    off = {name: {"enabled": False} for name in ("timing", "memory", "tracing")}
    client = wrap(page(), **off)
    client.ask()
    assert client.ask().cache.hit
    assert not client.suite.exporter.started


def test_an_observer_that_raises_is_counted_and_not_felt(wrap: Any) -> None:
    from apsperf_mw.hooks import Hooks

    class Broken:
        def start(self, x: object) -> None:
            raise RuntimeError("start")

        def head(self, x: object, headers: object) -> None:
            raise RuntimeError("head")

        def end(self, x: object) -> None:
            raise RuntimeError("end")

    suite = Suite()
    suite.hooks = Hooks([Broken()], suite.faults)
    client = type(wrap(page()))(suite, page())
    for _ in range(3):
        assert client.ask().body == b"page"
    assert suite.faults.counts.total() == 9


def test_no_thread_before_the_first_request_and_none_after_the_suite(
    started: list[threading.Thread],
) -> None:
    import gc
    import weakref

    suite = Suite()
    assert not started
    WSGIClient(suite, page()).ask()
    [thread] = started
    gone = weakref.ref(suite.exporter)
    del suite
    for _ in range(100):
        gc.collect()  # again: a tick under way holds the exporter
        thread.join(0.1)
        if not thread.is_alive():
            break
    assert not thread.is_alive()
    assert gone() is None


def test_two_suites_do_not_see_each_other(wrap: Any) -> None:
    one, other = wrap(page()), wrap(page())
    one.ask()
    assert len(spans(one)) == 1
    assert not other.ask().cache.hit
    assert len(spans(other)) == 1
