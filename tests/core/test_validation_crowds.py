"""Validation with many clients at once, and with apps that answer in all the ways they may."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import anyio
import pytest

from apsperf_mw import Suite
from apsperf_mw.testing.forms import environ_of, make_request, scope_of
from apsperf_mw.testing.harness import ASGIClient, Client
from apsperf_mw.testing.messages import Gate, Request, Response
from tests.core.conftest import Clock
from tests.core.support import ETAG, MINUTE, Script, followers, fresh, once, page, parts, replies
from tests.core.test_drivers import Kept, suite_on

Wrap = Callable[..., Client]


@pytest.mark.parametrize("status", [200, 304])
def test_a_crowd_on_a_stale_entry_makes_one_call(crowd: Wrap, clock: Clock, status: int) -> None:
    gate = Gate()
    answer = Response(304, MINUTE, hold=gate) if status == 304 else fresh(hold=gate, body=(b"new",))
    client = crowd(Script(fresh(ETAG), answer))
    client.ask()
    clock.move(61)
    opened = once(lambda: followers(client.suite) == 49, gate.open)
    got = replies(client.send_all([make_request()] * 50, meanwhile=opened))
    assert {reply.body for reply in got} == {b"page" if status == 304 else b"new"}
    assert {reply.status for reply in got} == {200}
    assert client.calls == 2
    assert sorted(reply.cache.collapsed for reply in got) == [False] + [True] * 49
    assert {reply.cache.fwd for reply in got} == {"stale"}
    assert client.ask().cache.hit


def test_what_is_asked_about_each_time_queues_nobody(crowd: Wrap) -> None:
    """A no-cache response can be handed to no other request: none waits for another's answer."""
    gate = Gate()
    said = (("Cache-Control", "no-cache"), ETAG)

    def app(request: Request) -> Response:
        asked = request.header("if-none-match") is not None
        return Response(304, said, hold=gate) if asked else page("page", *said)

    client = crowd(app)
    client.ask()
    opened = once(lambda: gate.arrivals == 20, gate.open)
    got = replies(client.send_all([make_request()] * 20, meanwhile=opened))
    assert [reply.body for reply in got] == [b"page"] * 20
    assert gate.arrivals == 20


def test_the_followers_of_a_first_no_cache_answer_do_not_wait_in_turn(crowd: Wrap) -> None:
    first, later = Gate(), Gate()
    said = (("Cache-Control", "no-cache"), ETAG)
    client = crowd(
        Script(
            page("page", *said, hold=first),
            lambda request: (
                Response(304, said, hold=later)
                if request.header("if-none-match")
                else page("page", *said, hold=later)
            ),
        )
    )
    opened = once(lambda: followers(client.suite) == 9, first.open)
    then = once(lambda: opened() and later.arrivals == 9, later.open)
    got = replies(client.send_all([make_request()] * 10, meanwhile=then))
    assert [reply.body for reply in got] == [b"page"] * 10
    assert later.arrivals == 9


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_client_that_leaves_while_the_app_is_asked_hands_the_question_on(
    clock: Clock, backend: str
) -> None:
    gate = Gate()
    client = ASGIClient(Suite(), Script(fresh(ETAG), Response(304, MINUTE, hold=gate)), backend)
    client.ask()
    clock.move(61)
    got: list[Any] = []

    async def scenario() -> None:
        async def follow() -> None:
            got.append(await client.asend(make_request()))

        async with anyio.create_task_group() as tasks:
            leader = anyio.CancelScope()

            async def lead() -> None:
                with leader:
                    await client.asend(make_request())

            tasks.start_soon(lead)
            while client.calls < 2:
                await anyio.sleep(0)
            for _ in range(5):
                tasks.start_soon(follow)
            while followers(client.suite) < 5:
                await anyio.sleep(0)
            leader.cancel()
            while client.calls < 3 or followers(client.suite) < 4:
                await anyio.sleep(0)
            gate.open()

    anyio.run(scenario, backend=backend)
    assert [(reply.status, reply.body) for reply in got] == [(200, b"page")] * 5
    assert client.calls == 3
    assert len(client.suite.responses.flights) == 0


def lazily(
    status: str, fields: list[tuple[str, str]], *chunks: bytes
) -> Callable[[Any], Iterator[bytes]]:
    def answer(start_response: Any) -> Iterator[bytes]:
        start_response(status, fields)
        yield from chunks

    return answer


def written(status: str, fields: list[tuple[str, str]], *chunks: bytes) -> Callable[[Any], Any]:
    def answer(start_response: Any) -> Iterable[bytes]:
        write = start_response(status, fields)
        for chunk in chunks:
            write(chunk)
        return []

    return answer


def changed(status: str, fields: list[tuple[str, str]], *chunks: bytes) -> Callable[[Any], Any]:
    """An error page takes the place of the head; the server has sent nothing yet."""

    def answer(start_response: Any) -> Iterable[bytes]:
        start_response(status, fields)
        try:
            raise RuntimeError
        except RuntimeError:
            import sys

            start_response("418 Teapot", [("X-Error", "1")], sys.exc_info())
        return [b"error"]

    return answer


FIELDS = [("Cache-Control", "max-age=60"), ("ETag", '"v1"')]
NOTHING: list[bytes] = []


class Closing:
    """A body that says whether it was closed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (lazily("304 Not Modified", FIELDS), 200, b"page"),
        (lazily("304 Not Modified", FIELDS, b""), 200, b"page"),
        (lazily("304 Not Modified", FIELDS, b"should ", b"not be"), 200, b"page"),
        (written("304 Not Modified", FIELDS), 200, b"page"),
        (written("304 Not Modified", FIELDS, b"should not be"), 200, b"page"),
        (written("200 OK", FIELDS, b"new ", b"page"), 200, b"new page"),
        (lazily("200 OK", FIELDS, b"new ", b"page"), 200, b"new page"),
        (changed("304 Not Modified", FIELDS), 418, b"error"),
    ],
    ids=["no body", "empty chunk", "body", "write nothing", "write", "write new", "new", "error"],
)
def test_a_wsgi_app_may_answer_our_question_in_any_way(
    clock: Clock, answer: Callable[[Any], Any], status: int, body: bytes
) -> None:
    suite, calls, bodies = Suite(), NOTHING.copy(), list[Closing]()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        calls.append(environ.get("HTTP_IF_NONE_MATCH", "").encode())
        if len(calls) == 1:
            start_response("200 OK", FIELDS)
            return [b"page"]
        bodies.append(Closing(answer(start_response)))
        return bodies[-1]

    shell = suite.wsgi(app)
    assert ask_wsgi(shell) == (200, b"page")
    clock.move(61)
    assert ask_wsgi(shell) == (status, body)
    assert calls == [b"", b'"v1"']
    assert bodies[0].closed
    assert len(suite.responses.flights) == 0
    assert suite.faults.counts == {}


def ask_wsgi(shell: Any) -> tuple[int, bytes]:
    heads: list[str] = []
    chunks: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        heads.append(status)
        return chunks.append

    body = shell(environ_of(make_request()), start_response)
    chunks.extend(body)
    if hasattr(body, "close"):
        body.close()
    return int(heads[-1][:3]), b"".join(chunks)


@pytest.mark.parametrize("more", [[], [b"should ", b"not be"]])
def test_an_asgi_app_may_stream_beside_its_304(clock: Clock, more: list[bytes]) -> None:
    suite, sent = Suite(), list[dict[str, Any]]()
    calls = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        fields = [(name.lower().encode(), value.encode()) for name, value in FIELDS]
        status = 200 if calls == 1 else 304
        await send({"type": "http.response.start", "status": status, "headers": iter(fields)})
        for chunk in more if calls > 1 else [b"page"]:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    shell = suite.asgi(app)
    for seconds in (0, 61):
        clock.move(seconds)
        sent.clear()
        anyio.run(shell, scope_of(make_request()), receive, send)
        assert [message["type"].rpartition(".")[2] for message in sent][:2] == ["start", "body"]
        assert sent[0]["status"] == 200
        assert b"".join(message.get("body", b"") for message in sent[1:]) == b"page"
        assert not sent[-1].get("more_body")
    assert suite.faults.counts == {}


def test_a_stream_that_replaces_the_entry_is_stored_at_its_end(crowd: Wrap, clock: Clock) -> None:
    client = crowd(Script(fresh(ETAG), fresh(("ETag", '"v2"'), body=parts(b"new ", b"page"))))
    client.ask()
    clock.move(61)
    assert client.ask().chunks == [b"new ", b"page"]
    hit = client.ask()
    assert (hit.cache.hit, hit.body, hit.header("etag")) == (True, b"new page", '"v2"')


def test_a_304_in_a_store_outside_this_process(crowd: Wrap) -> None:
    said = (("Cache-Control", "max-age=0"), ETAG)
    app = Script(page("page", *said), Response(304, (("Cache-Control", "max-age=60"),)))
    client = crowd(app, suite_on(Kept()))
    client.ask()
    reply = client.ask()
    assert (reply.status, reply.body, app.last) == (200, b"page", {"if-none-match": '"v1"'})
    assert client.ask().cache.hit
