"""What `@cached(...)` says of a route, and how requests that mean the same share a response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.exchange import Exchange
from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Gate, Request, Response
from tests.core.conftest import Clock
from tests.core.support import (
    ETAG,
    Script,
    followers,
    fresh,
    numbered,
    once,
    page,
    replies,
)

Wrap = Callable[..., Client]


def ruled(
    body: str = "page", *headers: tuple[str, str], status: int = 200, **rules: Any
) -> Response:
    """An answer of a route with these rules."""
    plan = Plan(rule=rule(**{"ttl": 60, **rules}))
    return page(body, *headers, status=status, plan=plan)


@pytest.mark.parametrize(
    ("headers", "control"),
    [
        ((), "max-age=60"),
        ((("Cache-Control", "max-age=5"),), "max-age=5"),
        ((("Cache-Control", "public"),), "public"),
        ((("Expires", "Thu, 01 Jan 2099 00:00:00 GMT"),), None),
        ((("CDN-Cache-Control", "max-age=5"),), None),
        ((("APSPerf-Cache-Control", "max-age=5"),), None),
        ((("Cache-Control", "no-store"),), "no-store"),
    ],
    ids=str,
)
def test_a_rule_writes_cache_control_only_where_the_app_sent_none(
    wrap: Wrap, headers: tuple[tuple[str, str], ...], control: str | None
) -> None:
    client = wrap(lambda _: ruled("page", *headers))
    for _ in range(2):
        assert client.ask().header("cache-control") == control


def test_a_rule_writes_nothing_on_what_is_not_stored(wrap: Wrap) -> None:
    client = wrap(lambda _: ruled("page", ("Set-Cookie", "a=1")))
    assert client.ask().header("cache-control") is None
    assert client.ask(headers={"Cookie": "a=1"}).header("cache-control") is None


def test_a_rule_outlives_a_304(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(ruled("page", ETAG, tags=["song"]), Response(304)))
    client.ask()
    for _ in range(3):
        clock.move(61)
        assert client.ask().cache.ttl_s == 60
    assert client.ask().header("cache-control") == "max-age=60"
    client.suite.purge("song", hard=True)
    assert not client.ask().cache.hit


def test_tags_do_not_pile_up_with_304s(wrap: Wrap, clock: Clock) -> None:
    plan = Plan(rule=rule(60, ["song"]), tags=("album",))
    client = wrap(Script(page("page", ETAG, plan=plan), Response(304, plan=plan)))
    for _ in range(5):
        client.ask()
        clock.move(61)
    client.ask()
    driver: Any = client.suite.driver("cache")
    assert [slot.value.tags for slot in driver._cache.slots.values()] == [("song", "album")]


def by_tenant(x: Exchange) -> bytes:
    return b",".join(x.fields(b"x-tenant"))


class Tenants:
    def Choose(self, x: Exchange) -> str:  # noqa: N802 - its name has capitals on purpose
        return x.query.decode()[:1]


def test_a_field_of_the_rule_keeps_responses_apart_and_is_told_downstream(wrap: Wrap) -> None:
    client = wrap(lambda r: ruled(str(r.header("x-mode")), ("Vary", "Accept"), vary=["X-Mode"]))
    for _ in range(2):
        for mode in ("a", "b"):
            reply = client.ask(headers={"X-Mode": mode})
            assert reply.body == mode.encode()
            assert sorted(reply.lines("vary")) == ["Accept", "x-mode"]
    assert client.calls == 2


@pytest.mark.parametrize("key", [by_tenant, Tenants().Choose, lambda x: b"\xff" + x.query[:1]])
def test_a_function_of_the_rule_keeps_responses_apart(
    wrap: Wrap, key: Callable[[Exchange], str | bytes]
) -> None:
    client = wrap(lambda r: ruled(str(r.header("x-tenant")) + r.target, key=key))
    for _ in range(2):
        for tenant in ("a", "b"):
            reply = client.ask(f"/?{tenant}", {"X-Tenant": tenant})
            assert reply.body.decode() == f"{tenant}/?{tenant}"
            assert reply.header("cache-control") is None  # nobody else could keep them apart
    assert client.calls == 2


def test_two_functions_of_one_name_are_two(wrap: Wrap) -> None:
    first, second = (lambda x: "same"), (lambda x: "other")
    assert rule(1, key=first).vary != rule(1, key=second).vary
    assert rule(1, key=first).vary == rule(1, key=first).vary


@pytest.mark.parametrize(
    ("status", "ttl_s"),
    [(200, 60), (301, 60), (404, 5), (410, 300), (418, 7), (503, 3), (403, None)],
)
def test_statuses_have_lifetimes_of_their_own(
    wrap: Wrap, clock: Clock, status: int, ttl_s: int | None
) -> None:
    statuses = {404: 5, 410: "short", 418: 7, 503: 3}
    client = wrap(lambda _: ruled("page", status=status, statuses=statuses))
    client.ask()
    assert client.ask().cache.ttl_s == ttl_s


def test_what_is_not_there_has_a_class_of_its_own(wrap: Wrap, clock: Clock) -> None:
    for negative, ttl_s in ((0, None), (15, 15)):
        for status in (404, 410):
            suite = Suite(ttl={"negative": negative})
            client = wrap(lambda _, status=status: ruled("none", status=status), suite)
            client.ask()
            assert client.ask().cache.ttl_s == ttl_s


def test_a_function_gives_the_lifetime_by_status_and_fields(wrap: Wrap, clock: Clock) -> None:
    def ttl(status: int, fields: Mapping[str, str]) -> float | str:
        return "long" if fields.get("x-kind") == "asset" else status / 10

    kinds = {"/asset": (("X-Kind", "asset"),), "/page": ()}
    client = wrap(lambda r: ruled("page", *kinds[r.target], ttl=ttl))
    for target, ttl_s in (("/asset", 86_400), ("/page", 20)):
        client.ask(target)
        assert client.ask(target).cache.ttl_s == ttl_s


@pytest.mark.parametrize(
    ("status", "given", "ttl_s"),
    [(200, 0, None), (302, 30, 30), (404, 30, 30), (410, 0, None), (403, 30, 10), (200, 30, 30)],
)
def test_a_function_decides_for_every_status(
    wrap: Wrap, clock: Clock, status: int, given: float, ttl_s: int | None
) -> None:
    """But that errors which pass are kept for seconds at most."""
    asked: list[int] = []

    def ttl(status: int, fields: Mapping[str, str]) -> float:
        asked.append(status)
        return given

    client = wrap(lambda _: ruled("page", status=status, ttl=ttl))
    client.ask()
    assert (client.ask().cache.ttl_s, set(asked)) == (ttl_s, {status})


def test_a_status_with_a_lifetime_of_its_own_needs_no_function(wrap: Wrap, clock: Clock) -> None:
    client = wrap(lambda _: ruled(ttl=lambda _, __: 30, status=404, statuses={404: 7}))
    client.ask()
    assert client.ask().cache.ttl_s == 7


def test_a_function_that_fails_is_no_fault_of_the_app(wrap: Wrap) -> None:
    def ttl(status: int, fields: Mapping[str, str]) -> float:
        raise KeyError(status)

    client = wrap(lambda _: ruled(ttl=ttl))
    for _ in range(2):
        assert client.ask().body == b"page"
    assert len(client.suite.responses.flights) == 0
    assert client.suite.faults.counts["the cache's reading of a response"] == 2


def test_jitter_cuts_lifetimes_of_rules_alone(wrap: Wrap) -> None:
    suite = Suite(ttl={"jitter": 0.5})
    client = wrap(lambda r: ruled(ttl=1000) if r.target < "/m" else fresh(), suite)
    ttls = []
    for number in range(30):
        client.ask(f"/{number}")
        ttls.append(client.ask(f"/{number}").cache.ttl_s or 0)
    assert all(499 <= ttl_s <= 1000 for ttl_s in ttls)
    assert len(set(ttls)) > 1
    client.ask("/z")
    assert client.ask("/z").cache.ttl_s in {59, 60}


@pytest.mark.parametrize(
    ("field", "one", "other", "same"),
    [
        ("Accept-Encoding", "gzip, br", "br,gzip", True),
        ("Accept-Encoding", "GZIP;q=1.0, br", "br, gzip", True),
        ("Accept-Encoding", "gzip;q=0.5, br", "br, gzip", False),
        ("Accept-Encoding", "gzip", "br", False),
        ("Accept-Language", "de-CH, en;q=0.8", "en;q=0.8,de-ch", True),
        ("Accept-Language", "de;q=0.8, en", "de, en;q=0.8", False),
        ("Accept", "text/html,  text/plain ;q=0.5", "text/html,text/plain;q=0.5", True),
        ("Accept", "text/html, text/plain", "text/plain, text/html", False),
        ("X-Mode", "a", "A", False),
        ("X-Mode", 'a, "b, c"', 'a, "b,c"', False),
    ],
)
def test_requests_that_mean_the_same_share_a_variant(
    wrap: Wrap, field: str, one: str, other: str, same: bool
) -> None:
    app = numbered(("Cache-Control", "max-age=60"), ("Vary", field))
    client = wrap(app)
    client.ask(headers={field: one})
    assert client.ask(headers={field: other}).cache.hit == same
    assert client.ask(headers={field: one}).cache.hit


def test_the_first_choice_of_language_selects_a_variant_in_that_language(wrap: Wrap) -> None:
    def app(request: Request) -> Response:
        language = (request.header("accept-language") or "en")[:2].lower()
        return fresh(
            ("Vary", "Accept-Language"), ("Content-Language", language), body=[language.encode()]
        )

    client = wrap(app)
    client.ask(headers={"Accept-Language": "de, en;q=0.5"})
    client.ask(headers={"Accept-Language": "fr"})
    for asked, body in (("de", b"de"), ("DE;q=0.9, fr;q=0.2", b"de"), ("fr, de;q=0.9", b"fr")):
        reply = client.ask(headers={"Accept-Language": asked})
        assert (reply.cache.hit, reply.body) == (True, body)
    for asked in ("de, fr", "it", "de;q=0", "de-CH", ""):
        assert not client.ask(headers={"Accept-Language": asked}).cache.hit


def test_what_is_asked_for_too_rarely_is_not_stored(wrap: Wrap) -> None:
    client = wrap(numbered(), min_uses=3)
    details = [client.ask("/a").cache for _ in range(4)]
    assert [status.detail for status in details] == ["uses", "uses", "", ""]
    assert [status.hit for status in details] == [False, False, False, True]
    assert client.ask("/b").cache.detail == "uses"
    assert client.suite.responses._unstorable == {}


def test_a_crowd_counts_one_by_one(crowd: Wrap) -> None:
    gate = Gate()
    client = crowd(lambda _: fresh(hold=gate), min_uses=5)
    opened = once(lambda: followers(client.suite) == 9, gate.open)
    got = replies(client.send_all([make_request()] * 10, meanwhile=opened))
    assert (client.calls, len(got)) == (1, 10)
    assert client.ask().cache.hit


def test_what_is_stored_already_is_renewed_whatever_the_count(wrap: Wrap, clock: Clock) -> None:
    client = wrap(numbered(("Cache-Control", "max-age=60"), ETAG), min_uses=2)
    client.ask()
    client.ask()
    clock.move(61)
    uses: Any = client.suite.responses.admission
    uses._uses.clear()
    assert client.ask().cache.stored
    assert client.ask().cache.hit


def test_counts_are_bounded_and_what_was_asked_for_often_is_remembered(wrap: Wrap) -> None:
    client = wrap(numbered(), min_uses=2)
    uses: Any = client.suite.responses.admission
    for _ in range(2):
        uses.count(("often",))
    for number in range(20_000):
        uses.count((str(number),))
    assert len(uses._uses) <= 4096
    assert uses.admits(("often",))


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("/", "http://shop.test/"),
        ("/a%20b?c=d", "http://shop.test/a%20b?c=d"),
        ('/"quoted"\\', 'http://shop.test/\\"quoted\\"\\\\'),
        ("/" + "x" * 3000, "http://shop.test, a long URL"),
    ],
)
def test_cache_status_says_the_key_where_it_is_asked_to(wrap: Wrap, target: str, key: str) -> None:
    client = wrap(Script(fresh(ETAG)), status_key=True)
    for fields in (
        {},
        {},
        {"If-None-Match": '"v1"'},
        {"Range": "bytes=0-1"},
        {"Range": "bytes=9-"},
    ):
        lines = client.ask(target, fields).lines("cache-status")
        assert lines[0].endswith(f'; key="{key}"')
    assert client.ask(target, {"X-Api-Key": "x"}).cache.key == ""
    assert wrap(Script(fresh())).ask(target).cache.key == ""


def test_a_shown_key_is_bounded(wrap: Wrap) -> None:
    client = wrap(Script(fresh()), status_key=True)
    for _ in range(2):
        assert len(client.ask("/" + "x" * 1000).lines("cache-status")[0]) < 400
