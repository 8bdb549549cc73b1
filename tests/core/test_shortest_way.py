"""A hit where nobody looks on: the same answer as where somebody does, by fewer steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.asgi_plain import PlainASGIShell
from apsperf_mw.testing.forms import environ_of, make_request
from apsperf_mw.wsgi_plain import PlainWSGIShell
from tests.core.conftest import make_client, unwatched
from tests.core.support import MINUTE, fresh, numbered

if TYPE_CHECKING:
    from apsperf_mw.testing.messages import Reply

SHELLS = ["asgi", "wsgi"]
ETAG = '"v1"'
LATER = "Sat, 01 Jan 2050 00:00:00 GMT"
VARIES = ("Vary", "Accept-Language")
ASKED: list[dict[str, Any]] = [
    {},
    {"method": "HEAD"},
    {"method": "POST"},
    {"headers": {"Accept-Language": "de"}},
    {"headers": {"Cookie": "a=1"}},
    {"headers": {"Authorization": "Bearer x"}},
    {"headers": {"Range": "bytes=0-1"}},
    {"headers": {"If-None-Match": ETAG}},
    {"headers": {"If-None-Match": 'W/"v1"'}},
    {"headers": {"If-None-Match": f'"v0", {ETAG}'}},
    {"headers": {"If-None-Match": "*"}},
    {"headers": {"If-None-Match": ""}},
    {"headers": {"If-None-Match": '"other"'}},
    {"headers": {"If-None-Match": '"v1'}},
    {"headers": {"If-None-Match": '"other"', "If-Modified-Since": LATER}},
    {"headers": {"If-None-Match": ETAG, "Cookie": "a=1"}},
    {"headers": {"If-None-Match": ETAG, "If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"}},
    {"headers": {"If-Modified-Since": LATER}},
    {"headers": {"If-Match": '"other"'}},
    {"headers": {"X-Forwarded-Host": "other.test"}},
]


def told(reply: Reply) -> tuple[Any, ...]:
    fields = [field for field in reply.headers if field[0] != b"date"]
    return reply.status, fields, reply.body


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("more", [(), (VARIES,)])
def test_the_answers_are_those_of_a_suite_that_observes(
    shell: str, status: int, more: tuple[Any, ...], clock: Any
) -> None:
    app = numbered(*MINUTE, ("ETag", ETAG), *more, status=status)
    other = numbered(*MINUTE, ("ETag", ETAG), *more, status=status)
    plain, watched = make_client(shell, unwatched(), app), make_client(shell, Suite(), other)
    for asked in [*ASKED, *ASKED]:
        assert told(plain.ask(**asked)) == told(watched.ask(**asked)), asked
    clock.move(59.5)
    for asked in ASKED:
        assert told(plain.ask(**asked)) == told(watched.ask(**asked)), asked
    clock.move(1)
    for asked in ASKED:
        assert told(plain.ask(**asked)) == told(watched.ask(**asked)), asked


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_purged_is_asked_for_again(shell: str) -> None:
    suite = unwatched()
    client = make_client(shell, suite, numbered(*MINUTE, ("Cache-Tag", "a")))
    assert [client.ask().body, client.ask().body] == [b"answer 1", b"answer 1"]
    suite.purge("other")
    assert client.ask().body == b"answer 1"
    suite.purge("a")
    assert client.ask().body == b"answer 2"
    suite.purge(prefixes=["/"])
    assert [client.ask().body, client.ask().body] == [b"answer 3", b"answer 3"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "section", [{"timing": {"enabled": True}}, {"cache": {"status_key": True}}]
)
def test_who_must_see_each_request_does(shell: str, section: dict[str, Any]) -> None:
    off: dict[str, Any] = {name: {"enabled": False} for name in ("timing", "memory", "tracing")}
    suite = Suite(**{**off, **section})
    kinds = PlainASGIShell, PlainWSGIShell
    assert not isinstance(suite.asgi(numbered()), kinds)  # type: ignore[arg-type]
    assert not isinstance(suite.wsgi(numbered()), kinds)  # type: ignore[arg-type]
    assert isinstance(unwatched().asgi(numbered()), PlainASGIShell)  # type: ignore[arg-type]
    assert isinstance(unwatched().wsgi(numbered()), PlainWSGIShell)  # type: ignore[arg-type]
    client = make_client(shell, suite, lambda _: fresh())
    assert [client.ask().cache.hit, client.ask().cache.hit] == [False, True]


class Broken(Exception):
    pass


def test_a_fault_of_the_look_up_sends_the_request_to_the_app(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suite = unwatched()
    clients = [make_client(shell, suite, numbered()) for shell in SHELLS]
    assert [client.ask().status for client in clients] == [200, 200]

    def fail(*_: Any) -> Any:
        raise Broken

    with monkeypatch.context() as patch:
        patch.setattr("apsperf_mw.asgi_plain.scope_key", fail)
        patch.setattr("apsperf_mw.wsgi_plain.environ_key", fail)
        assert [client.ask().cache.hit for client in clients] == [True, True]
    monkeypatch.setattr(suite.responses, "at_hand", fail)
    assert [client.ask().status for client in clients] == [200, 200]
    assert suite.faults.counts.total() == 2


def test_an_environ_that_cannot_be_read_is_passed_on() -> None:
    suite, seen = unwatched(), list[Any]()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return [b""]

    shell: Any = suite.wsgi(app)
    assert shell({**environ_of(make_request()), "PATH_INFO": None}, lambda *_: None) == [b""]
    assert len(seen) == 1
    assert suite.faults.counts.total() == 1


@pytest.mark.parametrize("asked", ['"\u20ac"', b'"v1"'])
def test_a_tag_that_no_server_should_give_sends_the_request_to_the_app(asked: Any) -> None:
    suite, seen = unwatched(), list[Any]()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [*MINUTE])
        return [b"page"]

    shell: Any = suite.wsgi(app)
    environ = environ_of(make_request())
    for more in ({}, {"HTTP_IF_NONE_MATCH": asked}):
        assert shell({**environ, **more}, lambda *_: None) == [b"page"]
    assert len(seen) == 2
    assert suite.faults.counts.total() == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_a_hit_counts_once(shell: str, clock: Any) -> None:
    suite = unwatched()
    client = make_client(shell, suite, numbered(*MINUTE, ("ETag", ETAG)))
    client.ask()
    driver: Any = suite.driver("cache")
    ways: list[dict[str, str]] = [{}, {"If-None-Match": ETAG}, {"If-Modified-Since": LATER}]
    for seconds in range(3):
        for headers in ways:
            before = driver.stats()["hits"]
            assert client.ask(headers=headers).cache.hit
            assert driver.stats()["hits"] - before == 1, (seconds, headers)
        clock.move(1)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_fork_that_leads_to_hits_is_in_use(shell: str) -> None:
    suite = Suite(
        default="memory://?max_entries=8&policy=lru",
        **{name: {"enabled": False} for name in ("timing", "memory", "tracing")},  # type: ignore[arg-type]
    )
    calls: list[str] = []

    def app(request: Any) -> Any:
        calls.append(request.target)
        return fresh(VARIES)

    client = make_client(shell, suite, app)
    for number in range(100):
        client.ask("/hot")
        client.ask(f"/cold{number}")
    assert calls.count("/hot") == 1
