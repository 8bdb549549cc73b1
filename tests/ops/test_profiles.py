"""Profiles on demand: of one request and no other, of a worker, and of nobody by accident."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from apsperf_mw import Suite
from apsperf_mw.errors import SettingError
from apsperf_mw.profiling.formats import guarded
from apsperf_mw.profiling.stacks import MOST_STACKS, Stacks, stack_of
from apsperf_mw.testing.forms import environ_of, make_request
from apsperf_mw.testing.messages import Request, Response
from tests.adapters.conftest import Maker
from tests.observe.raw import ask, scope
from tests.observe.support import make_client, page, plain

if TYPE_CHECKING:
    from apsperf_mw.testing.harness import Client

TOKEN = "0123456789abcdef-profile"
ON: dict[str, Any] = {"enabled": True, "token": TOKEN}


@pytest.fixture(params=["asgi", "wsgi"])
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def burn_mine(seconds: float = 0.2) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sum(range(500))


def burn_theirs(seconds: float = 0.2) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sum(range(500))


def burning(request: Request) -> Response:
    assert request.header("APSPerf-Profile") is None
    burn_mine()
    return page()


def client_of(shell: str, app: Any = burning, **settings: Any) -> Client:
    return make_client(shell, app, Suite(profiling={**ON, **settings}))


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        ("", "text/html"),
        (";format=html", "text/html"),
        ("; format=speedscope", "application/json"),
        (";format=text", "text/plain"),
        (";format=junk", "text/html"),
    ],
)
def test_who_has_the_token_gets_a_profile_in_place_of_the_page(
    shell: str, wish: str, kind: str
) -> None:
    reply = client_of(shell).ask("/items/5?secret=1", {"APSPerf-Profile": TOKEN + wish})
    assert reply.status == 200
    assert (reply.header("content-type") or "").startswith(kind)
    assert reply.header("cache-control") == "no-store"
    assert reply.header("apsperf-profile-status") == "200"
    assert "default-src 'none'" in (reply.header("content-security-policy") or "")
    assert b"burn_mine" in reply.body
    assert b"secret" not in reply.body
    if kind == "application/json":
        assert json.loads(reply.body)["profiles"]


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        (f"apsperf-profile={TOKEN}", "text/html"),
        (f"a=1&apsperf-profile={TOKEN}%3Bformat%3Dtext&b=2", "text/plain"),
    ],
)
def test_a_query_may_bear_the_token_where_a_field_cannot(shell: str, query: str, kind: str) -> None:
    suite, seen = Suite(profiling=ON), list[Any]()
    rest = b"a=1&b=2" if "a=1" in query else b""
    if shell == "asgi":

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["query_string"])

        sent = ask(suite.asgi(app), query_string=query.encode())
        headers, body = dict(sent[0]["headers"]), sent[1]["body"]
        assert seen == [rest]
        assert headers[b"content-type"].startswith(kind.encode())
        assert TOKEN.encode() not in body
        return

    def app_wsgi(environ: Any, start_response: Any) -> Any:
        seen.extend((environ["QUERY_STRING"], environ["RAW_URI"]))
        start_response("200 OK", [])
        return [b"page"]

    told: list[Any] = []
    environ = environ_of(make_request(f"/items/5?{query}")) | {"RAW_URI": f"/items/5?{query}"}
    wrapped: Any = suite.wsgi(app_wsgi)
    body = b"".join(wrapped(environ, lambda *head: told.extend(head)))
    assert seen == [rest.decode(), "/items/5" + (f"?{rest.decode()}" if rest else "")]
    assert dict(told[1])["content-type"].startswith(kind)
    assert dict(told[1])["referrer-policy"] == "no-referrer"
    assert TOKEN.encode() not in body


def test_only_the_pages_own_scripts_run(shell: str) -> None:
    reply = client_of(shell).ask("/", {"APSPerf-Profile": TOKEN})
    policy = reply.header("content-security-policy") or ""
    (nonce,) = re.findall(r"script-src 'nonce-([\w-]{22})'", policy)
    page = reply.body.decode()
    assert page.count(f'<script nonce="{nonce}">') == page.count("<script") == 2


def test_what_a_profile_tells_is_no_markup() -> None:
    page = (
        "<div></div><script>js</script><script>\nconst sessionData = "
        '{"name": "</script><script>evil()"};\n'
        "pyinstrumentHTMLRenderer.render(x, sessionData);</script>"
    )
    made = guarded(page, "n")
    assert made.count("<script") == 2
    assert "\\u003c/script>" in made
    with pytest.raises(LookupError):
        guarded("<script>another form</script>", "n")


@pytest.mark.parametrize("query", ["", "?apsperf-profile=", "?apsperf-profile=wrong"])
def test_others_who_ask_by_query_get_the_page(shell: str, query: str) -> None:
    client = client_of(shell, plain)
    assert client.ask(f"/{query}").body == b"page"
    assert client.suite.faults.counts["a profile without the token"] == bool(query)


@pytest.mark.parametrize("headers", [{}, {"APSPerf-Profile": "wrong"}, {"APSPerf-Profile": ""}])
def test_others_get_the_page(shell: str, headers: dict[str, str]) -> None:
    client = client_of(shell, plain)
    assert client.ask("/", headers).body == b"page"
    assert client.suite.faults.counts["a profile without the token"] == len(headers)


def test_by_default_nobody_gets_one(shell: str) -> None:
    client = make_client(shell, plain, Suite())
    assert client.ask("/", {"APSPerf-Profile": TOKEN}).body == b"page"
    with pytest.raises(SettingError, match=r"profiling.enabled: it is off"):
        client.suite.profile(0.1)


def test_a_token_and_the_package_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match=r"profiling.token: not set"):
        Suite(profiling={"enabled": True})
    monkeypatch.setattr("apsperf_mw.profiling.requests.find_spec", lambda _: None)
    with pytest.raises(SettingError, match=r"apsperf-mw\[profile\]"):
        Suite(profiling=ON)


def test_one_profile_at_a_time(shell: str) -> None:
    client = client_of(shell)
    sampler = client.suite.profiles.sampler() if client.suite.profiles else None
    assert sampler is not None
    refused = client.ask("/", {"APSPerf-Profile": TOKEN})
    assert (refused.status, refused.header("retry-after")) == (429, "5")
    sampler.stop("")
    assert client.ask("/", {"APSPerf-Profile": TOKEN}).status == 200


def test_a_profile_of_an_app_that_fails_ends(shell: str) -> None:
    def app(_: Request) -> Response:
        burn_mine(0.02)
        raise KeyError("broken")

    client = client_of(shell, app)
    for _ in range(2):
        with pytest.raises(KeyError):
            client.ask("/", {"APSPerf-Profile": TOKEN})
    assert not [each for each in threading.enumerate() if each.name == "apsperf-profile"]


def test_a_body_without_an_end_is_cut_at_the_bound() -> None:
    def app(_: Request) -> Response:
        def forever() -> Any:
            while True:
                burn_mine(0.02)
                yield b"part"

        return Response(200, (), forever())

    reply = client_of("wsgi", app, max_s=0.2).ask("/", {"APSPerf-Profile": TOKEN})
    assert reply.status == 200
    assert b"burn_mine" in reply.body


def test_an_app_without_an_end_is_cut_at_the_bound() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            burn_mine(0.02)
            await asyncio.sleep(0.001)

    suite = Suite(profiling={**ON, "max_s": 0.2})
    assert "burn_mine" in asyncio.run(both(suite.asgi(until_theirs(app))))


def until_theirs(app: Any) -> Any:
    """The app for one request, and nothing for the other."""

    async def either(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/mine":
            await app(scope, receive, send)

    return either


async def both(app: Any, wish: str = f"{TOKEN};format=text") -> str:
    """The profile of one of two requests that run at the same time."""
    sent: list[Any] = []

    async def receive() -> Any:
        await anyio.sleep_forever()

    async def send(message: Any) -> None:
        sent.append(message)

    async def drop(message: Any) -> None:
        """Take it."""

    headers = [(b"host", b"shop.test"), (b"apsperf-profile", wish.encode())]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app, scope(path="/theirs"), receive, drop)
        tasks.start_soon(app, scope(path="/mine", headers=headers), receive, send)
    return b"".join(each.get("body", b"") for each in sent).decode()


async def by_turns(scope: Any, receive: Any, send: Any) -> None:
    burn = burn_mine if scope["path"] == "/mine" else burn_theirs
    for _ in range(10):
        burn(0.02)
        await asyncio.sleep(0.001)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


async def in_threads(scope: Any, receive: Any, send: Any) -> None:
    burn = burn_mine if scope["path"] == "/mine" else burn_theirs
    await anyio.to_thread.run_sync(burn)
    await asyncio.to_thread(burn)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


@pytest.mark.parametrize("app", [by_turns, in_threads])
def test_tasks_that_take_turns_are_told_apart(app: Any) -> None:
    suite = Suite(profiling=ON)
    text = asyncio.run(both(suite.asgi(app)))
    assert "burn_mine" in text
    assert "burn_theirs" not in text


def test_threads_are_told_apart() -> None:
    def app(request: Request) -> Response:
        (burn_mine if request.target == "/mine" else burn_theirs)()
        return page()

    client = client_of("wsgi", app)
    with ThreadPoolExecutor(2) as threads:
        other = threads.submit(client.ask, "/theirs")
        text = client.ask("/mine", {"APSPerf-Profile": f"{TOKEN};format=text"}).body.decode()
        other.result()
    assert "burn_mine" in text
    assert "burn_theirs" not in text


def test_a_worker_is_profiled_by_route(shell: str) -> None:
    client = client_of(shell)
    with ThreadPoolExecutor(2) as threads:
        busy = threads.submit(lambda: [client.ask() for _ in range(4)])
        asked = {"APSPerf-Profile": f"{TOKEN};seconds=1;format=text"}
        text = client.ask("/", asked).body.decode()
        busy.result()
    assert "burn_mine" in text
    assert "a process for 1 s" in text
    with pytest.raises(SettingError, match="form: 'pdf' given"):
        client.suite.profile(0.1, "pdf")
    assert "burn_mine" not in client.suite.profile(0.1, "text")


@pytest.mark.parametrize("stack", ["flask", "fastapi", "django-wsgi", "django-asgi"])
def test_each_framework_is_profiled(stack: str) -> None:
    from contextlib import ExitStack

    with ExitStack() as opened:
        site = Maker(stack, opened)(profiling=ON)
        reply = site.ask("/item/7", {"APSPerf-Profile": f"{TOKEN};format=text"})
        assert reply.status == 200
        assert reply.header("apsperf-profile-status") == "200"
        assert site.ask("/item/7").status == 200
        asked = site.ask(f"/said?control=no-store&apsperf-profile={TOKEN}%3Bformat%3Dtext")
        assert asked.header("apsperf-profile-status") == "200"
        assert (asked.header("content-type") or "").startswith("text/plain")
        assert TOKEN.encode() not in asked.body
        assert site.ask("/said?control=no-store&apsperf-profile=wrong").status == 200


def test_what_is_kept_is_bounded() -> None:
    stacks = Stacks()
    for n in range(MOST_STACKS + 10):
        stacks.add((str(n),))
    assert len(stacks.counts) == MOST_STACKS
    assert (stacks.samples, stacks.lost) == (MOST_STACKS + 10, 10)
    assert "</" not in stack_of(None, "/</script><script>")[0]


def test_hostile_names_are_no_markup(shell: str) -> None:
    def app(_: Request) -> Response:
        burn_mine(0.02)
        return page()

    target = "/%3Cscript%3Ealert(1)%3C/script%3E"
    body = client_of(shell, app).ask(target, {"APSPerf-Profile": TOKEN}).body
    assert b"<script>alert(1)" not in body
