"""What a cache does, told once and asked in every stack: the same replies, the same Cache-Status.

A scenario is an app and a conversation with it, in which each line says what the client gets:
status, body, and what the cache says. Everything else of the replies is compared with what the
raw ASGI shell gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from msgspec import Struct

from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Reply, Request, Response
from tests.adapters.stacks import STACKS, client_in
from tests.core.conftest import Clock, stop_clocks

Fields = tuple[tuple[str, str], ...]
App = Callable[[Request], Response]

TEXT = ("Content-Type", "text/plain; charset=utf-8")
ETAG = ("ETag", '"v1"')


class Ask(Struct):
    """A request, what the client gets for it, and how long afterwards the next one comes."""

    status: int
    body: str
    said: str
    headers: dict[str, str] = {}
    target: str = "/"
    method: str = "GET"
    then_s: int = 0
    purge: str = ""


class Scenario(Struct):
    """An app, made anew for each stack, and the conversation."""

    make: Callable[[], App]
    asks: list[Ask]
    settings: dict[str, Any] = {}


def control(value: str, *more: tuple[str, str]) -> Fields:
    return (TEXT, ("Cache-Control", value), *more)


def counting(fields: Fields, *parts: str, plan: Plan | None = None) -> Callable[[], App]:
    """Pages with a number each; they tell the fields of the request that `parts` name."""

    def make() -> App:
        numbers = count(1)

        def app(request: Request) -> Response:
            words = [f"page {next(numbers)}", *(request.header(name) or "-" for name in parts)]
            return Response(200, fields, [" ".join(words).encode()], plan=plan)

        return app

    return make


def tagged() -> App:
    """A page with a validator; who shows it gets a 304."""

    def app(request: Request) -> Response:
        fields = control("max-age=60", ETAG)
        held = request.header("If-None-Match") == ETAG[1]
        return Response(304, fields) if held else Response(200, fields, [b"page"])

    return app


def failing(window: str) -> Callable[[], App]:
    """One page, and then errors."""

    def make() -> App:
        numbers = count(1)

        def app(request: Request) -> Response:
            if next(numbers) == 1:
                return Response(200, control(f"max-age=60{window}"), [b"page"])
            return Response(503, control("no-store"), [b"sorry"])

        return app

    return make


def edited() -> App:
    """A page that a POST changes."""
    edits = count(1)
    state = {"page": "page 0"}

    def app(request: Request) -> Response:
        if request.method == "POST":
            state["page"] = f"page {next(edits)}"
            return Response(200, (TEXT,), [b"edited"])
        return Response(200, control("max-age=60"), [state["page"].encode()])

    return app


def streaming() -> App:
    numbers = count(1)

    def parts() -> Iterator[bytes]:
        yield b"one "
        yield b"two "
        yield str(next(numbers)).encode()

    return lambda request: Response(200, control("max-age=60"), parts())


def by_method(request: Request) -> Response:
    """A HEAD of it has the fields and no body."""
    body = [] if request.method == "HEAD" else [b"0123456789"]
    return Response(200, control("max-age=60", ETAG), body)


STORED = "apsperf; fwd=uri-miss; stored"
AGAIN = "apsperf; fwd=stale; stored"
GUARDED = 'apsperf; fwd=uri-miss; detail="guarded"'
FAILED = 'apsperf; fwd=stale; fwd-status=503; detail="error 503"'
HIT = "apsperf; hit; ttl=60"
MARKED = Plan(rule=rule("short", tags=("pages",)))

SCENARIOS = {
    "miss and hit": Scenario(
        counting(control("max-age=60")),
        [
            Ask(200, "page 1", STORED, then_s=10),
            Ask(200, "page 1", "apsperf; hit; ttl=50"),
            Ask(200, "page 2", STORED, target="/?other"),
            Ask(200, "page 1", "apsperf; hit; ttl=50", method="GET"),
        ],
    ),
    "a mark": Scenario(
        counting((TEXT,), plan=MARKED),
        [
            Ask(200, "page 1", STORED, then_s=299),
            Ask(200, "page 1", "apsperf; hit; ttl=1"),
        ],
    ),
    "not to be stored": Scenario(
        counting(control("private, max-age=60")),
        [
            Ask(200, "page 1", 'apsperf; fwd=uri-miss; detail="private"'),
            Ask(200, "page 2", 'apsperf; fwd=uri-miss; detail="private"'),
        ],
    ),
    "stale": Scenario(
        counting(control("max-age=60")),
        [
            Ask(200, "page 1", STORED, then_s=61),
            Ask(200, "page 2", AGAIN),
            Ask(200, "page 2", HIT),
        ],
    ),
    "stale, asked about": Scenario(
        tagged,
        [
            Ask(200, "page", STORED, then_s=61),
            Ask(200, "page", "apsperf; fwd=stale; fwd-status=304; ttl=60; stored"),
            Ask(200, "page", HIT),
        ],
    ),
    "stale while it is made anew": Scenario(
        counting(control("max-age=60, stale-while-revalidate=60")),
        [
            Ask(200, "page 1", STORED, then_s=70),
            Ask(200, "page 1", "apsperf; hit; ttl=-10"),
            Ask(200, "page 2", HIT),
        ],
    ),
    "stale for an error": Scenario(
        failing(", stale-if-error=600"),
        [Ask(200, "page", STORED, then_s=70), Ask(200, "page", FAILED), Ask(200, "page", FAILED)],
    ),
    "an error": Scenario(
        failing(""),
        [
            Ask(200, "page", STORED, then_s=70),
            Ask(503, "sorry", 'apsperf; fwd=stale; detail="no-store"'),
            Ask(503, "sorry", 'apsperf; fwd=stale; detail="no-store"'),
        ],
    ),
    "vary": Scenario(
        counting(control("max-age=60", ("Vary", "Accept-Language")), "Accept-Language"),
        [
            Ask(200, "page 1 de", STORED, headers={"Accept-Language": "de"}),
            Ask(200, "page 2 en", STORED, headers={"Accept-Language": "en"}),
            Ask(200, "page 1 de", HIT, headers={"Accept-Language": "de"}),
            Ask(200, "page 2 en", HIT, headers={"Accept-Language": "en"}),
        ],
    ),
    "a cookie that is set": Scenario(
        counting(control("max-age=60", ("Set-Cookie", "visit=1; Path=/"))),
        [
            Ask(200, "page 1", 'apsperf; fwd=uri-miss; detail="set-cookie"'),
            Ask(200, "page 2", 'apsperf; fwd=uri-miss; detail="set-cookie"'),
        ],
    ),
    "a cookie that is sent": Scenario(
        counting(control("max-age=60"), "Cookie"),
        [
            Ask(200, "page 1 a=1", GUARDED, headers={"Cookie": "a=1"}),
            Ask(200, "page 2 b=2", GUARDED, headers={"Cookie": "b=2"}),
            Ask(200, "page 3 -", STORED),
        ],
    ),
    "a credential": Scenario(
        counting(control("max-age=60"), "Authorization"),
        [
            Ask(200, "page 1 Bearer a", GUARDED, headers={"Authorization": "Bearer a"}),
            Ask(200, "page 2 -", STORED),
            Ask(200, "page 3 Bearer a", GUARDED, headers={"Authorization": "Bearer a"}),
        ],
    ),
    "a purge by tag": Scenario(
        counting(control("max-age=300"), plan=MARKED),
        [
            Ask(200, "page 1", STORED),
            Ask(200, "page 1", "apsperf; hit; ttl=300", purge="others"),
            Ask(200, "page 1", "apsperf; hit; ttl=300", purge="pages"),
            Ask(200, "page 2", AGAIN),
            Ask(200, "page 2", "apsperf; hit; ttl=300"),
        ],
    ),
    "a POST": Scenario(
        edited,
        [
            Ask(200, "page 0", STORED),
            Ask(200, "page 0", HIT),
            Ask(200, "edited", "apsperf; fwd=method", method="POST"),
            Ask(200, "page 1", STORED),
            Ask(200, "page 1", HIT),
        ],
    ),
    "304": Scenario(
        tagged,
        [
            Ask(200, "page", STORED),
            Ask(304, "", HIT, headers={"If-None-Match": '"v1"'}),
            Ask(200, "page", HIT, headers={"If-None-Match": '"v2"'}),
        ],
    ),
    "a part": Scenario(
        lambda: by_method,
        [
            Ask(200, "0123456789", STORED),
            Ask(206, "234", HIT, headers={"Range": "bytes=2-4"}),
            Ask(416, "", HIT, headers={"Range": "bytes=20-"}),
        ],
    ),
    "HEAD": Scenario(
        lambda: by_method,
        [
            Ask(200, "0123456789", STORED),
            Ask(200, "", HIT, method="HEAD"),
        ],
    ),
    "a stream": Scenario(
        streaming,
        [Ask(200, "one two 1", STORED), Ask(200, "one two 1", HIT)],
    ),
}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stop_clocks(monkeypatch, "apsperf_django.exchanges")


def converse(stack: str, scenario: Scenario, clock: Clock) -> list[Reply]:
    replies = []
    with client_in(stack, scenario.make(), **scenario.settings) as client:
        for ask in scenario.asks:
            replies.append(asked(client, ask))
            clock.move(ask.then_s)
            if ask.purge:
                client.suite.purge(ask.purge)
        assert client.suite.faults.counts == {}
    return replies


def asked(client: Client, ask: Ask) -> Reply:
    """The reply, once what goes on behind it has ended."""
    ended: list[object] = []
    hooks = client.suite.hooks
    hooks.ends, before = (*hooks.ends, ended.append), hooks.ends

    def over() -> bool:
        return bool(ended) and not len(client.suite.background)

    request = make_request(ask.target, ask.headers, method=ask.method)
    (reply,) = client.send_all([request], meanwhile=over)
    hooks.ends = before
    assert isinstance(reply, Reply), reply
    return reply


def seen(reply: Reply) -> tuple[int, str, str]:
    return reply.status, reply.body.decode(), reply.header("cache-status") or ""


def outside(reply: Reply) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """All of a reply; frameworks say the length of what others only know, and say it rightly."""
    fields = sorted((name.lower(), value.strip()) for name, value in reply.headers)
    lengths = {value for name, value in fields if name == b"content-length"}
    assert lengths <= {str(len(reply.body)).encode()} or reply.status in {200, 304}
    return reply.status, [each for each in fields if each[0] != b"content-length"], reply.body


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_stack_says_the_same(name: str, stack: str, clock: Clock) -> None:
    scenario = SCENARIOS[name]
    replies = converse(stack, scenario, clock)

    assert [seen(reply) for reply in replies] == [
        (ask.status, ask.body, ask.said) for ask in scenario.asks
    ]
    assert list(map(outside, replies)) == list(map(outside, converse("asgi", scenario, clock)))
