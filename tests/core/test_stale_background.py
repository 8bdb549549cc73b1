"""What a request of our own, behind one that was served stale, shows to the app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import anyio
import pytest
from starlette.responses import StreamingResponse

from apsperf_mw import SettingError, Suite
from apsperf_mw.cache.policy import rule
from apsperf_mw.testing.forms import environ_of, make_request, scope_of
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Response
from tests.core.conftest import Clock
from tests.core.support import ETAG, Script, ask_and_wait, once, page

Wrap = Callable[..., Client]

WINDOW = ("Cache-Control", "max-age=60, stale-while-revalidate=600, public")
PERSONAL = {
    "Cookie": "s=1",
    "Authorization": "Basic eA==",
    "Range": "bytes=0-1",
    "If-Range": '"mine"',
    "If-None-Match": '"mine"',
    "If-Modified-Since": "Wed, 01 Jan 2025 00:00:00 GMT",
    "User-Agent": "curl",
    "Accept-Language": "de",
    "X-Other": "1",
    "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


@pytest.mark.parametrize(
    ("settings", "answer", "carried"),
    [
        ({}, (WINDOW,), {}),
        ({}, (WINDOW, ETAG), {"if-none-match": '"v1"'}),
        ({}, (WINDOW, ("Vary", "Accept-Language, X-Absent")), {"accept-language": "de"}),
        ({"key_headers": ["X-Other"]}, (WINDOW,), {"x-other": "1"}),
        ({"trusted_headers": ["X-Other"]}, (WINDOW,), {"x-other": "1"}),
    ],
    ids=["plain", "validator", "vary", "key header", "trusted header"],
)
def test_it_carries_the_url_and_what_selects_the_variant_alone(
    crowd: Wrap, clock: Clock, settings: dict[str, Any], answer: Any, carried: dict[str, str]
) -> None:
    app = Script(page("old", *answer), page("new", *answer))
    client = crowd(app, **settings)
    selecting = {name: PERSONAL[name] for name in ("Accept-Language", "X-Other")}
    client.ask("/a%20b?c=d&c=e", selecting)
    clock.move(61)
    request = make_request("/a%20b?c=d&c=e", {**PERSONAL, "Host": "shop.test"})
    served = ask_and_wait(client, calls=2, request=request)
    assert served.cache.hit
    behind = app.requests[-1]
    assert (behind.method, behind.target, behind.body) == ("GET", "/a%20b?c=d&c=e", b"")
    assert (behind.scheme, behind.header("host")) == ("http", "shop.test")
    assert app.last == carried
    assert client.ask("/a%20b?c=d&c=e", selecting).body == b"new"


@pytest.mark.parametrize("name", ["Cookie", "Authorization"])
def test_a_variant_that_a_person_is_told_by_is_not_refreshed_behind_his_back(
    crowd: Wrap, clock: Clock, name: str
) -> None:
    answer = (WINDOW, ("Vary", name))
    client = crowd(Script(page("old", *answer), page("new", *answer)))
    assert client.ask(headers={name: "mine"}).body == b"old"
    clock.move(61)
    assert client.ask(headers={name: "mine"}).body == b"new"
    assert (client.calls, len(client.suite.responses.flights)) == (2, 0)


@pytest.mark.parametrize("names", ["cookie", "Authorization", "accept, cookie"])
def test_a_variant_that_the_client_itself_selects_is_made_anew_for_it(
    crowd: Wrap, clock: Clock, names: str
) -> None:
    said = ("Cache-Control", "public, max-age=60, stale-while-revalidate=600")
    client = crowd(lambda _: Response(200, (said, ("Vary", names)), [b"page"]))
    client.ask("/page")
    clock.move(61)
    reply = client.ask("/page")
    assert (reply.cache.hit, reply.cache.fwd, client.calls) == (False, "stale", 2)


def test_a_function_that_selects_has_nothing_to_look_at_in_the_background() -> None:
    with pytest.raises(SettingError, match="stale_while_revalidate"):
        rule(60, key=lambda x: x.path, stale_while_revalidate=600)


def test_a_wsgi_app_gets_an_environ_of_its_own_and_an_empty_input(clock: Clock) -> None:
    seen: list[dict[str, Any]] = []
    read: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.append(environ)
        read.append(environ["wsgi.input"].read())
        start_response("200 OK", [WINDOW])
        return [b"page"]

    suite = Suite()
    shell = suite.wsgi(app)
    environ = environ_of(make_request(headers=PERSONAL))
    environ |= {"server.socket": object(), "REMOTE_PORT": "1", "wsgi.file_wrapper": object()}
    first = environ_of(make_request())
    list(shell(first, lambda *_: None))  # type: ignore[arg-type]
    clock.move(61)
    before = dict(environ)
    list(shell(environ, lambda *_: None))  # type: ignore[arg-type]
    done = once(lambda: len(seen) == 2 and not len(suite.background))
    while not done():
        pass
    behind = seen[1]
    assert behind is not environ
    assert behind["wsgi.input"] is not environ["wsgi.input"]
    assert read == [b"", b""]
    assert environ == before
    kept = {name for name in behind if name.startswith(("HTTP_", "REMOTE_", "server."))}
    assert kept == {"HTTP_HOST", "REMOTE_ADDR"}
    assert behind["REMOTE_ADDR"] == ""
    assert {"wsgi.version", "wsgi.errors", "wsgi.multithread", "SERVER_NAME"} <= behind.keys()
    assert "wsgi.file_wrapper" not in behind


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_asgi_app_gets_one_empty_body_and_never_a_disconnect(clock: Clock, backend: str) -> None:
    suite, scopes, received = Suite(), list[Any](), list[Any]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        received.append(await receive())
        if len(scopes) == 2:
            with anyio.move_on_after(0.05):
                received.append(await receive())
        fields = [(WINDOW[0].lower().encode(), WINDOW[1].encode())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"page"})

    shell = suite.asgi(app)
    asked = scope_of(make_request(headers=PERSONAL))
    asked["state"]["lifespan"] = "kept"

    async def scenario() -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            """Nobody looks."""

        await shell(scope_of(make_request()), receive, send)
        clock.move(61)
        await shell(asked, receive, send)
        done = once(lambda: len(scopes) == 2 and not len(suite.background))
        while not done():
            await anyio.sleep(0)

    anyio.run(scenario, backend=backend)
    behind = scopes[1]
    assert behind is not asked
    assert (behind["client"], behind["method"], behind["headers"]) == (
        None,
        "GET",
        [(b"host", b"shop.test")],
    )
    assert behind["state"]["lifespan"] == "kept"
    assert behind["state"] is not asked["state"]
    assert received[1:] == [{"type": "http.request", "body": b"", "more_body": False}]
    assert suite.faults.counts == {}


@pytest.mark.parametrize("spec_version", ["2.3", "2.5"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_stream_that_listens_for_its_client_is_made_to_its_end(
    clock: Clock, backend: str, spec_version: str
) -> None:
    """Starlette streams beside a task that waits for the disconnect."""
    suite = Suite()
    calls = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(3):
                await anyio.sleep(0)
                yield b"%d" % calls

        response = StreamingResponse(chunks(), headers=dict([WINDOW]))
        await response(scope, receive, send)

    shell = suite.asgi(app)
    bodies: list[bytes] = []

    async def ask() -> None:
        scope = scope_of(make_request())
        scope["asgi"]["spec_version"] = spec_version
        chunks: list[bytes] = []

        async def receive() -> Any:
            await anyio.sleep_forever()

        async def send(message: Any) -> None:
            chunks.append(message.get("body", b""))

        await shell(scope, receive, send)
        bodies.append(b"".join(chunks))

    async def scenario() -> None:
        await ask()
        clock.move(61)
        await ask()
        done = once(lambda: calls == 2 and not len(suite.background))
        while not done():
            await anyio.sleep(0)
        await ask()

    anyio.run(scenario, backend=backend)
    assert bodies == [b"111", b"111", b"222"]
    assert suite.faults.counts == {}
