"""Unsafe methods and purged tags make what is stored, or being fetched, unusable."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from apsperf_mw import Suite
from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.cache.tags import Tags
from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Gate, Request, Response
from tests.core.support import MINUTE, followers, fresh, replies

Wrap = Callable[..., Client]


def versioned(status: int = 200) -> Callable[[Request], Response]:
    """GET gives the version and may be stored; any other method makes a new one."""
    version = 1

    def app(request: Request) -> Response:
        nonlocal version
        if request.method in {"GET", "HEAD"}:
            return Response(200, MINUTE, [b"version %d" % version])
        version += 1
        return Response(status, MINUTE, [b"done"])

    return app


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "LOCK", "FROBNICATE", "post"])
@pytest.mark.parametrize("status", [200, 201, 204, 303, 399])
def test_an_unsafe_method_that_succeeds_invalidates(wrap: Wrap, method: str, status: int) -> None:
    client = wrap(versioned(status))
    client.ask("/a?b=1")
    client.ask("/other")
    reply = client.ask("/a?b=1", method=method, body=b"x")
    assert (reply.status, reply.cache.fwd, reply.cache.stored) == (status, "method", False)
    assert client.ask("/a?b=1").body == b"version 2"
    assert client.ask("/other").cache.hit


@pytest.mark.parametrize("status", [400, 404, 409, 500, 503])
def test_an_unsafe_method_that_fails_does_not(wrap: Wrap, status: int) -> None:
    client = wrap(versioned(status))
    client.ask("/a")
    client.ask("/a", method="POST", body=b"x")
    assert client.ask("/a").body == b"version 1"
    assert client.ask("/a").cache.hit


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT"])
def test_a_safe_method_does_not(wrap: Wrap, method: str) -> None:
    client = wrap(versioned())
    client.ask("/a")
    assert client.ask("/a", method=method).cache.fwd == "method"
    assert client.ask("/a").body == b"version 1"
    assert client.ask("/a").cache.hit


def test_a_post_is_never_answered_from_the_cache_nor_stored(wrap: Wrap) -> None:
    client = wrap(lambda r: fresh(body=[r.method.encode()]))
    client.ask()
    for _ in range(2):
        assert client.ask(method="POST").body == b"POST"
    assert client.ask().body == b"GET"
    assert client.calls == 4


def test_all_variants_of_a_url_are_invalidated(wrap: Wrap) -> None:
    client = wrap(lambda r: fresh(("Vary", "Accept"), body=[(r.header("accept") or "").encode()]))
    for accept in ("a", "b"):
        client.ask(headers={"Accept": accept})
        assert client.ask(headers={"Accept": accept}).cache.hit
    client.ask(method="DELETE")
    for accept in ("a", "b"):
        assert not client.ask(headers={"Accept": accept}).cache.hit


@pytest.mark.parametrize(
    "headers", [{"Cookie": "s=1"}, {"Authorization": "Basic x"}, {"X-Api-Key": "x"}]
)
def test_a_users_unsafe_request_invalidates_too(wrap: Wrap, headers: dict[str, str]) -> None:
    client = wrap(versioned())
    client.ask("/a")
    client.ask("/a", headers, method="POST", body=b"x")
    assert client.ask("/a").body == b"version 2"


def tagged(*tags: str, gate: Gate | None = None) -> Callable[[Request], Response]:
    count = 0

    def app(request: Request) -> Response:
        nonlocal count
        count += 1
        held = gate if count == 1 else None
        body: Iterator[bytes | Gate] = iter([b"answer %d" % count, *([held] if held else [])])
        return fresh(body=body, plan=Plan(tags=tags))

    return app


def test_a_purge_drops_what_bears_one_of_the_tags(wrap: Wrap) -> None:
    app = {"/a": tagged("song", "artist 1"), "/b": tagged("song"), "/c": tagged()}
    client = wrap(lambda r: app[r.target](r))
    for target in app:
        client.ask(target)
        assert client.ask(target).cache.hit
    client.suite.purge("artist 1", "unknown")
    assert [client.ask(target).cache.hit for target in app] == [False, True, True]
    assert client.ask("/a").cache.hit
    client.suite.purge("song")
    assert [client.ask(target).cache.hit for target in app] == [False, False, True]
    assert [client.ask(target).cache.hit for target in app] == [True, True, True]


def test_tags_are_compared_whole(wrap: Wrap) -> None:
    tags = ("a b", "*", "line\nfeed", '"quoted"', "\N{SNOWMAN}")
    client = wrap(tagged(*tags))
    client.ask()
    client.suite.purge("a", "b", "line", "quoted", "song*", "A B")
    assert client.ask().cache.hit
    for tag in tags:
        client.suite.purge(tag)
        assert not client.ask().cache.hit
        assert client.ask().cache.hit


def test_tags_of_the_rule_and_of_the_response_both_count(wrap: Wrap) -> None:
    plan = Plan(rule=rule("short", ("ruled",)), tags=("added",))
    client = wrap(lambda _: Response(body=[b"page"], plan=plan))
    for tag in ("ruled", "added"):
        client.ask()
        assert client.ask().cache.hit
        client.suite.purge(tag)
        assert not client.ask().cache.hit


def test_variants_are_purged_too(wrap: Wrap) -> None:
    client = wrap(lambda r: fresh(("Vary", "Accept"), plan=Plan(tags=("song",))))
    for accept in ("a", "b"):
        client.ask(headers={"Accept": accept})
        assert client.ask(headers={"Accept": accept}).cache.hit
    client.suite.purge("song")
    for accept in ("a", "b"):
        assert not client.ask(headers={"Accept": accept}).cache.hit


def test_a_fill_that_began_before_a_purge_is_not_kept(crowd: Wrap) -> None:
    gate = Gate()
    client = crowd(tagged("song", gate=gate))

    def purge_amid() -> bool:
        if gate.arrivals and followers(client.suite) == 3:
            client.suite.purge("song")
            gate.open()
            return True
        return False

    got = replies(client.send_all([make_request()] * 4, meanwhile=purge_amid))
    bodies = sorted(reply.body for reply in got)
    assert bodies == [b"answer 1"] + [b"answer 2"] * 3
    assert client.calls == 2
    assert client.ask().body == b"answer 2"


def test_a_fill_that_began_before_an_unsafe_request_is_not_kept(crowd: Wrap) -> None:
    gate = Gate()
    plain = tagged(gate=gate)
    client = crowd(lambda r: plain(r) if r.method == "GET" else Response(204))

    def open_when_posted() -> bool:
        if (
            gate.arrivals and client.calls >= 3
        ):  # the fill, the POST, and the follower that it freed
            gate.open()
            return True
        return False

    requests = [make_request(), make_request(), make_request(method="POST")]
    got = replies(client.send_all(requests, meanwhile=open_when_posted))
    assert [reply.status for reply in got] == [200, 200, 204]
    assert client.ask().body == b"answer 2"
    assert client.ask().cache.hit
    assert len(client.suite.responses.flights) == 0


def test_past_the_limit_of_tags_everything_goes() -> None:
    tags = Tags(most=10)
    tags.purge(["first"])
    began = tags.clock
    assert tags.good(("untouched",), began)
    assert tags.good((), 0)
    tags.purge(str(number) for number in range(10))
    assert not tags.good(("untouched",), began)
    assert not tags.good(("first",), began)
    assert not tags.good((), 0)
    assert tags.good(("untouched", "first", "3"), tags.clock)
    assert len(tags._stamps) <= 10


def test_purges_of_one_suite_do_not_reach_another(wrap: Wrap) -> None:
    client, other = wrap(tagged("song")), wrap(tagged("song"))
    for each in (client, other):
        each.ask()
    client.suite.purge("song")
    assert not client.ask().cache.hit
    assert other.ask().cache.hit


def test_purging_needs_no_request_to_have_come() -> None:
    Suite().purge("song")
