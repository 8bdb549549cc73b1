"""Targeted cache control (RFC 9213): whom a cache directive speaks to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Response
from tests.core.conftest import Clock
from tests.core.support import ETAG, Script, page

Wrap = Callable[..., Client]
Fields = tuple[tuple[str, str], ...]

OURS, CDN, ALL = "APSPerf-Cache-Control", "CDN-Cache-Control", "Cache-Control"
PAST = ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")


@pytest.mark.parametrize(
    ("fields", "ttl_s"),
    [
        (((OURS, "max-age=10"), (CDN, "max-age=20"), (ALL, "max-age=30")), 10),
        (((CDN, "max-age=20"), (ALL, "max-age=30")), 20),
        (((ALL, "max-age=30"),), 30),
        (((OURS, "max-age=10"), (ALL, "no-store")), 10),
        (((OURS, "max-age=10"), (CDN, "no-store")), 10),
        (((CDN, "max-age=20"), (ALL, "private")), 20),
        (((CDN, "max-age=20"), PAST), 20),
        (((CDN, "max-age=20, s-maxage=25"),), 25),
        (((CDN, "max-age=20"), (CDN, "max-age=25")), 25),
        (((OURS, "!"), (CDN, "max-age=20"), (ALL, "max-age=30")), 20),
        (((CDN, "max-age=20,"), (ALL, "max-age=30")), 30),
        (((CDN, "MAX-AGE=20"), (ALL, "max-age=30")), 30),
        (((CDN, ""), (ALL, "max-age=30")), 30),
        (((CDN, "max-age=20;x=1, other=(1 2)"),), 20),
    ],
    ids=str,
)
def test_the_most_targeted_list_that_can_be_read_counts_alone(
    wrap: Wrap, fields: Fields, ttl_s: int
) -> None:
    client = wrap(Script(page("page", *fields)))
    assert client.ask().cache.stored
    assert client.ask().cache.ttl_s in {ttl_s - 1, ttl_s}


@pytest.mark.parametrize(
    "fields",
    [
        ((OURS, "no-store"), (CDN, "max-age=20"), (ALL, "max-age=30")),
        ((CDN, "private"), (ALL, "max-age=30")),
        ((CDN, "max-age=0"), (ALL, "max-age=30")),
        ((CDN, "public"), (ALL, "max-age=30")),
        ((CDN, "no-store=?1"), (ALL, "max-age=30")),
        ((CDN, 'max-age="20"'), (ALL, "max-age=30")),
        ((CDN, "max-age=20.0"), (ALL, "max-age=30")),
    ],
    ids=str,
)
def test_what_the_most_targeted_list_forbids_no_other_allows(wrap: Wrap, fields: Fields) -> None:
    client = wrap(Script(page("page", *fields)))
    for _ in range(2):
        assert not client.ask().cache.hit
    control = wrap(Script(page("page", *fields[1:])))
    control.ask()
    assert control.ask().cache.hit


@pytest.mark.parametrize(
    ("fields", "hit"),
    [
        (((OURS, "max-age=20"),), True),
        (((CDN, "max-age=20"),), True),
        (((CDN, "max-age=20"), (ALL, "private")), True),
        (((ALL, "max-age=20"),), False),
        (((CDN, "max-age=20,"), (ALL, "max-age=20")), False),
    ],
    ids=str,
)
def test_a_targeted_list_says_that_the_response_is_for_all(
    wrap: Wrap, fields: Fields, hit: bool
) -> None:
    client = wrap(Script(page("page", *fields)))
    client.ask(headers={"Cookie": "s=1"})
    assert client.ask(headers={"Cookie": "s=1"}).cache.hit == hit


def test_only_our_own_list_is_kept_from_the_client(wrap: Wrap, clock: Clock) -> None:
    said = ((OURS, "max-age=10"), (CDN, "max-age=20"), (ALL, "max-age=30"), ETAG)
    client = wrap(Script(page("page", *said), Response(304, said)))
    miss, hit = client.ask(), client.ask()
    clock.move(11)
    renewed, again = client.ask(), client.ask()
    part = client.ask(headers={"Range": "bytes=0-1"})
    condition = client.ask(headers={"If-None-Match": '"v1"'})
    for reply in (miss, hit, renewed, again, part, condition):
        assert reply.header(OURS) is None
        assert reply.header(CDN) == "max-age=20"
        assert reply.header(ALL) == "max-age=30"
    assert client.calls == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_it_is_kept_from_the_client_where_nothing_is_cached(wrap: Wrap, method: str) -> None:
    client = wrap(Script(page("page", (OURS, "max-age=10"))))
    for headers in ({}, {"Cookie": "s=1"}, {"X-Api-Key": "x"}):
        assert client.ask(headers=headers, method=method).header(OURS) is None


def test_a_304_that_does_not_repeat_our_list_leaves_it_in_force(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Script(page("page", (OURS, "max-age=10"), ETAG), Response(304)))
    client.ask()
    clock.move(11)
    assert client.ask().cache.ttl_s == 10
    clock.move(9)
    assert client.ask().cache.hit


def test_a_304_may_bring_another_list(wrap: Wrap, clock: Clock) -> None:
    newer = Response(304, ((OURS, "max-age=100"),))
    client = wrap(Script(page("page", (OURS, "max-age=10"), ETAG), newer))
    client.ask()
    clock.move(11)
    client.ask()
    clock.move(99)
    assert client.ask().cache.hit


def test_windows_are_read_from_the_list_too(wrap: Wrap, clock: Clock) -> None:
    said = (CDN, "max-age=10, stale-if-error=60")
    client = wrap(Script(page("old", said), page("error", status=503)))
    client.ask()
    clock.move(11)
    assert client.ask().body == b"old"
    strict = wrap(Script(page("old", said, (CDN, "must-revalidate")), page("error", status=503)))
    strict.ask()
    clock.move(11)
    assert strict.ask().status == 503
