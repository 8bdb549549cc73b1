"""What spans say of requests, and what they keep to themselves."""

from __future__ import annotations

from base64 import b64encode
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw import Suite
from apsperf_mw.asgi_gate import ASGIExchange
from apsperf_mw.observe.spans import (
    MOST_PATH,
    MOST_QUERY,
    asked,
    authority,
    clean,
    redacted,
    told_path,
)
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


KEYS: dict[str, Any] = {
    "hex": lambda random: f"{random.getrandbits(128):032x}",
    "base64": lambda random: b64encode(random.randbytes(24), b"-_").decode() + "0aZ",
    "jwt": lambda random: f"eyJhbGciOiJIUzI1NiJ9.{random.getrandbits(200):x}.x",
    "mail": lambda random: f"p{random.getrandbits(40)}@shop.test",
}
PLACES: dict[str, Any] = {
    "value": lambda key: (f"/a?token={key}", {}),
    "second value": lambda key: (f"/a?page=2&a[b]={key}", {}),
    "name": lambda key: (f"/a?{key}=1", {}),
    "alone": lambda key: (f"/a?{key}", {}),
    "escaped": lambda key: (f"/a?%74oken%3D{key}", {}),
    "segment": lambda key: (f"/reset/{key}", {}),
    "middle": lambda key: (f"/reset/{key}/confirm", {}),
    "matrix": lambda key: (f"/a;sid={key}", {}),
    "authorization": lambda key: ("/a", {"Authorization": f"Bearer {key}"}),
    "cookie": lambda key: ("/a", {"Cookie": f"sid={key}"}),
    "header": lambda key: ("/a", {"X-Api-Key": key}),
    "referer": lambda key: ("/a", {"Referer": f"https://shop.test/?k={key}"}),
    "forwarded": lambda key: ("/a", {"X-Forwarded-For": key, "Forwarded": f"for={key}"}),
    "trace": lambda key: ("/a", {"traceparent": key, "tracestate": f"a={key}"}),
    "baggage": lambda key: ("/a", {"baggage": f"a={key}", "b3": key}),
}


@pytest.mark.parametrize("cache", [True, False])
def test_a_thousand_secrets_are_told_nowhere(
    wrap: Wrap, caplog: pytest.LogCaptureFixture, *, cache: bool
) -> None:
    caplog.set_level("DEBUG")
    random, secrets = Random(20), list[str]()
    client = wrap(
        lambda _: page(*MINUTE),
        cache={"enabled": cache},
        logging={"threshold": "debug", "slow_request_s": 1e-9, "json": True},
        timing={"request_id": True},
    )
    while len(secrets) < 1000:
        for make in KEYS.values():
            for place in PLACES.values():
                secrets.append(make(random))
                client.ask(*place(secrets[-1]))
    told = "".join(span.to_json() for span in exported(client)) + caplog.text
    memory = client.suite.exporter.memory
    assert memory is not None
    assert memory.metrics is not None
    told += memory.metrics.to_json()
    assert "slow request" in told
    assert "/reset/REDACTED/confirm" in told
    assert [secret for secret in secrets if secret in told] == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/albums/the-dark-side-of-the-moon-1973", None),
        ("/documents/123e4567-e89b-12d3-a456-426614174000", None),
        ("/x/Antidisestablishmentarianism", None),
        ("/static/js/app.5f2b9c1d.js", None),
        ("/2026/11/26/9999999999999999999999", None),
        ("/k/sk-live-AbC123AbC123AbC123AbC1", "/k/REDACTED"),
        ("/a;b=1/c", "/a;b=REDACTED/c"),
        ("", None),
    ],
)
def test_paths_keep_words_and_numbers(path: str, told: str | None) -> None:
    assert told_path(path) == (path if told is None else told)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (b"", ""),
        (b"0123456789abcdef0123456789=1", "REDACTED"),
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


@pytest.mark.parametrize(
    ("sends", "status"),
    [
        ([{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1000}], 101),
        ([{"type": "websocket.close", "code": 1008}], 403),
        ([{"type": "websocket.http.response.start", "status": 401, "headers": []},
          {"type": "websocket.http.response.body", "body": b""}], 401),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cache", [True, False])
def test_a_websocket_is_one_span_with_the_statements_of_its_app(
    make_suite: Callable[..., Suite], sends: list[Any], status: int, *, cache: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with suite.statement("SELECT 1", "sqlite"):
            for message in sends:
                await send(message)

    suite = make_suite(cache={"enabled": cache})

    def describe(_: Any, plan: Any) -> None:
        plan.route = "/live/{room}"

    wrapped = suite.asgi(app, describe)
    changes: dict[str, Any] = {"type": "websocket", "scheme": "wss", "path": "/live/5"}
    changes |= {"method": None, "query_string": b"t=1"}
    assert ask(wrapped, **changes) == sends
    assert suite.flush(20)
    memory = suite.exporter.memory
    assert memory is not None
    child, span = memory.spans
    assert child.parent is not None
    assert child.parent == span.context
    assert span.name == "GET /live/{room}"
    assert span.kind.name == "SERVER"
    told = dict(span.attributes or {})
    assert told["http.response.status_code"] == status
    assert told["url.scheme"] == "wss"
    assert told["url.query"] == "t=REDACTED"
    assert "cache.hit" not in told
    assert not memory.points("http.server.request.duration")


def test_a_connection_that_fails_is_a_failed_span(make_suite: Callable[..., Suite]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        raise KeyError("x")

    suite = make_suite(timing={"enabled": False})
    with pytest.raises(KeyError):
        ask(suite.asgi(app), type="websocket")
    assert suite.flush(20)
    memory = suite.exporter.memory
    assert memory is not None
    (span,) = memory.spans
    assert span.status.status_code.name == "ERROR"
    assert (span.attributes or {})["error.type"] == "KeyError"
    assert not memory.points("apsperf.websocket.duration")
