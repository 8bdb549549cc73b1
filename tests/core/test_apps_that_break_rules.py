"""Apps that break their interface's rules get what they get bare, and nothing wrong is kept."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.cache.forms import LONGEST_FORM
from apsperf_mw.testing.forms import environ_of, make_request, scope_of
from apsperf_mw.testing.harness import WSGIClient
from apsperf_mw.testing.messages import Reply
from tests.adapters.support import environ
from tests.core.conftest import Clock
from tests.core.support import fresh

MINUTE = ("Cache-Control", "max-age=60")


class DoubleHead(Exception):
    """The server has a head already."""


class WSGIServer:
    """Takes one head, and another one only in place of it, before a byte is out."""

    def __init__(self, app: Any, suite: Suite | None = None) -> None:
        self.shell = (suite or Suite()).wsgi(app)

    def serve(self) -> Reply:
        reply = Reply(0, [], [])

        def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            if reply.status and (error is None or reply.chunks):
                raise DoubleHead
            reply.status = int(status[:3])
            reply.headers = [(n.encode(), v.encode()) for n, v in headers]
            return reply.chunks.append

        reply.chunks += self.shell(environ_of(make_request()), start_response)
        return reply


class ASGIServer:
    """Takes one head."""

    def __init__(self, app: Any, suite: Suite | None = None) -> None:
        self.shell = (suite or Suite()).asgi(app)

    def serve(self) -> Reply:
        import anyio

        reply = Reply(0, [], [])

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                reply.chunks.append(message["body"])
            elif reply.status:
                raise DoubleHead
            else:
                reply.status, reply.headers = message["status"], list(message["headers"])

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        anyio.run(self.shell, scope_of(make_request()), receive, send)
        return reply


def two_heads_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [MINUTE, ("X-Head", "first")])
    with suppress(DoubleHead):
        start_response("200 OK", [MINUTE, ("X-Head", "second")])
    return [b"page"]


async def two_heads_asgi(scope: Any, receive: Any, send: Any) -> None:
    for name in (b"first", b"second"):
        headers = [(b"cache-control", b"max-age=60"), (b"x-head", name)]
        with suppress(DoubleHead):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"page"})


@pytest.mark.parametrize("server", [WSGIServer(two_heads_wsgi), ASGIServer(two_heads_asgi)])
def test_what_has_two_heads_is_not_kept(server: WSGIServer | ASGIServer) -> None:
    for _ in range(2):
        reply = server.serve()
        assert (reply.body, reply.lines("x-head"), reply.cache.hit) == (b"page", ["first"], False)


def test_a_second_head_after_an_error_is_the_apps_own(clock: Clock) -> None:
    """A stale page does not stand in for an error that comes when there was a head already."""
    fails = False

    def app(environ: Any, start_response: Any) -> list[bytes]:
        control = ("Cache-Control", "max-age=60, stale-if-error=600")
        start_response("200 OK", [control])
        if fails:
            try:
                raise ValueError("amid the page")
            except ValueError:
                start_response("500 Broken", [("X-Error", "1")], sys.exc_info())
        return [b"error" if fails else b"page"]

    server = WSGIServer(app)
    assert server.serve().cache.stored
    clock.move(61)
    fails = True
    reply = server.serve()
    assert (reply.status, reply.lines("x-error"), reply.body) == (500, ["1"], b"error")


def test_the_fields_of_a_wsgi_head_may_be_any_iterable() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", iter([MINUTE, ("X-A", "1")]))
        return [b"page"]

    server = WSGIServer(app)
    assert server.serve().lines("x-a") == ["1"]
    assert (server.serve().cache.hit, server.serve().lines("x-a")) == (True, ["1"])


def test_heads_of_endless_names_are_not_remembered() -> None:
    client = WSGIClient(Suite(), lambda _: fresh(*[(f"X-{'a' * LONGEST_FORM}", "1")]))
    client.ask()
    assert client.ask().cache.hit
    forms = client.suite.responses.maker.forms
    assert (len(forms._text_forms), len(forms.ready)) == (0, 0)


def test_a_driver_that_fails_between_two_looks_leaves_no_flight() -> None:
    client = WSGIClient(Suite(), lambda _: fresh())
    looks = iter([None, OSError("gone")])
    find = client.suite.responses._peek

    def peek(key: Any) -> Any:
        fault = next(looks, None)
        if fault is not None:
            raise fault
        return find(key)

    client.suite.responses._peek = peek
    assert client.ask().body == b"page"
    assert len(client.suite.responses.flights) == 0


TWICE = """
from apsperf_mw import Suite
from apsperf_mw.testing.harness import ASGIClient, WSGIClient
from apsperf_mw.testing.messages import Response

MINUTE, TAG = ("Cache-Control", "max-age=60"), ("ETag", '"1"')
suite = Suite()
clients = [make(suite, lambda _: Response(200, (MINUTE, TAG), [b"page"]))
           for make in (ASGIClient, WSGIClient)]
print([client.ask(path, {"If-None-Match": '"1"'} if held else {}).cache.hit
       for path in ("/1", "/2") for client in clients for held in (False, True)])
"""


def test_bytes_are_never_compared_with_text() -> None:
    """Python may be told to refuse it."""
    run = subprocess.run(
        [sys.executable, "-bb", "-c", TWICE],
        capture_output=True,
        text=True,
        env=environ(),
        check=False,
    )
    assert (run.stderr, run.stdout.count("True")) == ("", 6)


def test_an_app_may_change_its_environ_input_and_headers_after_the_fact() -> None:
    headers = [MINUTE, ("X-A", "1")]

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", headers)
        headers.append(("X-Late", "1"))
        environ["PATH_INFO"], environ["wsgi.input"] = "/other", BytesIO(b"other")
        yield b"page"
        headers.clear()

    server = WSGIServer(app)
    assert server.serve().lines("x-late") == []
    hit = server.serve()
    assert (hit.cache.hit, hit.lines("x-a"), hit.lines("x-late")) == (True, ["1"], [])
