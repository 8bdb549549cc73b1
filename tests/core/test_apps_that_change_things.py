"""Apps that change what they were given, commit late, or answer for one request alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan, current
from apsperf_mw.testing.forms import environ_of, make_request, scope_of
from apsperf_mw.testing.harness import Client, WSGIClient
from apsperf_mw.testing.messages import Request, Response
from tests.core.support import MINUTE, fresh, numbered

Wrap = Callable[..., Client]
GZIP = {"Accept-Encoding": "gzip"}
VARIES = [("Cache-Control", "max-age=60"), ("Vary", "Accept-Encoding")]


def test_a_wsgi_app_that_changes_its_environ_changes_no_variant() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        coded = environ.pop("HTTP_ACCEPT_ENCODING", "none")
        start_response("200 OK", list(VARIES))
        return [coded.encode()]

    shell = Suite().wsgi(app)
    for headers, body in ((GZIP, b"gzip"), ({}, b"none"), (GZIP, b"gzip"), ({}, b"none")):
        environ = environ_of(make_request("/", headers))
        assert b"".join(shell(environ, lambda *_: None)) == body  # type: ignore[arg-type]


def test_an_asgi_app_that_changes_its_scope_changes_no_variant() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        coded = dict(scope["headers"]).get(b"accept-encoding", b"none")
        scope["headers"][:] = [f for f in scope["headers"] if f[0] != b"accept-encoding"]
        head = [(name.lower().encode(), value.encode()) for name, value in VARIES]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": coded})

    shell = Suite().asgi(app)

    async def ask(headers: dict[str, str]) -> bytes:
        bodies: list[bytes] = []

        async def send(message: Any) -> None:
            bodies.append(message.get("body", b""))

        await shell(scope_of(make_request("/", headers)), None, send)  # type: ignore[arg-type]
        return b"".join(bodies)

    for headers, body in ((GZIP, b"gzip"), ({}, b"none"), (GZIP, b"gzip"), ({}, b"none")):
        assert anyio.run(ask, headers) == body


def test_what_is_read_while_a_write_commits_late_is_void_once_it_is_over() -> None:
    told = "old"
    between: list[bytes] = []

    def app(request: Request) -> Response:
        if request.method == "GET":
            return fresh(body=(told.encode(),))
        return Response(200, (), commit())

    def commit() -> Any:
        nonlocal told
        yield b"accepted"
        between.append(client.ask("/page").body)  # after the head, before the commit
        told = "new"

    client = WSGIClient(Suite(), app)
    client.ask("/page", method="POST")
    assert between == [b"old"]
    assert client.ask("/page").body == b"new"


def test_an_asgi_app_that_commits_after_its_last_byte() -> None:
    told = b"old"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal told
        head = [(b"cache-control", b"max-age=60")] if scope["method"] == "GET" else []
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": told})
        if scope["method"] == "POST":
            assert await ask("GET") == b"old"
            told = b"new"

    shell = Suite().asgi(app)

    async def ask(method: str) -> bytes:
        bodies: list[bytes] = []

        async def send(message: Any) -> None:
            bodies.append(message.get("body", b""))

        scope = scope_of(make_request("/page", method=method))
        await shell(scope, None, send)  # type: ignore[arg-type]
        return b"".join(bodies)

    anyio.run(ask, "POST")
    assert anyio.run(ask, "GET") == b"new"


def test_a_part_that_cannot_be_is_told_to_its_asker_alone(wrap: Wrap) -> None:
    client = wrap(
        lambda r: Response(416 if r.header("range") else 200, MINUTE, [b"x"]), error_ttl_s=10
    )
    assert client.ask("/file", {"Range": "bytes=900-"}).status == 416
    reply = client.ask("/file")
    assert (reply.status, reply.cache.hit) == (200, False)
    assert client.ask("/file").cache.hit


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-User", "X-Auth-Request-Email", "Remote-User", "Cf-Access-Jwt-Assertion"],
)
def test_whom_a_proxy_has_let_in_goes_round_the_cache(wrap: Wrap, name: str) -> None:
    client = wrap(lambda r: fresh(body=((r.header(name) or "nobody").encode(),)))
    assert client.ask("/", {name: "ann"}).cache.detail == "credential"
    assert client.ask("/", {name: "bob"}).body == b"bob"
    assert client.ask("/").body == client.ask("/").body == b"nobody"
    assert client.ask("/").cache.hit


def test_a_page_that_says_nothing_of_cors_is_not_given_to_another_origin(wrap: Wrap) -> None:
    def app(request: Request) -> Response:
        allows = [("Access-Control-Allow-Origin", "*")] if request.header("origin") else []
        return fresh(*allows)

    client = wrap(app)
    client.ask("/")
    assert client.ask("/").cache.hit
    first = client.ask("/", {"Origin": "https://a.test"})
    assert (first.cache.hit, first.header("access-control-allow-origin")) == (False, "*")
    again = client.ask("/", {"Origin": "https://b.test"})
    assert (again.cache.hit, again.header("access-control-allow-origin")) == (True, "*")


def test_a_plan_is_looked_at_once_more_when_the_body_has_ended(wrap: Wrap) -> None:
    plan = Plan()
    plan.late = lambda _: setattr(current.get(), "private", True)

    def app(_: Request) -> Response:
        return fresh(body=iter([b"for ", b"ann"]), plan=plan)

    client = wrap(app)
    client.ask("/")
    assert not client.ask("/").cache.hit


def test_fields_with_underscores_pass_for_nothing_on_asgi() -> None:
    suite = Suite()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"cache-control", b"max-age=60")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"page"})

    shell = suite.asgi(app)

    async def status(*more: tuple[bytes, bytes]) -> bytes:
        told: list[bytes] = []

        async def send(message: Any) -> None:
            told.extend(v for n, v in message.get("headers", ()) if n == b"cache-status")

        scope = scope_of(make_request("/"))
        scope["headers"] += more
        await shell(scope, None, send)  # type: ignore[arg-type]
        return told[0]

    for name in (b"x_forwarded_host", b"x_api_key"):
        assert b"fwd=bypass" in anyio.run(status, (name, b"evil"))
    assert b"stored" in anyio.run(status)
    assert b"hit" in anyio.run(status)


def test_a_fault_of_ours_shows_nobody_our_own_304(wrap: Wrap, clock: Any) -> None:
    answers = numbered(*MINUTE, ("ETag", '"v1"'))

    def app(request: Request) -> Response:
        if request.header("if-none-match"):
            return Response(304, (*MINUTE, ("ETag", '"v1"')), [])
        return answers(request)

    client = wrap(app)
    client.ask("/")
    clock.move(61)

    def broken(*_: object) -> Any:
        raise RuntimeError("not ours to read")

    client.suite.responses.maker.renewed = broken  # type: ignore[method-assign, assignment]
    reply = client.ask("/")
    assert (reply.status, reply.body) == (200, b"answer 1")
    assert client.suite.faults.counts["the cache's reading of a response"] == 1
