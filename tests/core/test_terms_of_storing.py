"""What is stored and asked about each time, what is understood, and guessed lifetimes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apsperf_mw.http.dates import format_http_date
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Response
from tests.core.conftest import Clock
from tests.core.support import ETAG, MODIFIED, Script, page

Wrap = Callable[..., Client]


@pytest.mark.parametrize(
    "control",
    [
        "no-cache",
        "max-age=60, no-cache",
        "no-cache, s-maxage=60",
        'max-age=60, no-cache="set-cookie, x-field"',
        "max-age=0",
        "max-age=0, must-revalidate",
        "s-maxage=0, max-age=60",
    ],
)
@pytest.mark.parametrize("validator", [ETAG, MODIFIED], ids=["etag", "date"])
def test_it_is_stored_and_asked_about_each_time(
    wrap: Wrap, control: str, validator: tuple[str, str]
) -> None:
    said = ("Cache-Control", control)
    app = Script(page("page", said, validator), Response(304, (said,)))
    client = wrap(app)
    assert client.ask().cache.stored
    for _ in range(3):
        reply = client.ask()
        assert (reply.status, reply.body, reply.cache.fwd_status) == (200, b"page", 304)
        assert len(app.last) == 1
    assert client.calls == 4


@pytest.mark.parametrize("control", ["no-cache", 'max-age=60, no-cache="x"', "max-age=0"])
def test_what_cannot_be_asked_about_is_not_stored(wrap: Wrap, control: str) -> None:
    client = wrap(Script(page("page", ("Cache-Control", control))))
    for _ in range(2):
        reply = client.ask()
        assert (reply.cache.stored, reply.cache.hit) == (False, False)
        assert reply.cache.detail in {"no-cache", "no-lifetime"}


@pytest.mark.parametrize(
    ("control", "status", "stored"),
    [
        ("max-age=60, must-understand", 200, True),
        ("max-age=60, must-understand, no-store", 200, True),
        ("max-age=60, must-understand, no-store", 404, True),
        ("max-age=60, must-understand", 299, False),
        ("max-age=60, must-understand, no-store", 299, False),
        ("max-age=60", 299, True),
        ("max-age=60, no-store", 200, False),
    ],
)
def test_must_understand(wrap: Wrap, control: str, status: int, stored: bool) -> None:
    client = wrap(Script(page("page", ("Cache-Control", control), status=status)))
    client.ask()
    assert client.ask().cache.hit == stored


DAY_S = 86_400


def changed(clock: Clock, ago_s: int) -> tuple[str, str]:
    return ("Last-Modified", format_http_date(int(clock.wall) - ago_s).decode())


def test_lifetimes_are_not_guessed_unless_the_settings_say_so(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(page("page", changed(clock, DAY_S))))
    client.ask()
    assert not client.ask().cache.hit


@pytest.mark.parametrize(
    ("ago_s", "most_s", "ttl_s"),
    [(1000, DAY_S, 100), (100 * DAY_S, DAY_S, DAY_S), (100 * DAY_S, 60, 60)],
)
def test_a_tenth_of_the_time_since_the_last_change(
    wrap: Wrap, clock: Clock, ago_s: int, most_s: int, ttl_s: int
) -> None:
    client = wrap(
        Script(page("page", changed(clock, ago_s))), heuristic=True, heuristic_max_s=most_s
    )
    client.ask()
    assert client.ask().cache.ttl_s == ttl_s
    clock.move(ttl_s + 1)
    assert not client.ask().cache.hit


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
def test_statuses_that_may_be_guessed_for(wrap: Wrap, clock: Clock, status: int) -> None:
    body = "" if status == 204 else "page"
    client = wrap(Script(page(body, changed(clock, 1000), status=status)), heuristic=True)
    client.ask()
    assert client.ask().cache.hit


@pytest.mark.parametrize("status", [201, 202, 302, 307, 400, 403, 418, 500, 503])
def test_statuses_that_may_not_unless_the_response_is_public(
    wrap: Wrap, clock: Clock, status: int
) -> None:
    public = ("Cache-Control", "public")
    for fields, hit in (((), False), ((public,), True)):
        answer = page("page", changed(clock, 1000), *fields, status=status)
        client = wrap(Script(answer), heuristic=True)
        client.ask()
        assert client.ask().cache.hit == hit


@pytest.mark.parametrize(
    "fields",
    [
        (("Cache-Control", "max-age=0"),),
        (("Cache-Control", "no-store"),),
        (("Cache-Control", "private"),),
        (("Expires", "0"),),
        (("Last-Modified", "yesterday"),),
        (("Last-Modified", "Fri, 01 Jan 2100 00:00:00 GMT"),),
    ],
    ids=str,
)
def test_nothing_is_guessed_where_the_response_speaks(
    wrap: Wrap, clock: Clock, fields: tuple[tuple[str, str], ...]
) -> None:
    said = [] if fields[0][0] == "Last-Modified" else [changed(clock, 1000)]
    client = wrap(Script(page("page", *said, *fields)), heuristic=True)
    client.ask()
    assert not client.ask().cache.hit


def test_nothing_is_guessed_for_a_cookie(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(page("page", changed(clock, 1000))), heuristic=True)
    for _ in range(2):
        assert not client.ask(headers={"Cookie": "s=1"}).cache.hit
    client.ask()
    assert client.ask().cache.hit


def test_the_date_of_the_response_is_what_its_change_is_measured_by(
    wrap: Wrap, clock: Clock
) -> None:
    date = ("Date", format_http_date(int(clock.wall) - 50).decode())
    client = wrap(Script(page("page", changed(clock, 1050), date)), heuristic=True)
    client.ask()
    assert client.ask().cache.ttl_s == 50
