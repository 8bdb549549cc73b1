"""One span a request, made by the suite itself, and its context for the app."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import propagate, trace

from apsperf_mw.observe.ids import LOW_BITS, bound_of
from apsperf_mw.testing.messages import Request, Response
from tests.observe.support import MINUTE, PARENT, TRACE, exported, page, plain, traceparent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.trace import SpanContext

    from apsperf_mw.testing.harness import Client

    Wrap = Callable[..., Client]


class Inside:
    """An app that notes the current span, and what a request of its own would carry."""

    def __init__(self) -> None:
        self.contexts: list[SpanContext] = []
        self.carriers: list[dict[str, str]] = []

    def __call__(self, request: Request) -> Response:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        self.carriers.append(carrier)
        self.contexts.append(trace.get_current_span().get_span_context())
        return page()


def stream(_: Request) -> Response:
    return Response(200, (), iter([b"%d" % n for n in range(50)]))


@pytest.mark.parametrize(("app", "method"), [(plain, "GET"), (stream, "GET"), (plain, "HEAD"),
                                            (plain, "POST"), (plain, "OPTIONS")])  # fmt: skip
def test_one_span_a_request(wrap: Wrap, app: Any, method: str) -> None:
    client = wrap(app)
    client.ask(method=method)
    assert len(exported(client)) == 1


def test_one_span_of_a_hit_and_of_a_not_modified(wrap: Wrap) -> None:
    client = wrap(lambda _: page(*MINUTE, ("ETag", '"1"')))
    client.ask()
    client.ask()
    assert client.ask("/", {"If-None-Match": '"1"'}).status == 304
    statuses = [(span.attributes or {})["http.response.status_code"] for span in exported(client)]
    assert statuses == [200, 200, 304]


def test_one_span_of_a_failure(wrap: Wrap) -> None:
    client = wrap(lambda _: page(error=KeyError("x")))
    with pytest.raises(KeyError):
        client.ask()
    (span,) = exported(client)
    assert span.status.status_code.name == "ERROR"
    assert span.status.description is None
    assert (span.attributes or {})["error.type"] == "KeyError"


def test_one_span_of_a_stream_that_breaks(wrap: Wrap) -> None:
    def broken() -> Iterator[bytes]:
        yield b"part"
        raise ConnectionError("broken")

    client = wrap(lambda _: Response(200, (), broken()))
    with pytest.raises(OSError, match="broken"):
        client.ask()
    (span,) = exported(client)
    assert (span.attributes or {})["error.type"] == "ConnectionError"


def test_a_root(wrap: Wrap) -> None:
    inside = Inside()
    client = wrap(inside)
    client.ask()
    (span,) = exported(client)
    assert span.parent is None
    assert span.context == inside.contexts[0]
    assert span.context is not None
    assert span.context.is_valid
    assert span.context.trace_flags.sampled


def test_the_callers_trace_goes_on(wrap: Wrap) -> None:
    inside = Inside()
    client = wrap(inside, tracing={"trust_remote_parent": True})
    headers = {"traceparent": traceparent(), "tracestate": "rojo=1,congo=2"}
    client.ask("/", headers)
    (span,) = exported(client)
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert span.parent.is_remote
    own = f"{span.context.span_id:016x}"
    assert own != PARENT
    assert inside.carriers == [
        {"traceparent": f"00-{TRACE}-{own}-01", "tracestate": "rojo=1,congo=2"}
    ]
    assert span.context.trace_state.to_header() == "rojo=1,congo=2"


def test_a_stream_sees_its_span_while_it_is_pulled(wrap: Wrap) -> None:
    seen: list[SpanContext] = []

    def body() -> Iterator[bytes]:
        for _ in range(2):
            seen.append(trace.get_current_span().get_span_context())
            yield b"part"

    client = wrap(lambda _: Response(200, (), body()))
    client.ask()
    (span,) = exported(client)
    assert seen == [span.context] * 2


def test_nothing_is_left_in_the_context(wrap: Wrap) -> None:
    client = wrap(Inside())
    client.ask()
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_trace_that_is_not_sampled_is_told_so_to_others(wrap: Wrap) -> None:
    inside = Inside()
    client = wrap(inside, tracing={"sample_ratio": 1.0, "trust_remote_parent": True})
    client.ask("/", {"traceparent": traceparent("00"), "tracestate": "a=1"})
    assert exported(client) == []
    assert inside.carriers[0]["traceparent"].startswith(f"00-{TRACE}-")
    assert inside.carriers[0]["traceparent"].endswith("-00")
    assert inside.carriers[0]["tracestate"] == "a=1"
    assert f"{inside.contexts[0].span_id:016x}" != PARENT


def test_a_trace_of_our_own_that_is_not_sampled_is_told_so_too(wrap: Wrap) -> None:
    inside = Inside()
    client = wrap(inside, tracing={"sample_ratio": 0.0})
    client.ask()
    client.ask("/", {"traceparent": traceparent(), "tracestate": "a=1"})
    assert exported(client) == []
    for context, carrier in zip(inside.contexts, inside.carriers, strict=True):
        assert context.is_valid
        assert not context.trace_flags.sampled
        assert f"{context.trace_id:032x}" != TRACE
        assert carrier == {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-00"}
    assert inside.contexts[0].trace_id != inside.contexts[1].trace_id


@pytest.mark.parametrize("caches", [True, False])
def test_the_span_of_a_caller_who_is_not_trusted_is_linked_to(wrap: Wrap, *, caches: bool) -> None:
    client = wrap(plain, cache={"enabled": caches})
    client.ask("/", {"traceparent": traceparent(), "tracestate": "a=1"})
    (span,) = exported(client)
    assert span.parent is None
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" != TRACE
    assert not span.context.trace_state
    (link,) = span.links
    assert f"{link.context.trace_id:032x}" == TRACE
    assert f"{link.context.span_id:016x}" == PARENT
    assert link.context.is_remote


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Host": "shop.example:8080", "User-Agent": "Mozilla/5.0"},
        {"Host": "h" * 5000, "User-Agent": "a" * 5000, "baggage": "user=7"},
    ],
)
def test_a_span_says_the_same_where_no_cache_is_asked(wrap: Wrap, fields: dict[str, str]) -> None:
    told = []
    for caches in (True, False):
        client = wrap(plain, cache={"enabled": caches})
        client.ask("/caf%C3%A9/5?a=1&b=2", fields)
        (span,) = exported(client)
        attributes = dict(span.attributes or {})
        del attributes["apsperf.cache.result"]
        told.append(attributes)
    assert told[0] == told[1]
    assert told[0]["url.path"] == "/caf\u00e9/5"


@pytest.mark.parametrize(
    ("networks", "trusted"),
    [
        (["192.0.2.0/24"], True),
        (["10.0.0.0/8", "192.0.2.1"], True),
        (["10.0.0.0/8"], False),
        (["::/0"], False),
    ],
)
def test_a_proxy_that_is_named_is_trusted(wrap: Wrap, networks: list[str], trusted: bool) -> None:
    client = wrap(plain, tracing={"sample_ratio": 1.0, "trusted_proxies": networks})
    client.ask("/", {"traceparent": traceparent()})
    (span,) = exported(client)
    assert (span.parent is not None) == trusted


@pytest.mark.parametrize(
    ("ratio", "trusts", "flags", "spans"),
    [
        (0.0, False, "01", 0),
        (0.0, True, "01", 1),
        (1.0, False, "00", 1),
        (1.0, True, "00", 0),
    ],
)
def test_whose_decision_counts(
    wrap: Wrap, ratio: float, trusts: bool, flags: str, spans: int
) -> None:
    client = wrap(plain, tracing={"sample_ratio": ratio, "trust_remote_parent": trusts})
    client.ask("/", {"traceparent": traceparent(flags)})
    assert len(exported(client)) == spans


@pytest.mark.parametrize("line", ["", "junk", traceparent() + "-more", traceparent(trace="0" * 32)])
def test_a_traceparent_that_is_none_begins_a_new_trace(wrap: Wrap, line: str) -> None:
    client = wrap(plain)
    client.ask("/", {"traceparent": line, "tracestate": "a=1"})
    (span,) = exported(client)
    assert span.parent is None
    assert span.context is not None
    assert not span.context.trace_state


def test_the_share_of_traces_goes_by_their_ids(wrap: Wrap) -> None:
    inside = Inside()
    client = wrap(inside, tracing={"sample_ratio": 0.5})
    for _ in range(64):
        client.ask()
    kept = {span.context.trace_id for span in exported(client) if span.context}
    assert 0 < len(kept) < 64
    assert len({context.trace_id for context in inside.contexts}) == 64
    for context in inside.contexts:
        below = context.trace_id & LOW_BITS < bound_of(0.5)
        assert below == context.trace_flags.sampled == (context.trace_id in kept)


@pytest.mark.parametrize(
    ("path", "spans"),
    [("/health", 0), ("/health/deep", 0), ("/one", 1), ("/one/more", 0), ("/", 0)],
)
def test_paths_have_shares_of_their_own(wrap: Wrap, path: str, spans: int) -> None:
    rules = ["/health*=0", "/one=1.0", "/*=0"]
    client = wrap(plain, tracing={"sample_ratio": 1.0, "rules": rules})
    client.ask(path)
    assert len(exported(client)) == spans


def test_failures_and_slow_requests_are_kept_where_they_are_asked_for(wrap: Wrap) -> None:
    def app(request: Request) -> Response:
        if request.target == "/slow":
            sleep(0.06)
        return page(status=500 if request.target == "/broken" else 200)

    inside = {"sample_ratio": 0.0, "errors": True, "slow_s": 0.05}
    client = wrap(app, tracing=inside)
    for path in ("/", "/slow", "/broken"):
        client.ask(path)
    told = [(span.attributes or {})["url.path"] for span in exported(client)]
    assert told == ["/slow", "/broken"]


def test_a_span_that_is_kept_late_is_the_one_that_others_were_told_of(wrap: Wrap) -> None:
    inside = Inside()
    client = wrap(inside, tracing={"sample_ratio": 0.0, "slow_s": 1e-9})
    client.ask()
    (span,) = exported(client)
    assert span.context is not None
    assert span.context.span_id == inside.contexts[0].span_id
    assert span.context.trace_id == inside.contexts[0].trace_id


@pytest.mark.parametrize(
    "settings", [{"tracing": {"enabled": False}}, {"exporter": {"kind": "auto"}}]
)
def test_nothing_is_traced_where_nothing_takes_it(wrap: Wrap, settings: Any) -> None:
    inside = Inside()
    client = wrap(inside, **settings)
    client.ask()
    assert client.suite.flush(20)
    assert not inside.contexts[0].is_valid
    assert inside.carriers == [{}]
    memory = client.suite.exporter.memory
    assert memory is None or not memory.spans


def test_the_span_in_the_context_tells_what_it_is(wrap: Wrap) -> None:
    told: list[str] = []

    def app(_: Request) -> Response:
        span = trace.get_current_span()
        span.set_attribute("a", 1)
        span.add_event("b")
        told.append(repr(span))
        assert not span.is_recording()
        return page()

    client = wrap(app, tracing={"sample_ratio": 0.0})
    client.ask()
    assert "trace_id=0x" in told[0]


@pytest.mark.parametrize("cache", [True, False])
def test_the_environment_keeps_paths_out(
    wrap: Wrap, monkeypatch: pytest.MonkeyPatch, cache: bool
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_EXCLUDED_URLS", "healthz$, ^/internal/")
    told = {"sample_ratio": 1.0, "trust_remote_parent": True, "errors": True}
    client = wrap(lambda _: page(status=500), tracing=told, cache={"enabled": cache})
    paths = ("/healthz", "/internal/1", "/healthz/deep", "/albums")
    for path in paths:
        client.ask(path, {"traceparent": traceparent()} if path != "/albums" else {})
    seen = [(span.attributes or {})["url.path"] for span in exported(client)]
    assert seen == ["/healthz/deep", "/albums"]


def test_a_pattern_that_is_none_is_named(
    wrap: Wrap, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_EXCLUDED_URLS", "(")
    client = wrap(plain)
    client.ask()
    assert len(exported(client)) == 1
    assert "OTEL_PYTHON_EXCLUDED_URLS" in caplog.text


@pytest.mark.parametrize(
    "name", ["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"]
)
def test_the_environment_shortens_values(
    wrap: Wrap, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "5")
    client = wrap(plain)
    client.ask("/a/long/path", {"User-Agent": "curl/8.1"})
    attributes = exported(client)[0].attributes or {}
    assert attributes["url.path"] == "/a/lo"
    assert attributes["user_agent.original"] == "curl/"
    assert attributes["http.response.status_code"] == 200
