"""What spans say of requests, and what they keep to themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw import Suite
from apsperf_mw.asgi_gate import ASGIExchange
from apsperf_mw.observe.spans import MOST_PATH, MOST_QUERY, asked, authority, clean, redacted
from apsperf_mw.testing.messages import Response
from tests.observe.raw import ask, scope
from tests.observe.support import MINUTE, exported, page, plain, points

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.testing.harness import Client

    Wrap = Callable[..., Client]


def exchange(**changes: Any) -> ASGIExchange:
    return ASGIExchange(scope(**changes), "GET", 0.0)


def test_the_attributes_of_a_span(wrap: Wrap) -> None:
    client = wrap(plain)
    client.ask("/items/5?q=1", {"User-Agent": "curl/8", "Host": "shop.test:8080"})
    (span,) = exported(client)
    assert span.name == "GET /items/{id}"
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/items/5",
        "url.query": "q=REDACTED",
        "network.protocol.version": "1.1",
        "server.address": "shop.test",
        "server.port": 8080,
        "client.address": "192.0.2.1",
        "network.peer.address": "192.0.2.1",
        "user_agent.original": "curl/8",
        "apsperf.cache.result": "miss",
        "cache.hit": False,
        "http.response.status_code": 200,
        "http.route": "/items/{id}",
    }
    assert span.kind.name == "SERVER"
    assert span.status.status_code.name == "UNSET"
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time < span.end_time


def test_a_hit_says_so(wrap: Wrap) -> None:
    client = wrap(lambda _: page(*MINUTE, body=[b"12345"]))
    client.ask()
    client.ask()
    span = exported(client)[1]
    assert span.attributes is not None
    assert span.attributes["cache.hit"] is True
    assert span.attributes["apsperf.cache.result"] == "hit"
    assert span.attributes["cache.item_size"] == 5


def test_an_unknown_method_and_route(wrap: Wrap) -> None:
    client = wrap(lambda _: Response(404, (), [b"no"]))
    client.ask("/nowhere", method="BREW")
    (span,) = exported(client)
    assert span.name == "HTTP"
    assert span.attributes is not None
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "BREW"
    assert "http.route" not in span.attributes
    assert span.status.status_code.name == "UNSET"


@pytest.mark.parametrize("status", [500, 502])
def test_a_server_error_is_an_error(wrap: Wrap, status: int) -> None:
    client = wrap(lambda _: page(status=status))
    client.ask()
    (span,) = exported(client)
    assert span.status.status_code.name == "ERROR"
    assert span.attributes is not None
    assert span.attributes["error.type"] == str(status)


def test_secrets_are_in_no_span_and_no_metric(wrap: Wrap) -> None:
    client = wrap(lambda _: page(error=ValueError("s3cret in a message")))
    headers = {"Authorization": "Bearer s3cret", "Cookie": "sid=s3cret", "X-Api-Key": "s3cret"}
    with pytest.raises(ValueError, match="s3cret"):
        client.ask("/items/5?token=s3cret&s3cret&%74oken%3Ds3cret&a;b=s3cret", headers)
    (span,) = exported(client)
    assert "s3cret" not in span.to_json()
    assert points(client, "http.server.request.duration")
    memory = client.suite.exporter.memory
    assert memory is not None
    assert memory.metrics is not None
    assert "s3cret" not in memory.metrics.to_json()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (b"", ""),
        (b"a=1&b=2", "a=REDACTED&b=REDACTED"),
        (b"a=1=2", "a=REDACTED"),
        (b"a=", "a=REDACTED"),
        (b"a[]=1&a.b=2&a-b=3", "a[]=REDACTED&a.b=REDACTED&a-b=REDACTED"),
        (b"d41d8cd98f00b204", "REDACTED"),
        (b"=1", "REDACTED"),
        (b"a%3D1=2", "REDACTED"),
        (b"&&a=1", "&&a=REDACTED"),
        (b"x" * 65 + b"=1", "REDACTED"),
        (b"\xff\x1b[31m=1", "REDACTED"),
    ],
)
def test_queries_keep_their_names_alone(query: bytes, told: str) -> None:
    assert redacted(query) == told


@given(st.binary(max_size=300))
def test_a_redacted_query_is_short_and_printable(query: bytes) -> None:
    told = redacted(query)
    assert len(told) <= MOST_PATH
    assert told.isascii()
    assert told.isprintable()


@pytest.mark.parametrize(
    ("host", "scheme", "told"),
    [
        (b"shop.test", "http", ("shop.test", 80)),
        (b"shop.test", "https", ("shop.test", 443)),
        (b"shop.test:8443", "https", ("shop.test", 8443)),
        (b"[2001:db8::1]:8080", "http", ("2001:db8::1", 8080)),
        (b"[::1]", "http", ("::1", 80)),
        (b"192.0.2.7:80", "http", ("192.0.2.7", 80)),
        (b"shop.test:99999", "http", ("shop.test", 0)),
        (b"", "http", ("10.0.0.1", 8000)),
        (b"shop.test:", "http", ("10.0.0.1", 8000)),
        (b"a@b", "http", ("10.0.0.1", 8000)),
        (b"<script>", "http", ("10.0.0.1", 8000)),
        (b"x" * 254, "http", ("10.0.0.1", 8000)),
        (b"\xff", "http", ("10.0.0.1", 8000)),
    ],
)
def test_the_server_is_the_one_that_was_asked_for(
    host: bytes, scheme: str, told: tuple[str, int]
) -> None:
    assert authority(asked(exchange(headers=[(b"host", host)])), scheme) == told


@pytest.mark.parametrize("headers", [[], [(b"host", b"a.test"), (b"host", b"b.test")]])
def test_without_one_host_the_server_is_the_one_that_listens(headers: list[Any]) -> None:
    def told(**server: Any) -> tuple[str, int]:
        return authority(asked(exchange(headers=headers, **server)), "http")

    assert told() == ("10.0.0.1", 8000)
    assert told(server=None) == ("", 0)
    assert told(server=("/run/app.sock", None)) == ("/run/app.sock", 0)


def test_what_waits_for_export_is_small() -> None:
    kept = asked(
        exchange(
            path="/" + "x" * 70_000,
            query_string=b"x" * 70_000,
            headers=[(b"user-agent", b"x" * 70_000)],
        )
    )
    assert len(kept.path) == MOST_PATH
    assert len(kept.query) == MOST_QUERY
    assert len(kept.agent) == 256


@pytest.mark.parametrize(("text", "told"), [("é", "é"), ("a\ud800b", "a?b"), ("plain", "plain")])
def test_text_that_cannot_be_encoded(text: str, told: str) -> None:
    assert clean(text) == told


def test_five_thousand_odd_requests_make_few_series(make_suite: Callable[..., Suite]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    suite = make_suite(tracing={"sample_ratio": 0.0})
    wrapped = suite.asgi(app)

    for n in range(5000):
        odd = {
            "method": f"M{n}",
            "scheme": f"s{n}",
            "http_version": f"9.{n}",
            "path": f"/{n}",
            "headers": [(b"host", b"h%d.test" % n), (b"user-agent", b"u%d" % n)],
        }
        run_step(wrapped, **odd)
    assert suite.flush(20)
    memory = suite.exporter.memory
    assert memory is not None
    (point,) = memory.points("http.server.request.duration")
    assert point.count == 5000
    assert len(memory.points("apsperf.cache.requests")) == 1


def run_step(app: Any, **changes: Any) -> None:
    """One request whose app never waits, without an event loop."""

    async def send(message: Any) -> None:
        """Take it."""

    call = app(scope(**changes), None, send)
    with pytest.raises(StopIteration):
        call.send(None)


def test_a_websocket_makes_no_span(make_suite: Callable[..., Suite]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 1000})

    suite = make_suite()
    wrapped = suite.asgi(app)
    assert ask(wrapped, type="websocket") == [{"type": "websocket.close", "code": 1000}]
    assert suite.flush(20)
    memory = suite.exporter.memory
    assert memory is not None
    assert not memory.spans
    assert not memory.points("http.server.request.duration")
