"""A client's own directives (RFC 9111 §5.2.1): ignored, or honoured in full by the settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Gate, Request, Response
from tests.core.conftest import Clock
from tests.core.support import ETAG, Script, fresh, once, page, replies

Wrap = Callable[..., Client]

HONOUR = {"request_directives": "honour"}
ALL = [
    "no-cache",
    "no-store",
    "max-age=0",
    "min-fresh=100",
    "max-stale",
    "only-if-cached",
    "no-transform",
]


@pytest.mark.parametrize("name", ["Cache-Control", "Pragma"])
@pytest.mark.parametrize("value", ALL)
def test_by_default_they_count_for_nothing(wrap: Wrap, clock: Clock, name: str, value: str) -> None:
    app = Script(page("old", ("Cache-Control", "max-age=60")), fresh(body=(b"new",)))
    client = wrap(app)
    first = client.ask(headers={name: value})
    assert (first.status, first.cache.stored) == (200, True)
    assert client.ask(headers={name: value}).cache.hit
    clock.move(61)
    assert client.ask(headers={name: value}).body == b"new"
    assert app.last == {name.lower(): value}


@pytest.mark.parametrize(
    ("value", "age_s", "control", "hit"),
    [
        ("max-age=10", 10, "max-age=60", True),
        ("max-age=10", 11, "max-age=60", False),
        ("max-age=0", 0, "max-age=60", True),
        ("max-age=0", 1, "max-age=60", False),
        ("max-age=0", 1, "max-age=60, immutable", True),
        ("max-age=1", 2, "max-age=60, immutable", False),
        ("max-age=0", 61, "max-age=60, immutable", False),
        ("max-age=x", 1, "max-age=60", False),
        ("MAX-AGE=10", 11, "max-age=60", False),
        ("min-fresh=20", 40, "max-age=60", True),
        ("min-fresh=20", 41, "max-age=60", False),
        ("no-cache", 0, "max-age=60", False),
        ("no-cache", 0, "max-age=60, immutable", False),
        ("max-stale", 10_000, "max-age=60", True),
        ("max-stale=10", 70, "max-age=60", True),
        ("max-stale=10", 71, "max-age=60", False),
        ("max-stale", 61, "max-age=60, must-revalidate", False),
        ("max-stale", 61, "max-age=60, proxy-revalidate", False),
        ("max-stale", 61, "s-maxage=60", False),
        ("max-stale", 0, "no-cache", False),
        ("max-age=100, max-stale=10", 70, "max-age=60", True),
        ("max-age=5, max-stale=10", 70, "max-age=60", False),
        ("max-age=100", 61, "max-age=60, stale-while-revalidate=600", False),
        ("no-transform", 1, "max-age=60", True),
        ("only-if-cached", 1, "max-age=60", True),
        ("only-if-cached, max-stale=10", 70, "max-age=60", True),
        ("x-unknown=1", 1, "max-age=60", True),
    ],
)
def test_what_an_honoured_directive_accepts(
    wrap: Wrap, clock: Clock, value: str, age_s: int, control: str, hit: bool
) -> None:
    client = wrap(
        Script(page("old", ("Cache-Control", control), ETAG), fresh(ETAG, body=(b"new",))),
        keep_stale_s=100_000,
        **HONOUR,
    )
    client.ask()
    clock.move(age_s)
    reply = client.ask(headers={"Cache-Control": value})
    assert (reply.status, reply.cache.hit) == (200, hit)
    assert reply.body == (b"old" if hit else b"new")


@pytest.mark.parametrize(
    ("fields", "hit"),
    [
        ({"Pragma": "no-cache"}, False),
        ({"Pragma": "x, No-Cache"}, False),
        ({"Pragma": "x"}, True),
        ({"Pragma": "no-cache", "Cache-Control": "max-age=10"}, True),
    ],
)
def test_pragma_counts_where_there_is_no_cache_control(
    wrap: Wrap, fields: dict[str, str], hit: bool
) -> None:
    client = wrap(Script(fresh()), **HONOUR)
    client.ask()
    assert client.ask(headers=fields).cache.hit == hit


def test_a_reload_asks_the_app_by_validators_and_serves_the_next(wrap: Wrap, clock: Clock) -> None:
    app = Script(fresh(ETAG), Response(304, (("Cache-Control", "max-age=60"),)))
    client = wrap(app, **HONOUR)
    client.ask()
    clock.move(30)
    reply = client.ask(headers={"Cache-Control": "no-cache"})
    assert app.last["if-none-match"] == '"v1"'
    assert (reply.status, reply.body, reply.cache.fwd_status) == (200, b"page", 304)
    assert client.ask().cache.ttl_s == 60


def test_only_if_cached_never_reaches_the_app(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(fresh()), **HONOUR)
    only = {"Cache-Control": "only-if-cached"}
    for method in ("GET", "HEAD"):
        reply = client.ask(headers=only, method=method)
        assert (reply.status, reply.body) == (504, b"")
        assert reply.cache.detail == "only-if-cached"
        assert reply.header("content-length") == "0"
    assert client.calls == 0
    client.ask()
    assert client.ask(headers=only).status == 200
    assert client.ask(headers={**only, "Cookie": "s=1"}).status == 504
    clock.move(61)
    assert client.ask(headers=only).status == 504
    assert client.calls == 1
    assert len(client.suite.responses.flights) == 0


def test_no_store_is_answered_and_not_stored(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(fresh(ETAG), fresh(ETAG, body=(b"new",))), **HONOUR)
    no_store = {"Cache-Control": "no-store"}
    for _ in range(2):
        reply = client.ask(headers=no_store)
        assert (reply.cache.stored, reply.cache.detail) == (False, "request")
    assert client.suite.responses._unstorable == {}
    assert client.ask().cache.stored
    assert client.ask(headers=no_store).cache.hit


def test_a_304_to_a_no_store_request_serves_it_and_leaves_the_entry(
    wrap: Wrap, clock: Clock
) -> None:
    client = wrap(Script(fresh(ETAG), Response(304, (("Cache-Control", "max-age=60"),))), **HONOUR)
    client.ask()
    clock.move(61)
    reply = client.ask(headers={"Cache-Control": "no-store"})
    assert (reply.status, reply.body) == (200, b"page")
    assert client.ask().cache.fwd == "stale"
    assert client.ask().cache.hit


def test_what_one_clients_directives_ask_for_makes_nobody_else_wait(
    crowd: Wrap, clock: Clock
) -> None:
    """And a hit beside it does not void what it brings."""
    gate = Gate()

    def app(request: Request) -> Response:
        reloads = request.header("cache-control") == "no-cache"
        return fresh(body=(b"new" if reloads else b"old",), hold=gate if reloads else None)

    client = crowd(app, **HONOUR)
    client.ask()
    served: list[object] = []
    client.suite.hooks.ends = (*client.suite.hooks.ends, served.append)
    requests = [make_request(headers={"Cache-Control": "no-cache"})]
    requests += [make_request(headers={"Cache-Control": "max-age=100"})] * 5
    opened = once(lambda: gate.arrivals == 1 and len(served) == 5, gate.open)
    got = replies(client.send_all(requests, meanwhile=opened))
    assert [reply.body for reply in got] == [b"new"] + [b"old"] * 5
    hit = client.ask()
    assert (hit.cache.hit, hit.body) == (True, b"new")


@pytest.mark.parametrize(
    "value", ['max-age="', "=", ",", "max-age=" + "9" * 400, "\xff", "a" * 9000]
)
def test_garbage_is_served(wrap: Wrap, value: str) -> None:
    client = wrap(Script(fresh()), **HONOUR)
    for _ in range(2):
        assert client.ask(headers={"Cache-Control": value, "Pragma": value}).status == 200
    assert client.suite.faults.counts == {}
