"""The admin endpoint on both shells: who gets in, what it takes, and what it does."""

from __future__ import annotations

import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw import SettingError, Suite
from apsperf_mw.admin.api import MOST_BODY_BYTES, Request, answer
from apsperf_mw.admin.door import REFUSED, Door
from apsperf_mw.admin.questions import MOST_URL_CHARS
from apsperf_mw.asgi import ASGIShell
from apsperf_mw.faults import Faults
from apsperf_mw.settings import AdminSettings
from apsperf_mw.testing.forms import make_request, scope_of
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Gate, Reply, Response
from apsperf_mw.wsgi import WSGIShell
from tests.admin.support import (
    ADMIN,
    BASE,
    BEARER,
    TOKEN,
    Numbered,
    client_of,
    purge,
    shell_of,
    told,
)
from tests.core.support import replies

WRONG = [
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": TOKEN},
    {"Authorization": "Bearer "},
    {"Authorization": "Bearer \xff"},
    {"Cookie": f"token={TOKEN}"},
    {"X-Token": TOKEN},
]
HOSTILE = st.text(st.characters(), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
    max_leaves=8,
)


def test_it_is_off_unless_it_is_switched_on(shell: str) -> None:
    client = client_of(shell, admin={"token": TOKEN})
    assert client.suite.door is None
    assert type(shell_of(client)) in {ASGIShell, WSGIShell}
    assert client.ask(f"{BASE}/health", BEARER).status == 404
    assert client.calls == 1


@pytest.mark.parametrize("headers", WRONG)
def test_without_the_token_there_is_no_endpoint(shell: str, headers: dict[str, str]) -> None:
    client, bare = client_of(shell), client_of(shell, admin={})
    for method in ("GET", "POST", "PURGE"):
        for target in (f"{BASE}/health", f"{BASE}/health?token={TOKEN}", f"{BASE}/purge"):
            got = client.ask(target, headers, method=method)
            expected = bare.ask(target, headers, method=method)
            assert (got.status, got.headers, got.body) == (
                expected.status,
                expected.headers,
                expected.body,
            )
    assert client.suite.faults.counts[REFUSED] == 9


def test_two_authorization_fields_are_not_one() -> None:
    client = client_of("asgi")
    twice = [("Authorization", BEARER["Authorization"]), ("Authorization", "Bearer x")]
    assert client.ask(f"{BASE}/health", twice).status == 404


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from apsperf_mw.admin import door as module

    seen = []

    def compare(one: bytes, other: bytes) -> bool:
        seen.append((one, other))
        return one == other

    monkeypatch.setattr(module, "compare_digest", compare)
    door = Door(AdminSettings(token=TOKEN), Faults())
    assert door.opens((b"Bearer " + TOKEN.encode(),))
    assert not door.explains((b"wrong",))
    assert not door.opens(())
    assert seen == [
        (TOKEN.encode(), TOKEN.encode()),
        (b"wrong", TOKEN.encode()),
        (b"", TOKEN.encode()),
    ]


@pytest.mark.parametrize(
    "token", ["short", "x" * 15, "with space in the midst", "x" * 513, "ü" * 20]
)
def test_a_token_that_cannot_be_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(SettingError, match="admin.token: got '\\*\\*\\*' from code") as refused:
        Suite(admin={"enabled": True, "token": token})
    assert token not in str(refused.value)


def test_it_cannot_be_switched_on_without_a_token() -> None:
    with pytest.raises(SettingError, match="admin.token: not set; accepted where admin.enabled"):
        Suite(admin={"enabled": True})


@pytest.mark.parametrize("path", ["", "/", "admin", "/a/", "/a b", "/a?b", "//a"])
def test_a_path_that_cannot_be_is_refused(path: str) -> None:
    with pytest.raises(SettingError, match="admin.path"):
        Suite(admin={**ADMIN, "path": path})


def test_the_path_is_where_the_settings_say(shell: str) -> None:
    client = client_of(shell, admin={**ADMIN, "path": "/ops"})
    assert told(client.ask("/ops/health", BEARER))["status"] == "ok"
    assert client.ask(f"{BASE}/health", BEARER).status == 404
    for near in ("/ops", "/opsx/health", "/x/ops/health"):
        assert client.ask(near, BEARER).header("apsperf-admin") is None


def test_it_is_below_the_mount_point() -> None:
    client = client_of("asgi")
    request = make_request(f"/mounted{BASE}/health", BEARER)
    scope = {**scope_of(request), "root_path": "/mounted"}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    anyio.run(shell_of(client), scope, receive, send)
    assert sent[0]["status"] == 200


def test_health_and_stats(shell: str) -> None:
    client = client_of(shell)
    client.ask("/a")
    assert told(client.ask(f"{BASE}/health", BEARER))["pid"] == os.getpid()
    stats = told(client.ask(f"{BASE}/stats", BEARER))
    assert (stats["entries"], stats["evictions"], stats["flights"]) == (1, 0, 0)
    assert stats["size_bytes"] > 0
    assert stats["faults"] == {}


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        ({"tags": ["/a"]}, "a"),
        ({"urls": ["/a"]}, "a"),
        ({"urls": ["http://shop.test/a"]}, "a"),
        ({"urls": ["http://other.test/a"]}, ""),
        ({"prefixes": ["/a"]}, "a"),
        ({"everything": True}, "ab"),
        ({"tags": ["/a", "/b"], "hard": True}, "ab"),
    ],
)
def test_a_purge(shell: str, what: dict[str, Any], gone: str) -> None:
    client = client_of(shell)
    for target in ("/a", "/b"):
        client.ask(target)
    answered = told(purge(client, **what))
    assert answered["reached"] == "the workers of this host"
    assert answered["purged"]["hard"] == what.get("hard", False)
    for name in "ab":
        assert client.ask(f"/{name}").cache.hit == (name not in gone)


def test_a_purge_in_one_process_only_says_so(shell: str) -> None:
    client = client_of(shell, cache={"purge_file": "none"})
    assert told(purge(client, tags=["a"]))["reached"] == "this process"


def test_a_purge_that_does_not_reach_the_other_workers_says_so(shell: str, tmp_path: Any) -> None:
    client = client_of(shell, cache={"purge_file": str(tmp_path / "no" / "where")})
    client.ask("/a")
    error = told(purge(client, tags=["/a"]), 503)["error"]
    assert "purged in this process, but not in the other workers" in error
    assert not client.ask("/a").cache.hit


def test_a_purge_during_a_fill(shell: str) -> None:
    gate = Gate()
    pages = Numbered()

    def held(request: Any) -> Response:
        response = pages(request)
        response.hold = gate
        return response

    client = client_of(shell, held)
    with ThreadPoolExecutor(1) as thread:
        orders: list[Future[Reply]] = []

        def purge_amid() -> bool:
            if gate.arrivals and not orders:
                orders.append(thread.submit(purge, client, tags=["/a"]))
            if orders and orders[0].done():
                gate.open()
                return True
            return False

        (reply,) = replies(client.send_all([make_request("/a")], meanwhile=purge_amid))
        told(orders[0].result())
    assert reply.body == b"answer 1"
    assert client.ask("/a").body == b"answer 2"
    assert client.ask("/a").cache.hit


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "nothing named"),
        (b"{", "accepted: a JSON object of tags, urls"),
        (b"[]", "accepted: a JSON object of tags, urls"),
        (b"\xff", "accepted: a JSON object"),
        (b"[" * 60_000, "accepted: a JSON object"),
        (b'{"tags": "a"}', "tags: Expected `array`, got `str`; accepted: a list of non-empty"),
        (b'{"tags": [1]}', "tags: Expected `str`, got `int`"),
        (b'{"tags": [""]}', "tag '' given; accepted: non-empty strings"),
        (b'{"urls": ["a"]}', "URL 'a' given; accepted: http://host/path or /path"),
        (b'{"hard": "yes", "tags": ["a"]}', "hard: Expected `bool`, got `str`; accepted: true or"),
        (b'{"everything": 1}', "everything: Expected `bool`"),
        (b'{"tag": ["a"]}', "'tag': not a field; accepted: a JSON object of tags"),
        (b'{"tags": ["\\ud800"]}', "accepted: a JSON object"),
    ],
)
def test_a_body_that_is_wrong_is_told_what_is_accepted(shell: str, body: bytes, says: str) -> None:
    client = client_of(shell)
    clock = client.suite.responses.tags.clock
    reply = client.ask(f"{BASE}/purge", BEARER, method="POST", body=body)
    assert says in told(reply, 400)["error"]
    assert client.suite.responses.tags.clock == clock


def test_a_body_over_the_limit_is_refused(shell: str) -> None:
    client = client_of(shell)
    body = json.dumps({"tags": ["x" * MOST_BODY_BYTES]}).encode()
    error = told(client.ask(f"{BASE}/purge", BEARER, method="POST", body=body), 413)["error"]
    assert "accepted: 65536 bytes" in error
    exact = body.replace(b"x" * (len(body) - MOST_BODY_BYTES), b"", 1)
    assert len(exact) == MOST_BODY_BYTES
    told(client.ask(f"{BASE}/purge", BEARER, method="POST", body=exact))


def test_other_methods_and_names_are_refused(shell: str) -> None:
    client = client_of(shell)
    reply = client.ask(f"{BASE}/purge", BEARER)
    assert told(reply, 405)["error"] == "accepted: POST"
    assert reply.header("allow") == "POST"
    told(client.ask(f"{BASE}/stats", BEARER, method="POST"), 405)
    told(client.ask(f"{BASE}/health", BEARER, method="PURGE"), 405)
    for name in ("", "nothing", "purge/", "../purge"):
        assert "explain" in told(client.ask(f"{BASE}/{name}", BEARER), 404)["accepted"]
    assert client.calls == 0


def test_purge_as_a_method_is_off_by_default(shell: str) -> None:
    client = client_of(shell)
    client.ask("/a")
    assert client.ask("/a", BEARER, method="PURGE").cache.fwd == "method"
    assert client.calls == 2


@pytest.mark.parametrize("mode", [{}, {"APSPerf-Purge": "hard"}, {"APSPerf-Purge": " Soft "}])
def test_purge_as_a_method(shell: str, mode: dict[str, str]) -> None:
    client = client_of(shell, admin={**ADMIN, "http_purge": True})
    for target in ("/a?b=1", "/a"):
        client.ask(target)
    answered = told(client.ask("/a?b=1", {**BEARER, **mode}, method="PURGE"))
    assert answered["purged"]["urls"] == ["http://shop.test/a?b=1", "https://shop.test/a?b=1"]
    assert answered["purged"]["hard"] == (mode == {"APSPerf-Purge": "hard"})
    assert client.ask("/a").cache.hit
    assert not client.ask("/a?b=1").cache.hit
    assert client.calls == 3


def test_purge_as_a_method_without_the_token_is_the_apps(shell: str) -> None:
    client = client_of(shell, admin={**ADMIN, "http_purge": True})
    client.ask("/a")
    assert client.ask("/a", method="PURGE").header("apsperf-admin") is None
    assert client.calls == 2


def test_purge_as_a_method_says_what_it_cannot_do(shell: str) -> None:
    client = client_of(shell, admin={**ADMIN, "http_purge": True})
    mode = {**BEARER, "APSPerf-Purge": "harder"}
    assert "accepted: soft or hard" in told(client.ask("/a", mode, method="PURGE"), 400)["error"]
    forwarded = {**BEARER, "X-Forwarded-Host": "x"}
    error = told(client.ask("/a", forwarded, method="PURGE"), 409)["error"]
    assert "go round the cache (forwarded)" in error
    long = told(client.ask("/" + "x" * 3000, BEARER, method="PURGE"), 409)["error"]
    assert "purge it by tag or prefix" in long


def test_a_long_url_is_purged_too(shell: str) -> None:
    client = client_of(shell)
    target = "/" + "x" * 3000
    client.ask(target)
    assert client.ask(target).cache.hit
    told(purge(client, urls=[target]))
    assert not client.ask(target).cache.hit


@given(st.dictionaries(st.sampled_from(["tags", "urls", "prefixes", "everything", "hard"]), JSON))
def test_no_body_of_json_is_too_much(fields: dict[str, Any]) -> None:
    body = json.dumps(fields).encode("utf-8", "surrogatepass")
    assert ask(Request("POST", "purge", b"", body)).status in {200, 400}


@given(st.binary(max_size=300))
def test_no_body_of_bytes_is_too_much(body: bytes) -> None:
    assert ask(Request("POST", "purge", b"", body)).status in {200, 400}


@given(st.binary(max_size=100), st.sampled_from([b"", b"url=", b"url=/a&header=", b"url=http://"]))
def test_no_query_is_too_much(query: bytes, start: bytes) -> None:
    client = client_of("wsgi", cache={"purge_file": "none"})
    target = f"{BASE}/explain?{(start + query).decode('latin-1')}"
    assert client.ask(target, BEARER).status in {200, 400}


@given(HOSTILE, st.text("abcdefghijklmnopqrstuvwxyz/", max_size=20))
def test_any_tag_is_purged_as_it_is(tag: str, path: str) -> None:
    suite = Suite(cache={"purge_file": "none"})
    path = path.lstrip("/")  # behind two slashes there would be a host
    try:
        body = json.dumps({"tags": [tag], "urls": [f"/{path}"]}).encode()
    except UnicodeEncodeError:
        return
    reply = ask(Request("POST", "purge", b"", body), suite)
    surrogate = any("\ud800" <= char <= "\udfff" for char in tag)
    assert reply.status == (400 if not tag or surrogate else 200)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "with one url"),
        ("url=/a&url=/b", "with one url"),
        ("url=/a&token=x", "accepted: url, header"),
        ("url=a", "accepted: http://host/path or /path"),
        ("url=ftp://a/b", "accepted: http://host"),
        ("url=http://a%20b/", "accepted: http://host"),
        ("url=http://u:p@a/", "accepted: http://host"),
        ("url=/a%0d%0ab", "accepted: http://host"),
        ("url=/" + "x" * MOST_URL_CHARS, "accepted: http://host"),
        ("url=/a&header=x", "accepted: NAME:VALUE"),
        ("url=/a&header=a%20b:c", "accepted: NAME:VALUE"),
        ("url=/a&header=a:b%0ac", "accepted: NAME:VALUE"),
        ("url=/a" + "&header=a:b" * 100, "more than 64"),
    ],
)
def test_a_question_that_is_wrong_is_told_what_is_accepted(
    shell: str, query: str, says: str
) -> None:
    client = client_of(shell)
    assert says in told(client.ask(f"{BASE}/explain?{query}", BEARER), 400)["error"]
    assert client.calls == 0


def ask(request: Request, suite: Suite | None = None) -> Any:
    """The endpoint's answer with no server in front of it."""
    from apsperf_mw.admin.shells import AdminWSGIShell, WSGIHouse
    from apsperf_mw.runtime.step import step

    suite = suite or Suite(cache={"purge_file": "none"})
    owner = Suite(admin=ADMIN, cache={"purge_file": "none"})
    shell = owner.wsgi(lambda environ, start_response: [])
    assert isinstance(shell, AdminWSGIShell)
    house = WSGIHouse(shell, {})
    house.suite = suite
    return step(answer(house, request))


def test_requests_for_other_paths_are_as_ever(shell: str) -> None:
    client, bare = client_of(shell), client_of(shell, admin={})
    for target in ("/a", "/a", "/-/other", "/private"):
        got, expected = client.ask(target), bare.ask(target)
        assert (got.status, got.headers, got.body) == (
            expected.status,
            expected.headers,
            expected.body,
        )


def test_several_workers_hear_of_a_purge_over_http(shell: str) -> None:
    one: Client = client_of(shell)
    told(purge(one, tags=["song"]))
    assert one.suite.channel is not None
    assert one.suite.channel.file.state() is not None
