"""The strict reader of ASGI finds faults; that the suite has none is seen in every other test."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.testing.lint import Lint, LintError
from tests.observe.raw import scope

START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"x"}
MORE = {**BODY, "more_body": True}
EVERYTHING: dict[str, Any] = {
    "http.response.early_hint": {}, "http.response.pathsend": {}, "http.response.trailers": {},
    "http.response.zerocopysend": {}, "http.response.push": {}, "http.response.debug": {},
    "websocket.http.response": {},
}  # fmt: skip
HINT = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}
TRAILING = {**START, "trailers": True}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"x", b"1")]}
ACCEPT = {"type": "websocket.accept"}


def run(app: Any, messages: Any = (), **changes: Any) -> list[Any]:
    sent: list[Any] = []
    waiting = iter(messages)

    async def receive() -> Any:
        return next(waiting, {"type": f"{changes.get('type', 'http')}.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope(**changes), receive, send))
    return sent


def saying(*messages: Any, receives: int = 0) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(receives):
            await receive()
        for message in messages:
            await send(message)

    return app


WELL: list[tuple[dict[str, Any], list[Any]]] = [
    ({}, [START, BODY]),
    ({}, [START, MORE, MORE, BODY]),
    ({}, [{**START, "headers": [[b"a", b"1"]]}, {"type": "http.response.body"}]),
    ({"extensions": EVERYTHING}, [HINT, HINT, START, BODY]),
    ({"extensions": EVERYTHING}, [START, {"type": "http.response.pathsend", "path": "/x"}]),
    ({"extensions": EVERYTHING}, [TRAILING, MORE, BODY, TRAILERS]),
    ({"extensions": EVERYTHING}, [START, {"type": "http.response.push", "path": "/"}, BODY]),
    ({"type": "websocket"}, [ACCEPT, {"type": "websocket.send", "text": "x"},
                             {"type": "websocket.close"}]),
    ({"type": "websocket", "extensions": EVERYTHING},
     [{**START, "type": "websocket.http.response.start"},
      {**BODY, "type": "websocket.http.response.body"}]),
    ({"type": "lifespan"}, [{"type": "lifespan.startup.complete"},
                            {"type": "lifespan.shutdown.complete"}]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "messages"), WELL)
def test_what_is_right_passes_the_suite_as_it_is(changes: Any, messages: list[Any]) -> None:
    bare = run(Lint(saying(*messages)), **changes)
    suite = Suite(cache={"status_header": False})
    wrapped = run(Lint(suite.asgi(Lint(saying(*messages)))), **changes)
    assert bare == messages
    assert [{**each, "headers": list(map(tuple, each["headers"]))} if "headers" in each else each
            for each in wrapped] == [
        {**each, "headers": list(map(tuple, each["headers"]))} if "headers" in each else each
        for each in messages]  # fmt: skip


WRONG: list[tuple[dict[str, Any], list[Any], str]] = [
    ({}, [BODY], "before the head"),
    ({}, [START, START], "after the head"),
    ({}, [START, BODY, BODY], "after the end"),
    ({}, [START], "before its response ended"),
    ({}, [START, MORE], "before its response ended"),
    ({}, [{**START, "status": "200"}, BODY], "status '200'"),
    ({}, [{**START, "headers": [("a", b"1")]}, BODY], "is no bytes"),
    ({}, [{**START, "headers": [(b"A", b"1")]}, BODY], "not in lower case"),
    ({}, [{**START, "headers": [(b"a", b"1\r\nb: 2")]}, BODY], "line break"),
    ({}, [{**START, "headers": [(b"a",)]}, BODY], "a field of 1 parts"),
    ({}, [START, {**BODY, "body": "x"}], "no bytes"),
    ({}, [START, {**BODY, "more_body": None}], "more_body is no bool"),
    ({}, [HINT, START, BODY], "without its extension"),
    ({}, [START, {"type": "http.response.pathsend", "path": "/x"}], "without its extension"),
    ({}, [START, BODY, TRAILERS], "after the end"),
    ({}, [START, MORE, TRAILERS], "not announced"),
    ({}, [TRAILING, BODY, TRAILERS, TRAILERS], "after the end"),
    ({"type": "websocket"}, [{"type": "websocket.send", "text": "x"}], "after nothing"),
    ({"type": "websocket"}, [ACCEPT, ACCEPT], "after websocket.accept"),
    ({"type": "websocket"}, [ACCEPT, {"type": "websocket.send"}], "both kinds, or of none"),
    ({"type": "lifespan"}, [{"type": "lifespan.shutdown.complete"}], "after nothing"),
    ({"method": "get"}, [START, BODY], "method 'get'"),
    ({"http_version": "1.2"}, [START, BODY], "version '1.2'"),
    ({"headers": [(b"Host", b"a")]}, [START, BODY], "lower case"),
    ({"state": None}, [START, BODY], "state is no dict"),
]


@pytest.mark.parametrize(("changes", "messages", "said"), WRONG)
def test_what_is_wrong_is_named(changes: Any, messages: list[Any], said: str) -> None:
    with pytest.raises(LintError, match=said):
        run(Lint(saying(*messages), "here: "), **changes)


@pytest.mark.parametrize("kind", ["http.request", "websocket.connect"])
def test_what_a_server_says_wrongly_is_named(kind: str) -> None:
    other = "websocket" if kind.startswith("http") else "http"
    with pytest.raises(LintError, match=f"{kind} was received"):
        run(Lint(saying(receives=1)), [{"type": kind}], type=other)


def test_who_has_left_need_not_be_answered_to_the_end() -> None:
    run(Lint(saying(START, receives=1)))
