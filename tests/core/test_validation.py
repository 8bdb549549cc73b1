"""Stale entries that the app is asked about (RFC 9111 §4.3), the same behind both shells."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from apsperf_mw.http.dates import format_http_date
from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient
from apsperf_mw.testing.messages import CacheStatus, Request, Response
from tests.core.conftest import Clock
from tests.core.support import ETAG, MINUTE, MODIFIED, Script, fresh, page

Wrap = Callable[..., Client]
Fields = tuple[tuple[str, str], ...]

UNCHANGED = Response(304, MINUTE)
STALE_FOR = ("Cache-Control", "max-age=60, stale-if-error=600")


@pytest.mark.parametrize("own", [{}, {"If-None-Match": '"mine"', "If-Modified-Since": "today"}])
@pytest.mark.parametrize(
    ("validators", "asked"),
    [
        ((ETAG,), {"if-none-match": '"v1"'}),
        ((MODIFIED,), {"if-modified-since": MODIFIED[1]}),
        ((ETAG, MODIFIED), {"if-none-match": '"v1"', "if-modified-since": MODIFIED[1]}),
        ((("ETag", 'W/"v1"'),), {"if-none-match": 'W/"v1"'}),
    ],
)
def test_the_app_is_asked_by_our_validators_in_place_of_the_clients(
    wrap: Wrap, clock: Clock, validators: Fields, asked: dict[str, str], own: dict[str, str]
) -> None:
    app = Script(fresh(*validators), UNCHANGED)
    client = wrap(app)
    client.ask()
    assert "if-none-match" not in app.last
    clock.move(61)
    reply = client.ask(headers={**own, "X-Own": "1"})
    assert app.last == {**asked, "x-own": "1"}
    assert (reply.status, reply.body) == (200, b"page")
    assert reply.cache == CacheStatus(fwd="stale", fwd_status=304, ttl_s=60, stored=True)


def test_an_entry_without_validators_is_fetched_anew(wrap: Wrap, clock: Clock) -> None:
    app = Script(fresh(), fresh(body=(b"newer",)))
    client = wrap(app)
    client.ask()
    clock.move(61)
    reply = client.ask()
    assert (reply.body, app.last) == (b"newer", {})
    assert reply.cache.stored
    assert client.ask().body == b"newer"


def test_a_304_to_the_clients_own_question_says_nothing_of_the_entry(
    wrap: Wrap, clock: Clock
) -> None:
    """There was nothing to ask the app by, so its answer is the client's alone."""
    app = Script(page("old", STALE_FOR), UNCHANGED, fresh(body=(b"newer",)))
    client = wrap(app)
    client.ask()
    clock.move(61)
    reply = client.ask(headers={"If-None-Match": '"mine"'})
    assert app.last == {"if-none-match": '"mine"'}
    assert (reply.status, reply.body) == (304, b"")
    assert client.ask().body == b"newer"


def test_a_304_is_shown_to_a_client_that_holds_what_it_confirms(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(fresh(ETAG), UNCHANGED))
    client.ask()
    clock.move(61)
    reply = client.ask(headers={"If-None-Match": '"v0", "v1"'})
    assert (reply.status, reply.body, reply.header("etag")) == (304, b"", '"v1"')
    assert reply.cache.fwd == "stale"
    assert client.ask().cache.hit


def test_a_200_replaces_the_entry_even_for_a_client_that_holds_the_older(
    wrap: Wrap, clock: Clock
) -> None:
    app = Script(fresh(ETAG), fresh(("ETag", '"v2"'), body=(b"newer",)))
    client = wrap(app)
    client.ask()
    clock.move(61)
    reply = client.ask(headers={"If-None-Match": '"v1"'})
    assert (reply.status, reply.body, reply.cache.fwd) == (200, b"newer", "stale")
    assert (client.ask().body, client.calls) == (b"newer", 2)
    assert client.ask(headers={"If-None-Match": '"v2"'}).status == 304


def test_a_304_brings_the_stored_fields_up_to_date(wrap: Wrap, clock: Clock) -> None:
    said = (("Content-Type", "text/plain"), ("X-Old", "1"), ("X-Both", "1"), ETAG)
    newer = (
        ("Cache-Control", "max-age=120"),
        ("X-Both", "2"),
        ("X-New", "2"),
        ("Content-Length", "99"),
        ("Content-Encoding", "br"),
        ("Content-Range", "bytes 0-1/2"),
        ("Content-MD5", "x"),
        ("ETag", 'W/"v1"'),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
    )
    client = wrap(Script(fresh(*said), Response(304, newer)))
    client.ask()
    clock.move(61)
    for reply in (client.ask(), client.ask()):
        assert (reply.status, reply.body, reply.header("content-length")) == (200, b"page", "4")
        assert reply.header("cache-control") == "max-age=120"
        assert (reply.header("x-old"), reply.header("x-both")) == ("1", "2")
        assert (reply.header("x-new"), reply.header("etag")) == ("2", '"v1"')
        assert reply.header("content-type") == "text/plain"
        for name in ("content-encoding", "content-range", "content-md5", "connection", "x-hop"):
            assert reply.header(name) is None
        assert (reply.header("age"), reply.cache.ttl_s) == ("0", 120)
    clock.move(119)
    assert client.ask().cache.hit
    clock.move(2)
    assert not client.ask().cache.hit


@pytest.mark.parametrize("restriction", ["no-store", "private", "private, max-age=60"])
def test_a_304_that_forbids_storing_serves_this_request_and_no_other(
    wrap: Wrap, clock: Clock, restriction: str
) -> None:
    app = Script(
        fresh(ETAG), Response(304, (("Cache-Control", restriction),)), fresh(body=(b"newer",))
    )
    client = wrap(app)
    client.ask()
    clock.move(61)
    reply = client.ask()
    assert (reply.status, reply.body) == (200, b"page")
    assert (reply.header("cache-control"), reply.header("age")) == (restriction, "0")
    assert reply.cache == CacheStatus(fwd="stale", fwd_status=304, ttl_s=0)
    assert client.ask().body == b"newer"
    assert "if-none-match" not in app.last
    assert len(client.suite.responses.flights) == 0


def test_a_304_that_forbids_storing_leaves_the_other_variants(wrap: Wrap, clock: Clock) -> None:
    def app(request: Request) -> Response:
        if request.header("if-none-match"):
            return Response(304, (("Cache-Control", "private"), ("Vary", "X-A")))
        kept_s = 60 if request.header("x-a") == "short" else 600
        control = ("Cache-Control", f"max-age={kept_s}")
        return page("page", control, ETAG, ("Vary", "X-A"))

    client = wrap(app)
    for name in ("short", "long"):
        client.ask(headers={"X-A": name})
    clock.move(61)
    assert client.ask(headers={"X-A": "short"}).header("cache-control") == "private"
    assert client.ask(headers={"X-A": "long"}).cache.hit
    assert client.ask(headers={"X-A": "short"}).cache.fwd == "uri-miss"


def test_no_304_reaches_a_client_that_did_not_ask(wrap: Wrap, clock: Clock) -> None:
    """Whatever the app makes of our question."""
    for status, body, given in ((304, "", b"page"), (200, "newer", b"newer"), (404, "no", b"no")):
        client = wrap(Script(fresh(ETAG), page(body, *MINUTE, status=status)))
        client.ask()
        clock.move(61)
        reply = client.ask()
        assert (reply.status, reply.body) == (200 if status == 304 else status, given)


def test_head_of_a_stale_entry_asks_the_app_without_conditions(wrap: Wrap, clock: Clock) -> None:
    app = Script(fresh(ETAG), fresh(ETAG, ("X-New", "1"), body=()))
    client = wrap(app)
    client.ask()
    clock.move(61)
    head = client.ask(method="HEAD")
    assert (head.status, head.body, app.last) == (200, b"", {})
    assert head.cache.fwd == "stale"


def test_the_answer_to_a_head_brings_the_entry_up_to_date(wrap: Wrap, clock: Clock) -> None:
    app = Script(fresh(ETAG), fresh(ETAG, ("X-New", "1"), body=()), fresh(body=(b"newer",)))
    client = wrap(app)
    client.ask()
    clock.move(61)
    client.ask(method="HEAD")
    hit = client.ask()
    assert (hit.cache.hit, hit.body, hit.header("x-new")) == (True, b"page", "1")


@pytest.mark.parametrize(
    "newer", [(("ETag", '"v2"'),), (ETAG, MODIFIED), (ETAG, ("Content-Length", "9"))]
)
def test_the_answer_to_a_head_that_tells_of_another_body_outdates_the_entry(
    wrap: Wrap, clock: Clock, newer: Fields
) -> None:
    app = Script(fresh(ETAG), fresh(*newer, body=()), fresh(body=(b"newer",)))
    client = wrap(app)
    client.ask()
    clock.move(61)
    client.ask(method="HEAD")
    assert client.ask().body == b"newer"
    assert app.last == {"if-none-match": '"v1"'}


def test_a_head_need_not_repeat_each_validator(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(fresh(ETAG, MODIFIED), fresh(MODIFIED, body=())))
    client.ask()
    clock.move(61)
    client.ask(method="HEAD")
    assert client.ask().cache.hit


def test_without_last_modified_the_date_answers_if_modified_since(wrap: Wrap, clock: Clock) -> None:
    """RFC 9111 §4.3.2; and without a Date the moment at which it came."""
    dates = [format_http_date(int(clock.wall) + at).decode() for at in (-1, 0, 1)]
    for fields in ((("Date", dates[1]),), ()):
        client = wrap(Script(fresh(*fields)))
        client.ask()
        got = [client.ask(headers={"If-Modified-Since": date}).status for date in dates]
        assert got == [200, 304, 304]


def test_a_year_of_two_digits_is_read_by_the_present_one(wrap: Wrap, clock: Clock) -> None:
    """RFC 9110 §5.6.7; the fixed clock stands in 2027."""
    for digits, hit in (("77", True), ("78", False)):
        expires = ("Expires", f"Friday, 01-Jan-{digits} 00:00:00 GMT")
        client = wrap(Script(page("page", expires)))
        client.ask()
        assert client.ask().cache.hit is hit


def test_a_304_of_a_part_says_no_content_range(wrap: Wrap) -> None:
    said = (ETAG, ("Content-Range", "bytes 0-3/9"))
    client = wrap(Script(fresh(*said, body=(b"page",), status=206)))
    client.ask(headers={"Range": "bytes=0-3"})
    reply = client.ask(headers={"Range": "bytes=0-3", "If-None-Match": '"v1"'})
    assert (reply.status, reply.header("content-range"), client.calls) == (304, None, 1)


@pytest.mark.parametrize("lines", [('"v1"', "*"), ("*", "*"), ('"x"', '"v1"')])
def test_lines_of_if_none_match_are_one_field_behind_both_shells(
    wrap: Wrap, lines: tuple[str, ...]
) -> None:
    client = wrap(Script(fresh(ETAG)))
    client.ask()
    fields = tuple(("If-None-Match", line) for line in lines)
    reply = client.send(Request("GET", "/", (("Host", "shop.test"), *fields)))
    assert reply.status == (304 if '"v1"' in lines else 200)


def test_what_the_app_took_counts_where_it_passes_an_age_on(wrap: Wrap, clock: Clock) -> None:
    """RFC 9111 §4.2.3: the Age was true when the app asked for it."""

    def app(_: Request) -> Response:
        clock.move(5)
        return fresh(("Age", "10"))

    client = wrap(app)
    client.ask()
    assert client.ask().header("age") == "15"


def test_what_was_voided_while_a_head_was_answered_stays_void(wrap: Wrap, clock: Clock) -> None:
    asked: list[Client] = []

    def answer_to_head(request: Request) -> Response:
        asked[0].ask(method="DELETE")
        return fresh(ETAG, body=())

    app = Script(fresh(ETAG), answer_to_head, page("", status=204), fresh(body=(b"newer",)))
    suite_client = wrap(app)
    # Behind the other shell of the same suite, so that no loop runs within another.
    asked.append(WSGIClient(suite_client.suite, app, raw_uri="RAW_URI"))
    suite_client.ask()
    clock.move(61)
    suite_client.ask(method="HEAD")
    assert suite_client.ask().body == b"newer"


@pytest.mark.parametrize("control", ["max-age=0", "max-age=60, must-revalidate", "s-maxage=60"])
def test_what_may_never_be_served_stale_is_asked_about_too(
    wrap: Wrap, clock: Clock, control: str
) -> None:
    app = Script(page("page", ("Cache-Control", control), ETAG), Response(304))
    client = wrap(app)
    client.ask()
    clock.move(61)
    reply = client.ask()
    assert (reply.status, reply.body) == (200, b"page")
    assert app.last == {"if-none-match": '"v1"'}


def test_a_stale_entry_is_kept_for_questions_as_long_as_the_settings_say(
    wrap: Wrap, clock: Clock
) -> None:
    for seconds, asked in ((1059, True), (1061, False)):
        app = Script(fresh(ETAG))
        client = wrap(app, keep_stale_s=1000)
        client.ask()
        clock.move(seconds)
        client.ask()
        assert ("if-none-match" in app.last) == asked


def test_an_outer_layer_keeps_the_request_as_it_was(wrap: Wrap, clock: Clock) -> None:
    app = Script(fresh(ETAG, MODIFIED), UNCHANGED)
    client = wrap(app)
    client.ask()
    clock.move(61)
    fields = {"If-None-Match": '"mine"', "X-Own": "1"}
    before, after = around(client, make_request(headers=fields))
    assert app.last == {"if-none-match": '"v1"', "if-modified-since": MODIFIED[1], "x-own": "1"}
    assert before == after
    assert any('"mine"' in str(part) for part in after)


def around(client: Client, request: Request) -> tuple[list[Any], list[Any]]:
    """The request's fields as whoever stands outside has them, before and after the app ran."""
    from anyio import run

    from apsperf_mw.testing.forms import scope_of

    if isinstance(client, WSGIClient):
        environ = client.environ(request)
        told = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
        with closing(client.shell(environ, lambda *_: print)) as body:
            b"".join(body)
        now = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
        return sorted(told.items()), sorted(now.items())
    assert isinstance(client, ASGIClient)
    scope = scope_of(request)
    before = list(scope["headers"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        """Nobody listens."""

    run(client.shell, scope, receive, send)
    return before, list(scope["headers"])
