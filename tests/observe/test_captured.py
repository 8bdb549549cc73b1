"""Header fields that spans tell: those that are asked for, and never a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw import Suite
from apsperf_mw.observe.captured import MOST_FIELDS, MOST_LINES, MOST_NAMES, Asked, Names
from apsperf_mw.observe.environment import HIDDEN_HEADERS, REQUEST_HEADERS, RESPONSE_HEADERS
from apsperf_mw.observe.spans import MOST_TEXT, UNTOLD, told_value
from tests.observe.raw import ask
from tests.observe.support import MINUTE, exported, make_client, page, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.testing.harness import Client
    from tests.observe.conftest import Program
    from tests.observe.support import Sink

    Wrap = Callable[..., Client]

ALL = {"sample_ratio": 1.0, "request_headers": ["*"], "response_headers": ["*"]}
HEX = "9f86d081884c7d659a2feaa0c55ad015"
ASKED, ANSWERED = "http.request.header.", "http.response.header."


def told(client: Client) -> list[dict[str, Any]]:
    """What the spans tell of fields."""
    return [
        {name: value for name, value in (span.attributes or {}).items() if ".header." in name}
        for span in exported(client)
    ]


@pytest.mark.parametrize("cache", [True, False])
def test_the_fields_that_are_asked_for_are_told(wrap: Wrap, cache: bool) -> None:
    fields = {"request_headers": ["x-tenant", "X-Plan-*"], "response_headers": ["content-language"]}
    client = wrap(
        lambda _: page(("Content-Language", "de"), ("X-Other", "no")),
        tracing={"sample_ratio": 1.0, **fields},
        cache={"enabled": cache},
    )
    client.ask("/", {"X-Tenant": "blue", "x-plan-a": "gold", "x-planned": "no", "Accept": "*/*"})
    assert told(client) == [
        {
            f"{ASKED}x-tenant": ("blue",),
            f"{ASKED}x-plan-a": ("gold",),
            f"{ANSWERED}content-language": ("de",),
        }
    ]


def test_nothing_is_kept_where_nothing_is_asked_for(wrap: Wrap) -> None:
    client = wrap(lambda _: page(("Content-Language", "de")))
    client.ask("/", {"X-Tenant": "blue"})
    assert told(client) == [{}]
    assert client.suite.recorder is not None
    assert client.suite.recorder.captures is None
    assert client.suite.hooks.look_on == ()
    assert Suite(cache={"enabled": False}).only_watches
    assert not Suite(cache={"enabled": False}, tracing=ALL).only_watches
    assert Suite(cache={"enabled": False}, tracing={**ALL, "enabled": False}).only_watches


def test_a_hit_and_a_not_modified_tell_theirs(wrap: Wrap) -> None:
    client = wrap(
        lambda _: page(*MINUTE, ("ETag", '"1"'), ("Content-Language", "de")),
        tracing={"sample_ratio": 1.0, "response_headers": ["content-language", "cache-status"]},
    )
    client.ask()
    client.ask()
    assert client.ask("/", {"If-None-Match": '"1"'}).status == 304
    first, second, third = told(client)
    assert first[f"{ANSWERED}content-language"] == ("de",)
    assert second[f"{ANSWERED}content-language"] == ("de",)
    assert "hit" in second[f"{ANSWERED}cache-status"][0]
    assert third.keys() <= second.keys()


def test_what_the_suite_adds_is_told_too(wrap: Wrap) -> None:
    client = wrap(
        plain,
        tracing={"sample_ratio": 1.0, "response_headers": ["server-timing"]},
        timing={"server_timing": "on"},
    )
    client.ask()
    assert "app;dur" in told(client)[0][f"{ANSWERED}server-timing"][0]


def test_a_connection_tells_of_its_request(make_suite: Callable[..., Suite]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    suite = make_suite(tracing=ALL)
    headers = [(b"host", b"shop.test"), (b"x-tenant", b"blue"), (b"sec-websocket-key", b"dGlu")]
    ask(suite.asgi(app), type="websocket", headers=headers)
    assert suite.flush(20)
    assert suite.exporter.memory is not None
    (span,) = suite.exporter.memory.spans
    told = span.attributes or {}
    assert told[f"{ASKED}x-tenant"] == ("blue",)
    assert told[f"{ASKED}sec-websocket-key"] == (UNTOLD,)


SECRETS = {
    "Authorization": "Basic dXNlcjpwYXNz",
    "Proxy-Authorization": "Basic cHJveHk6cGFzcw",
    "Cookie": "sid=tiny",
    "X-Api-Key": "short-one",
    "X-Forwarded-User": "rosa",
    "X-Acme-Token": "petite",
    "X-Session-Id": "wee",
    "Client-Secret": "small",
    "X-Password": "hunter2",
    "X-CSRFToken": "little",
    "X-Mine": "own-thing",
}


@pytest.mark.parametrize("cache", [True, False])
def test_credentials_are_never_told(
    wrap: Wrap, cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HIDDEN_HEADERS, "nothing-of-these, X-M.*")
    secret = page(("Set-Cookie", "id=mini"), ("X-Mine", "own-thing"), ("X-Next", "seen"))
    client = wrap(lambda _: secret, tracing=ALL, cache={"enabled": cache})
    client.ask("/", {**SECRETS, "X-Sort": "seen", "X-Digest": HEX, "X-Mixed": f"a {HEX}, b"})
    (fields,) = told(client)
    for name in SECRETS:
        assert fields[ASKED + name.lower()] == (UNTOLD,)
    assert fields[f"{ANSWERED}set-cookie"] == fields[f"{ANSWERED}x-mine"] == (UNTOLD,)
    assert fields[f"{ASKED}x-sort"] == fields[f"{ANSWERED}x-next"] == ("seen",)
    assert fields[f"{ASKED}x-digest"] == ("REDACTED",)
    assert fields[f"{ASKED}x-mixed"] == (UNTOLD,)  # by its name
    everything = repr(fields)
    for value in (*SECRETS.values(), "mini", HEX):
        assert value.split()[-1] not in everything


def test_the_environment_asks_by_pattern(wrap: Wrap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUEST_HEADERS, "X-Te.*, accept")
    monkeypatch.setenv(RESPONSE_HEADERS, "content-(language|location)")
    tracing = {"sample_ratio": 1.0, "request_headers": ["x-plan"]}
    client = wrap(lambda _: page(("Content-Language", "de"), ("Vary", "Accept")), tracing=tracing)
    client.ask("/", {"x-tenant": "blue", "ACCEPT": "*/*", "X-Plan": "gold", "X-Accept": "no"})
    assert told(client) == [
        {
            f"{ASKED}x-tenant": ("blue",),
            f"{ASKED}accept": ("*/*",),
            f"{ASKED}x-plan": ("gold",),
            f"{ANSWERED}content-language": ("de",),
        }
    ]


@pytest.mark.parametrize("name", [REQUEST_HEADERS, RESPONSE_HEADERS, HIDDEN_HEADERS])
def test_a_pattern_that_is_none_is_named_and_nothing_is_told(
    wrap: Wrap, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.setenv(name, "x-(")
    client = wrap(plain, tracing=ALL)
    client.ask("/", {"x-tenant": "blue"})
    assert told(client) == [{}]
    assert name in caplog.text


def test_fields_are_bounded(wrap: Wrap) -> None:
    many = [(f"X-A{n}", "a") for n in range(3 * MOST_FIELDS)]
    lines = [("X-Long", "é" * 5000)] + [("Link", f"<{n}>") for n in range(3 * MOST_LINES)]
    client = wrap(lambda _: page(*lines, *many), tracing=ALL)
    client.ask("/", dict(many) | {"x-" + "y" * 70: "a"})
    (fields,) = told(client)
    assert sum(name.startswith(ANSWERED) for name in fields) == MOST_FIELDS
    assert sum(name.startswith(ASKED) for name in fields) == MOST_FIELDS
    assert len(fields[f"{ANSWERED}x-long"][0]) == MOST_TEXT
    assert len(fields[f"{ANSWERED}link"]) == MOST_LINES
    assert all(len(name) <= 64 + len(ANSWERED) for name in fields)


def test_names_that_are_remembered_are_bounded() -> None:
    for kind in (Names, Asked):
        names = kind("h.", re.compile(".*"), None, ())
        for n in range(3 * MOST_NAMES):
            assert names[b"x-%d" % n] == (f"h.x-{n}", True)
            assert len(names) <= MOST_NAMES


def test_only_spans_that_are_exported_tell(wrap: Wrap) -> None:
    tracing = {**ALL, "sample_ratio": 0.0, "errors": True}
    client = wrap(lambda asked: page(("X-A", "1"), status=int(asked.target[1:])), tracing=tracing)
    client.ask("/200", {"x-b": "2"})
    client.ask("/500", {"x-b": "3"})
    (fields,) = told(client)
    assert fields[f"{ASKED}x-b"] == ("3",)
    assert fields[f"{ANSWERED}x-a"] == ("1",)


def test_an_app_that_raises_tells_of_its_request(wrap: Wrap) -> None:
    def app(_: Any) -> Any:
        raise KeyError("broken")

    client = wrap(app, tracing=ALL)
    with pytest.raises(KeyError):
        client.ask("/", {"x-b": "2"})
    (fields,) = told(client)
    assert fields[f"{ASKED}x-b"] == ("2",)
    assert not any(name.startswith(ANSWERED) for name in fields)


def test_a_collector_gets_lists(
    shell: str, make_suite: Any, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    suite = make_suite(exporter={"kind": "auto"}, tracing=ALL)
    client = make_client(shell, lambda _: page(("X-A", "1"), ("X-A", "zwei")), suite)
    client.ask("/", {"x-b": "2"})
    assert suite.flush(20)
    (span,) = sink.spans()
    fields = {
        each.key: [value.string_value for value in each.value.array_value.values]
        for each in span.attributes
        if ".header." in each.key
    }
    assert fields[f"{ANSWERED}x-a"] == ["1", "zwei"]
    assert fields[f"{ASKED}x-b"] == ["2"]


@pytest.mark.parametrize("name", ["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"])
def test_the_environment_shortens_them(
    wrap: Wrap, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "3")
    client = wrap(plain, tracing=ALL)
    client.ask("/", {"x-b": "abcdef"})
    assert told(client)[0][f"{ASKED}x-b"] == ("abc",)


def test_the_users_tracer_tells_them(wrap: Wrap, program: Program) -> None:
    kept = program.trace()
    client = wrap(lambda _: page(("X-A", "1")), exporter={"kind": "auto"}, tracing=ALL)
    client.ask("/", {"x-b": "2", "Authorization": "Basic dXNlcjpwYXNz"})
    (span,) = kept.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes[f"{ASKED}x-b"] == ("2",)
    assert span.attributes[f"{ANSWERED}x-a"] == ("1",)
    assert span.attributes[f"{ASKED}authorization"] == (UNTOLD,)


def test_a_variable_that_is_no_text_is_not_told() -> None:
    suite = Suite(exporter={"kind": "memory"}, tracing=ALL)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return [b"page"]

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http"}
    wrapped = suite.wsgi(app)
    list(wrapped({**environ, "HTTP_X_ODD": 7, "CONTENT_TYPE": "a/b"}, lambda *_: print))
    assert suite.flush(20)
    assert suite.exporter.memory is not None
    (span,) = suite.exporter.memory.spans
    assert span.attributes is not None
    assert span.attributes[f"{ASKED}x-odd"] == (UNTOLD,)
    assert span.attributes[f"{ASKED}content-type"] == ("a/b",)
    suite.close()


PLAIN = (
    "text/html;q=0.9, */*",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0",
    'W/"1a-5"',
    "max-age=60, public",
    "123e4567-e89b-12d3-a456-426614174000",
    "https://shop.test/orders/2024/Item?page=REDACTED",
    "",
)


@pytest.mark.parametrize("line", PLAIN)
def test_plain_values_stay(line: str) -> None:
    assert told_value(line) == line


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"Bearer {HEX}", "Bearer REDACTED"),
        (f"key={HEX}; a=1", "key=REDACTED; a=1"),
        ("https://rosa:hunter2@shop.test/", "REDACTED"),
        (f"https://shop.test/a/{HEX}?t=hunter2", "https://shop.test/a/REDACTED?t=REDACTED"),
        ("/in?code=hunter2", "/in?code=REDACTED"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "REDACTED"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N", "REDACTED"),
    ],
)
def test_keys_within_a_value_are_not_told(line: str, said: str) -> None:
    assert told_value(line) == said


@given(st.text(max_size=300), st.sampled_from(["", " ", ", ", ";", "="]))
def test_any_value_is_told_bounded_and_without_the_key(around: str, between: str) -> None:
    said = told_value(f"{around} {between}{HEX}")
    assert len(said) <= MOST_TEXT
    assert HEX not in said
    said.encode("utf-8")
