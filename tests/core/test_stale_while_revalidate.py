"""stale-while-revalidate (RFC 5861 §3): served at once, and fetched anew once behind it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.cache.rests import Rests
from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import ASGIClient, Client
from apsperf_mw.testing.messages import CacheStatus, Gate, Request, Response
from tests.core.conftest import Clock
from tests.core.support import (
    ETAG,
    Script,
    ask_and_wait,
    once,
    page,
    quiet_after,
    replies,
)

Wrap = Callable[..., Client]

WINDOW = ("Cache-Control", "max-age=60, stale-while-revalidate=600")


def test_a_stale_response_is_served_at_once_and_the_next_one_is_new(
    crowd: Wrap, clock: Clock
) -> None:
    gate = Gate()
    client = crowd(Script(page("old", WINDOW), page("new", WINDOW, hold=gate)))
    client.ask()
    clock.move(90.5)
    reply = client.ask()
    with suppress(RuntimeError):  # the loop has ended, and the refresh with it
        gate.open()
    assert (reply.status, reply.body, reply.header("age")) == (200, b"old", "90")
    assert reply.cache == CacheStatus(hit=True, ttl_s=-31)


@pytest.mark.parametrize("control", [WINDOW[1], "max-age=0, stale-while-revalidate=660"])
def test_what_was_fetched_behind_is_served_next(crowd: Wrap, clock: Clock, control: str) -> None:
    said = ("Cache-Control", control)
    client = crowd(Script(page("old", said), page("new", WINDOW)))
    client.ask()
    clock.move(90)
    assert ask_and_wait(client, calls=2).body == b"old"
    hit = client.ask()
    assert (hit.body, hit.cache.ttl_s, hit.header("age")) == (b"new", 60, "0")
    assert client.calls == 2
    assert client.suite.faults.counts == {}


FIELDS: list[dict[str, str]] = [
    {},
    {"If-None-Match": '"mine"'},
    {"Range": "bytes=0-1"},
    {"Cookie": "s=1"},
    {"If-None-Match": '"mine"', "Cookie": "s=1"},
]


@pytest.mark.parametrize("settings", [{}, {"patience_s": 0}, {"request_directives": "honour"}])
def test_however_many_ask_and_however_there_is_one_refresh(
    crowd: Wrap, clock: Clock, settings: dict[str, Any]
) -> None:
    gate = Gate()
    public = (WINDOW[0], WINDOW[1] + ", public")
    client = crowd(Script(page("old", public, ETAG), page("new", public, hold=gate)), **settings)
    client.ask()
    clock.move(61)
    asked = FIELDS + ([{"Cache-Control": "max-stale"}] if "request_directives" in settings else [])
    requests = [make_request(headers=asked[number % len(asked)]) for number in range(50)]
    served: list[object] = []
    client.suite.hooks.ends = (*client.suite.hooks.ends, served.append)
    all_served = once(lambda: len(served) == 50 and gate.arrivals == 1, gate.open)
    quiet = quiet_after(client, calls=2)
    got = replies(client.send_all(requests, meanwhile=lambda: all_served() and quiet()))
    assert {reply.body for reply in got} == {b"old", b"ol"}
    assert {reply.cache.hit for reply in got} == {True}
    assert client.calls == 2
    assert client.ask().body == b"new"


def test_a_crowd_on_an_entry_of_several_variants_refreshes_each_once(
    crowd: Wrap, clock: Clock
) -> None:
    def app(request: Request) -> Response:
        return page(str(request.header("x-mode")), WINDOW, ("Vary", "X-Mode"))

    client = crowd(app)
    modes = ["a", "b", "c"]
    for mode in modes:
        client.ask(headers={"X-Mode": mode})
    clock.move(61)
    requests = [make_request(headers={"X-Mode": modes[number % 3]}) for number in range(30)]
    got = replies(client.send_all(requests, meanwhile=quiet_after(client, calls=6)))
    assert [reply.body.decode() for reply in got] == modes * 10
    assert client.calls == 6
    assert all(client.ask(headers={"X-Mode": mode}).cache.ttl_s == 60 for mode in modes)


class Broken(Exception):
    pass


@pytest.mark.parametrize(
    ("answer", "faults"),
    [
        (Response(error=Broken()), {"a background refresh": 1}),
        (page("error", status=500), {}),
        (page("error", status=503), {}),
        (page("secret", ("Cache-Control", "no-store")), {}),
        (page("cookie", WINDOW, ("Set-Cookie", "a=1")), {}),
        (page("gone", status=404), {}),
    ],
    ids=["raises", "500", "503", "no-store", "set-cookie", "404"],
)
def test_a_refresh_that_brings_nothing_leaves_the_entry_to_its_window(
    crowd: Wrap, clock: Clock, answer: Response, faults: dict[str, int]
) -> None:
    client = crowd(Script(page("old", WINDOW), answer, page("new", WINDOW)))
    client.ask()
    clock.move(61)
    assert ask_and_wait(client, calls=2).body == b"old"
    assert client.suite.faults.counts == faults
    assert len(client.suite.responses.flights) == 0
    assert (client.ask().body, client.calls) == (b"old", 2)  # left alone for a second
    clock.move(1)
    assert ask_and_wait(client, calls=3).body == b"old"
    assert client.ask().body == b"new"


def test_the_rest_between_refreshes_that_fail_doubles_up_to_a_minute(
    crowd: Wrap, clock: Clock
) -> None:
    window = ("Cache-Control", "max-age=60, stale-while-revalidate=6000")
    script = Script(page("old", window), Response(error=Broken()))
    client = crowd(script)
    client.ask()
    clock.move(61)
    for number, rest_s in enumerate([1, 2, 4, 8, 16, 32, 60, 60]):
        assert ask_and_wait(client, calls=2 + number).body == b"old"
        clock.move(rest_s - 0.5)
        assert (client.ask().body, client.calls) == (b"old", 2 + number)
        clock.move(0.5)


def test_a_success_ends_the_rests(crowd: Wrap, clock: Clock) -> None:
    bad = Response(error=Broken())
    client = crowd(Script(page("old", WINDOW), bad, bad, page("new", WINDOW), bad))
    client.ask()
    clock.move(61)
    for calls in (2, 3, 4):
        ask_and_wait(client, calls=calls)
        clock.move(2 ** (calls - 2))
    assert (client.ask().body, len(client.suite.responses.rests)) == (b"new", 0)
    clock.move(61)
    assert ask_and_wait(client, calls=5).body == b"new"
    clock.move(1)
    assert ask_and_wait(client, calls=6).body == b"new"


def test_rests_are_bounded() -> None:
    rests = Rests(most=10)
    for number in range(25):
        rests.begin(("key", number), (), 0.0)
        assert len(rests) <= 10
    assert not rests.may(("key", 24), (), 0.5)
    assert rests.may(("key", 24), (), 1.0)


def test_a_head_that_is_served_stale_has_it_fetched_anew(crowd: Wrap, clock: Clock) -> None:
    app = Script(page("old", WINDOW), page("new", WINDOW))
    client = crowd(app)
    client.ask()
    clock.move(61)
    reply = ask_and_wait(client, calls=2, request=make_request(method="HEAD"))
    assert (reply.cache.hit, reply.cache.ttl_s) == (True, -1)
    assert app.requests[-1].method == "GET"
    assert client.ask().body == b"new"


def test_a_304_in_the_background_renews_the_entry(crowd: Wrap, clock: Clock) -> None:
    app = Script(page("old", WINDOW, ETAG), Response(304, (WINDOW, ("X-New", "1"))))
    client = crowd(app)
    client.ask()
    clock.move(61)
    assert ask_and_wait(client, calls=2, request=make_request(headers={"X-Own": "1"})).status == 200
    assert app.last == {"if-none-match": '"v1"'}
    hit = client.ask()
    assert (hit.body, hit.header("x-new"), hit.cache.ttl_s) == (b"old", "1", 60)


def test_past_its_window_it_is_stale_as_any_other(crowd: Wrap, clock: Clock) -> None:
    client = crowd(Script(page("old", WINDOW), page("new", WINDOW)))
    client.ask()
    clock.move(661)
    reply = client.ask()
    assert (reply.body, reply.cache.stored) == (b"new", True)


@pytest.mark.parametrize(
    "directive", ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache", 'no-cache="x"']
)
def test_what_may_not_be_stale_is_never_served_so(
    crowd: Wrap, clock: Clock, directive: str
) -> None:
    said = ("Cache-Control", f"{directive}, {WINDOW[1]}")
    client = crowd(Script(page("old", said, ETAG), page("new", said, ETAG)))
    client.ask()
    clock.move(61)
    assert client.ask().body == b"new"


def test_a_purged_entry_is_not_served_stale(crowd: Wrap, clock: Clock) -> None:
    client = crowd(Script(page("old", WINDOW, plan=Plan(tags=("song",))), page("new", WINDOW)))
    client.ask()
    clock.move(61)
    client.suite.purge("song")
    assert client.ask().body == b"new"


def test_a_purge_during_the_refresh_voids_what_it_brings(crowd: Wrap, clock: Clock) -> None:
    gate = Gate()
    tagged = Plan(tags=("song",))
    client = crowd(
        Script(
            page("old", WINDOW, plan=tagged),
            page("older than the purge", WINDOW, plan=tagged, hold=gate),
            page("new", WINDOW, plan=tagged),
        )
    )
    client.ask()
    clock.move(61)

    def purge() -> None:
        client.suite.purge("song")
        gate.open()

    purged = once(lambda: gate.arrivals == 1, purge)
    quiet = quiet_after(client, calls=2)
    client.send_all([make_request()], meanwhile=lambda: purged() and quiet())
    assert client.ask().body == b"new"


def test_a_rule_may_give_the_window(crowd: Wrap, clock: Clock) -> None:
    plan = Plan(rule=rule(60, stale_while_revalidate=600))
    client = crowd(Script(page("old", plan=plan), page("new", plan=plan)))
    said = "max-age=60, stale-while-revalidate=600"
    assert client.ask().header("cache-control") == said
    clock.move(61)
    stale = ask_and_wait(client, calls=2)
    assert (stale.body, stale.header("cache-control")) == (b"old", said)
    assert client.ask().body == b"new"


def test_a_suite_that_is_closed_refreshes_nothing(crowd: Wrap, clock: Clock) -> None:
    client = crowd(Script(page("old", WINDOW), page("new", WINDOW)))
    client.ask()
    clock.move(61)
    client.suite.background.close()
    for _ in range(2):
        assert client.ask().body == b"old"
    assert client.calls == 1
    assert len(client.suite.responses.flights) == 0


def test_where_no_more_can_run_behind_the_entry_is_served_and_nothing_waits(
    crowd: Wrap, clock: Clock
) -> None:
    gate = Gate()
    suite = Suite()
    suite.background._crew._most = 2
    suite.background._most_tasks = 2

    def app(request: Request) -> Response:
        return page(request.target, WINDOW, hold=gate if calls["counted"] else None)

    calls = {"counted": False}
    client = crowd(app, suite)
    targets = ["/a", "/b", "/c", "/d"]
    for target in targets:
        client.ask(target)
    clock.move(61)
    calls["counted"] = True
    requests = [make_request(target) for target in targets]
    quiet = quiet_after(client, calls=6)
    served: list[object] = []
    suite.hooks.ends = (*suite.hooks.ends, served.append)
    busy = once(lambda: len(served) == 4 and gate.arrivals == 2, gate.open)
    got = replies(client.send_all(requests, meanwhile=lambda: busy() and quiet()))
    assert [reply.body.decode() for reply in got] == targets
    assert client.calls == 6


def test_a_loop_that_ends_before_the_refresh_leaves_it_to_the_next(clock: Clock) -> None:
    held: list[Gate] = []
    app = Script(page("old", WINDOW), lambda _: page("new", WINDOW, hold=next(iter(held), None)))
    client = ASGIClient(Suite(), app)
    client.ask()
    held.append(Gate())
    clock.move(61)
    for _ in range(2):
        assert client.ask().body == b"old"
        assert len(client.suite.responses.flights) == 0
    held.clear()
    ask_and_wait(client, calls=client.calls + 1)
    assert client.ask().body == b"new"
