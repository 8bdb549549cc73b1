"""Stale entries in place of failures (RFC 5861 §4, RFC 9111 §4.2.4)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan
from apsperf_mw.testing.forms import environ_of, make_request
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import CacheStatus, Gate, Response
from tests.core.conftest import Clock
from tests.core.support import ETAG, Script, followers, once, page, parts, replies

Wrap = Callable[..., Client]

WINDOW = ("Cache-Control", "max-age=60, stale-if-error=600")
STOOD_IN = "the app, for which a stale response stood in"


class Broken(Exception):
    pass


@pytest.mark.parametrize("validators", [(), (ETAG,)], ids=["", "etag"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_stale_entry_stands_in_for_a_failure(
    wrap: Wrap, clock: Clock, status: int, validators: tuple[tuple[str, str], ...]
) -> None:
    client = wrap(Script(page("old", WINDOW, *validators), page("error", status=status)))
    client.ask()
    clock.move(90)
    for _ in range(2):
        reply = client.ask()
        assert (reply.status, reply.body, reply.header("age")) == (200, b"old", "90")
        assert reply.cache == CacheStatus(fwd="stale", fwd_status=status, detail=f"error {status}")
    assert client.calls == 3
    assert client.suite.faults.counts == {}
    clock.move(571)
    assert client.ask().status == status


@pytest.mark.parametrize("status", [400, 404, 429, 501, 505])
def test_other_errors_are_the_apps_answer(wrap: Wrap, clock: Clock, status: int) -> None:
    client = wrap(Script(page("old", WINDOW), page("error", status=status)))
    client.ask()
    clock.move(61)
    assert (client.ask().status, client.ask().body) == (status, b"error")


def test_a_stale_entry_stands_in_for_an_exception_which_is_counted_and_logged(
    wrap: Wrap, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    client = wrap(Script(page("old", WINDOW), Response(error=Broken("details"))))
    client.ask()
    clock.move(61)
    with caplog.at_level(logging.ERROR, "apsperf"):
        reply = client.ask()
    assert (reply.status, reply.body) == (200, b"old")
    assert reply.cache == CacheStatus(fwd="stale", detail="Broken")
    assert client.suite.faults.counts == {STOOD_IN: 1}
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [Broken]
    assert len(client.suite.responses.flights) == 0


@pytest.mark.parametrize(
    "failure", [page("error", status=503), Response(error=Broken())], ids=["503", "raises"]
)
def test_it_stands_in_for_a_head_too(wrap: Wrap, clock: Clock, failure: Response) -> None:
    client = wrap(Script(page("old", WINDOW, ("X-Old", "1")), failure))
    client.ask()
    clock.move(61)
    reply = client.ask(method="HEAD")
    assert (reply.status, reply.body, reply.header("x-old")) == (200, b"", "1")
    assert client.calls == 2


def test_an_exception_goes_through_where_nothing_may_stand_in(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(page("old", ("Cache-Control", "max-age=60")), Response(error=Broken())))
    client.ask()
    clock.move(61)
    with pytest.raises(Broken):
        client.ask()
    assert client.suite.faults.counts == {}


@pytest.mark.parametrize("length", [(), (("Content-Length", "8"),)], ids=["", "length"])
def test_an_exception_after_the_start_goes_through(
    wrap: Wrap, clock: Clock, length: tuple[tuple[str, str], ...]
) -> None:
    def broken() -> Response:
        def body() -> object:
            yield b"half"
            raise Broken

        return Response(200, (WINDOW, *length), body())  # type: ignore[arg-type]

    client = wrap(Script(page("old", WINDOW), lambda _: broken()))
    client.ask()
    clock.move(61)
    for _ in range(2):
        with pytest.raises(Broken):
            client.ask()
    assert client.suite.faults.counts == {}
    assert len(client.suite.responses.flights) == 0


@pytest.mark.parametrize("error", ["status", "exception"])
@pytest.mark.parametrize(
    "directive",
    ["must-revalidate", "proxy-revalidate", "no-cache", 'no-cache="x-field"', "s-maxage=60"],
)
@pytest.mark.parametrize("settings", [{}, {"stale_on_error": True}], ids=["", "stale_on_error"])
def test_what_may_never_be_stale_stands_in_for_nothing(
    wrap: Wrap, clock: Clock, directive: str, error: str, settings: dict[str, bool]
) -> None:
    said = ("Cache-Control", f"{directive}, {WINDOW[1]}")
    failure = page("error", status=503) if error == "status" else Response(error=Broken())
    client = wrap(Script(page("old", said, ETAG), failure), **settings)
    client.ask()
    clock.move(61)
    if error == "status":
        assert client.ask().status == 503
    else:
        with pytest.raises(Broken):
            client.ask()


def test_without_a_directive_nothing_stands_in_but_by_the_setting(wrap: Wrap, clock: Clock) -> None:
    for settings, status in (({}, 503), ({"stale_on_error": True, "keep_stale_s": 100}, 200)):
        said = ("Cache-Control", "max-age=60")
        client = wrap(Script(page("old", said), page("error", status=503)), **settings)
        client.ask()
        clock.move(150)
        assert client.ask().status == status
        clock.move(20)
        assert client.ask().status == 503


def test_a_directive_limits_what_the_setting_gives(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(page("old", WINDOW), page("error", status=503)), stale_on_error=True)
    client.ask()
    clock.move(661)
    assert client.ask().status == 503


@pytest.mark.parametrize("error", ["status", "exception"])
def test_followers_share_what_stands_in(crowd: Wrap, clock: Clock, error: str) -> None:
    gate = Gate()
    if error == "status":
        failure = page("error", status=503, hold=gate)
    else:
        failure = Response(error=Broken(), hold=gate)
    client = crowd(Script(page("old", WINDOW), failure))
    client.ask()
    clock.move(61)
    opened = once(lambda: followers(client.suite) == 19, gate.open)
    got = replies(client.send_all([make_request()] * 20, meanwhile=opened))
    assert [(reply.status, reply.body) for reply in got] == [(200, b"old")] * 20
    assert sorted(reply.cache.collapsed for reply in got) == [False] + [True] * 19
    assert {reply.cache.fwd for reply in got} == {"stale"}
    assert {reply.cache.ttl_s for reply in got if reply.cache.collapsed} == {-1}
    assert client.calls == 2


def test_a_wsgi_error_page_with_its_exception_is_stood_in_for(clock: Clock) -> None:
    """An error handler calls `start_response` for the first time with `exc_info`."""
    calls = 0

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        nonlocal calls
        calls += 1
        if calls == 1:
            start_response("200 OK", [WINDOW])
            return [b"old"]
        try:
            raise Broken
        except Broken:
            start_response("500 Broken", [("X-Error", "1")], sys.exc_info())
        return [b"error"]

    suite, heads = Suite(), list[str]()
    shell = suite.wsgi(app)
    bodies = []
    for seconds in (0, 61, 600):
        clock.move(seconds)
        body = shell(environ_of(make_request()), lambda status, *_: heads.append(status))  # type: ignore[arg-type]
        bodies.append(b"".join(body))
    assert heads == ["200 OK", "200 OK", "500 Broken"]
    assert bodies == [b"old", b"old", b"error"]
    assert len(suite.responses.flights) == 0


def test_an_error_does_not_take_the_entrys_place(wrap: Wrap, clock: Clock) -> None:
    """Even one that says that it may be stored."""
    error = page("error", ("Cache-Control", "max-age=5"), status=503)
    client = wrap(Script(page("old", WINDOW), error, page("new", WINDOW)))
    client.ask()
    clock.move(61)
    assert client.ask().body == b"old"
    assert client.ask().body == b"new"


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("error", ["status", "exception"])
def test_what_was_purged_stands_in_for_nothing(
    wrap: Wrap, clock: Clock, error: str, hard: bool
) -> None:
    failure = page("error", status=503) if error == "status" else Response(error=Broken())
    old = page("old", WINDOW, ETAG, plan=Plan(tags=("song",)))
    client = wrap(Script(old, failure), stale_on_error=True)
    client.ask()
    client.suite.purge("song", hard=hard)
    if error == "status":
        assert client.ask().status == 503
    else:
        with pytest.raises(Broken):
            client.ask()


def test_what_was_purged_meanwhile_stands_in_for_nothing_either(crowd: Wrap, clock: Clock) -> None:
    gate = Gate()
    failure = page("error", status=503, hold=gate)
    client = crowd(Script(page("old", WINDOW, plan=Plan(tags=("song",))), failure))
    client.ask()
    clock.move(61)

    def purge() -> None:
        client.suite.purge("song")
        gate.open()

    purged = once(lambda: followers(client.suite) == 3, purge)
    got = replies(client.send_all([make_request()] * 4, meanwhile=purged))
    assert {reply.status for reply in got} == {503}


def test_a_failure_is_hidden_from_a_range_and_a_condition_too(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(page("0123456789", WINDOW, ETAG), page("error", status=500)))
    client.ask()
    clock.move(61)
    part = client.ask(headers={"Range": "bytes=2-3"})
    assert (part.status, part.body, part.cache.fwd) == (206, b"23", "stale")
    assert client.ask(headers={"If-None-Match": '"v1"'}).status == 304


def test_the_entry_is_not_for_whom_it_was_not_for(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(page("old", WINDOW), page("error", status=503)))
    client.ask()
    clock.move(61)
    assert client.ask().body == b"old"
    for fields in ({"Cookie": "s=1"}, {"Authorization": "Basic x"}, {"X-Api-Key": "x"}):
        assert client.ask(headers=fields).status == 503


def test_a_stream_after_an_error_is_dropped(wrap: Wrap, clock: Clock) -> None:
    error = Response(503, (), parts(b"error ", b"page"))
    client = wrap(Script(page("old", WINDOW), error))
    client.ask()
    clock.move(61)
    assert client.ask().body == b"old"
