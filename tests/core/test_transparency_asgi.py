"""Behind the ASGI shell an app behaves as it does bare."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
from typing import Any

import anyio
import pytest

from apsperf_mw import Suite
from apsperf_mw.testing.forms import make_request, scope_of

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"cache-control", b"max-age=60"), (b"content-type", b"text/plain")],
}
END = {"type": "http.response.body", "body": b"page"}


class Server:
    """Calls an ASGI app by hand and keeps the very messages that it gets."""

    def __init__(self, app: Any, suite: Suite | None = None) -> None:
        self.suite = suite or Suite()
        self.shell = self.suite.asgi(app)

    def serve(self, scope: dict[str, Any] | None = None, *received: Any) -> list[Any]:
        sent: list[Any] = []
        incoming = iter(received or ({"type": "http.request"},))

        async def receive() -> Any:
            return next(incoming, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.shell(scope or scope_of(make_request()), receive, send))
        return sent


def sends(*messages: dict[str, Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(copy.deepcopy(message))

    return app


def status_of(sent: list[Any]) -> bytes:
    status: bytes = dict(sent[0]["headers"])[b"cache-status"]
    return status


@pytest.mark.parametrize("kind", ["websocket", "lifespan", "unknown"])
def test_other_scopes_pass_through_untouched(kind: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, dict(scope)))
        assert (await receive())["type"] == "anything"
        await send({"type": "answer", "extra": 1})

    scope = {"type": kind, "path": "/", "headers": []}
    bare = dict(scope)
    assert Server(app).serve(scope, {"type": "anything"}) == [{"type": "answer", "extra": 1}]
    assert seen[0][0] is scope
    assert seen[0][1] == bare


def test_lifespan_runs_and_its_failure_goes_through() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope["state"]["pool"] = 1
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    scope: dict[str, Any] = {"type": "lifespan", "state": {}}
    server = Server(app)
    sent = server.serve(scope, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [m["type"] for m in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert scope["state"] == {"pool": 1}

    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        Server(refuses).serve({"type": "lifespan"})


def test_the_shell_is_seen_as_asgi_3() -> None:
    shell = Suite().asgi(sends(START, END))
    assert inspect.iscoroutinefunction(shell.__call__) or inspect.iscoroutinefunction(shell)


@pytest.mark.parametrize(
    "last",
    [
        {"type": "http.response.pathsend", "path": "/etc/hostname"},
        {"type": "http.response.zerocopysend", "file": 3, "count": 4},
    ],
)
def test_files_sent_by_the_server_pass_and_are_not_stored(last: dict[str, Any]) -> None:
    server = Server(sends(START, last))
    for _ in range(2):
        sent = server.serve()
        assert sent[1] == last
        assert b"stored" in status_of(sent) or b"hit" not in status_of(sent)
        assert len(sent) == 2
    assert len(server.suite.responses.flights) == 0


def test_a_file_in_parts_among_bytes_is_not_stored() -> None:
    part = {"type": "http.response.zerocopysend", "file": 3, "count": 4, "more_body": True}
    server = Server(sends(START, part, END))
    for _ in range(2):
        assert server.serve()[1:] == [part, END]
    assert len(server.suite.responses.flights) == 0


def test_trailers_pass_and_what_has_them_is_not_stored() -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
    server = Server(sends({**START, "trailers": True}, END, trailers))
    for _ in range(2):
        sent = server.serve()
        assert sent[0]["trailers"] is True
        assert sent[1:] == [END, trailers]
        assert b"stored" not in status_of(sent)
    assert len(server.suite.responses.flights) == 0


@pytest.mark.parametrize(
    "extra",
    [
        {"type": "http.response.early_hint", "links": [b"</a>"]},
        {"type": "http.response.push", "path": "/style.css", "headers": []},
        {"type": "http.response.debug", "info": {"template": "a"}},
    ],
)
def test_messages_of_extensions_pass_in_their_place(extra: dict[str, Any]) -> None:
    first = {"type": "http.response.body", "body": b"1", "more_body": True}
    server = Server(sends(extra, START, first, extra, END))
    sent = server.serve()
    start, body = "http.response.start", "http.response.body"
    assert [m["type"] for m in sent] == [extra["type"], start, body, extra["type"], body]
    assert sent[0] == sent[3] == extra
    hit = server.serve()
    assert b"hit" in status_of(hit)
    assert hit[1]["body"] == b"1page"


def test_unknown_fields_of_a_message_pass() -> None:
    server = Server(sends({**START, "x": 1}, {**END, "y": 2}))
    sent = server.serve()
    assert (sent[0]["x"], sent[1]["y"]) == (1, 2)


def test_messages_that_leave_out_what_they_may() -> None:
    server = Server(
        sends({"type": "http.response.start", "status": 200}, {"type": "http.response.body"})
    )
    sent = server.serve()
    assert sent[0]["status"] == 200
    assert [name for name, _ in sent[0]["headers"]] == [b"cache-status"]
    assert sent[1] == {"type": "http.response.body"}


def test_headers_in_any_form_of_iterable() -> None:
    pairs = [[b"cache-control", b"max-age=60"], [b"x-a", b"1"]]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": iter(pairs)})
        await send(END)

    server = Server(app)
    assert (b"x-a", b"1") in [tuple(pair) for pair in server.serve()[0]["headers"]]
    hit = server.serve()
    assert b"hit" in status_of(hit)
    assert (b"x-a", b"1") in hit[0]["headers"]


def test_receive_is_the_servers_own() -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            got.append(await receive())
        await send(START)
        await send(END)

    messages = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"b"},
    ]
    Server(app).serve(None, *messages)
    assert got == [*messages, {"type": "http.disconnect"}]


def test_a_hit_takes_nothing_from_receive() -> None:
    server = Server(sends(START, END))
    server.serve()

    async def never() -> Any:
        raise AssertionError("received")

    async def send(message: Any) -> None:
        pass

    asyncio.run(server.shell(scope_of(make_request()), never, send))


@pytest.mark.parametrize("fails_at", ["http.response.start", "http.response.body"])
def test_what_send_raises_reaches_the_app(fails_at: str) -> None:
    """A server may raise where the client has gone."""
    caught: list[type[BaseException]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(START)
            await send({**END, "more_body": True})
            await send(END)
        except OSError as gone:
            caught.append(type(gone))
            raise

    suite = Suite()

    async def send(message: Any) -> None:
        if message["type"] == fails_at:
            raise BrokenPipeError

    async def receive() -> Any:
        return {"type": "http.request"}

    with pytest.raises(BrokenPipeError):
        asyncio.run(suite.asgi(app)(scope_of(make_request()), receive, send))
    assert caught == [BrokenPipeError]
    assert len(suite.responses.flights) == 0
    assert not suite.faults.counts


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, LookupError, asyncio.CancelledError]
)
def test_every_kind_of_exception_goes_through(error: type[BaseException]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    server = Server(app)
    with pytest.raises(error):
        server.serve()
    assert len(server.suite.responses.flights) == 0


def test_work_after_the_body_goes_on_and_its_failure_goes_through() -> None:
    """Background tasks run after the last message; the entry is stored by then."""
    ran: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(END)
        await asyncio.sleep(0)
        ran.append("after")
        raise LookupError

    server = Server(app)
    with pytest.raises(LookupError):
        server.serve()
    assert ran == ["after"]
    assert b"hit" in status_of(server.serve())


def test_an_app_that_sends_nothing_leaves_nothing() -> None:
    server = Server(sends())
    assert server.serve() == []
    assert len(server.suite.responses.flights) == 0
    server = Server(sends(START))
    assert len(server.serve()) == 1
    assert len(server.suite.responses.flights) == 0


def test_an_app_that_stops_amid_its_body_is_not_stored() -> None:
    server = Server(sends(START, {**END, "more_body": True}))
    for _ in range(2):
        assert len(server.serve()) == 2
    assert len(server.suite.responses.flights) == 0


def test_broken_messages_are_the_servers_matter() -> None:
    broken = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1", b"2")]}
    server = Server(sends(broken, END))
    for _ in range(2):
        assert server.serve()[0] == broken
    assert server.suite.faults.counts.total() == 2
    assert len(server.suite.responses.flights) == 0


def test_the_scope_is_the_servers_own_object() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await send(START)
        await send(END)

    scope = scope_of(make_request())
    Server(app).serve(scope)
    assert seen[0] is scope


def test_a_scope_without_state_or_raw_path() -> None:
    server = Server(sends(START, END))
    bare = scope_of(make_request("/caf%C3%A9"))
    for name in ("state", "raw_path", "root_path", "scheme", "http_version", "client", "server"):
        del bare[name]
    server.serve(dict(bare))
    assert b"hit" in status_of(server.serve(dict(bare)))
    assert b"hit" not in status_of(server.serve({**bare, "path": "/cafe"}))
    assert b"hit" in status_of(server.serve({**bare, "raw_path": None}))
    assert not server.suite.faults.counts


def test_context_variables_set_by_the_app_are_seen_by_its_caller() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        variable.set("set")
        await send(START)
        await send(END)

    async def scenario() -> str:
        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            assert variable.get() == "set"

        await Suite().asgi(app)(scope_of(make_request()), receive, send)
        return variable.get()

    assert asyncio.run(scenario()) == "set"


def test_the_app_runs_in_the_task_of_the_request_under_trio_too() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep(0)
        await send(START)
        await send(END)

    async def scenario() -> None:
        shell = Suite().asgi(app)
        for expected in (b"stored", b"hit"):
            sent: list[Any] = []

            async def receive() -> Any:
                return {"type": "http.request"}

            async def send(message: Any) -> None:
                sent.append(message)  # noqa: B023

            await shell(scope_of(make_request()), receive, send)
            assert expected in status_of(sent)

    anyio.run(scenario, backend="trio")


def test_what_is_done_to_anything_handed_out_reaches_no_entry() -> None:
    """Messages, lists of headers, scopes and states: each is spoilt after use."""
    given = copy.deepcopy(START)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["apsperf"].tags = ("a",)
        await send(given)
        await send({"type": "http.response.body", "body": bytearray(b"page")})

    server = Server(app)
    expected: list[Any] = []
    for number in range(4):
        scope = scope_of(make_request("/a"))
        sent = server.serve(scope)
        if number == 0:
            assert given == START
        else:
            assert b"hit" in status_of(sent)
            expected = expected or copy.deepcopy(sent)
            assert sent == expected
            assert all(type(pair) is tuple for pair in sent[0]["headers"])
        spoil(sent, scope)
        spoil([given], {"headers": []})
    assert b"hit" not in status_of(server.serve(scope_of(make_request("/evil"))))


def spoil(messages: list[Any], scope: dict[str, Any]) -> None:
    for message in messages:
        if "headers" in message:
            message["headers"][:] = [(b"x-evil", b"1")]
        if isinstance(message.get("body"), bytearray):
            message["body"][:] = b"evil"
        message["status"] = 500
        message["body"] = b"evil"
    scope["headers"][:] = [(b"host", b"evil.test")]
    scope["path"], scope["raw_path"] = "/evil", b"/evil"
    scope.setdefault("state", {}).clear()
