"""Parts that the app gave: kept, reused and combined where that is safe (RFC 9111 §3.3, §3.4)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apsperf_mw.cache.policy import Plan
from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Request, Response
from tests.core.conftest import Clock
from tests.core.support import ETAG, MINUTE, ask_and_wait, page

Wrap = Callable[..., Client]

BODY = "0123456789abcdefghij"


class Partial:
    """An app that gives the parts that are asked for, and the whole to who asks for none."""

    def __init__(self, *headers: tuple[str, str], plan: Plan | None = None) -> None:
        self.headers = headers or (*MINUTE, ETAG)
        self.body = BODY
        self.plan = plan
        self.ranges: list[str | None] = []

    def __call__(self, request: Request) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return page("", status=204)
        asked = request.header("range")
        self.ranges.append(asked)
        if asked is None:
            return page(self.body, *self.headers, plan=self.plan)
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        span = ("Content-Range", f"bytes {first}-{last}/{len(self.body)}")
        cut = self.body[first : last + 1]
        return page(cut, *self.headers, span, status=206, plan=self.plan)


def ask(client: Client, span: str, **more: str) -> tuple[int, str, bool]:
    reply = client.ask(headers={"Range": f"bytes={span}", **more})
    if reply.status == 206:
        if reply.cache.hit:
            assert reply.header("content-length") == str(len(reply.body))
        first, last = map(int, span.split("-"))
        assert reply.header("content-range") == f"bytes {first}-{last}/{len(BODY)}"
    return reply.status, reply.body.decode(), reply.cache.hit


def test_a_part_is_never_the_whole(wrap: Wrap) -> None:
    app = Partial()
    client = wrap(app)
    assert ask(client, "0-4") == (206, "01234", False)
    reply = client.ask()
    assert (reply.status, reply.body.decode()) == (200, BODY)
    assert client.ask().cache.hit
    assert app.ranges == ["bytes=0-4", None]


def test_a_part_answers_for_itself_and_for_what_lies_in_it(wrap: Wrap) -> None:
    client = wrap(Partial())
    ask(client, "2-9")
    assert ask(client, "2-9") == (206, "23456789", True)
    assert ask(client, "4-5") == (206, "45", True)
    assert client.calls == 1
    assert ask(client, "0-5") == (206, "012345", False)
    assert ask(client, "12-13") == (206, "cd", False)


def test_head_and_conditions_are_not_answered_from_a_part(wrap: Wrap) -> None:
    client = wrap(Partial())
    ask(client, "0-4")
    assert not client.ask(method="HEAD").cache.hit
    assert not client.ask(headers={"If-None-Match": '"v1"'}).cache.hit


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        ("0-4", "5-9", "0-9"),
        ("5-9", "0-4", "0-9"),
        ("0-6", "4-9", "0-9"),
        ("4-9", "0-6", "0-9"),
        ("0-9", "2-5", "2-5"),
    ],
)
def test_parts_of_one_body_become_a_larger_part(
    wrap: Wrap, first: str, second: str, whole: str
) -> None:
    client = wrap(Partial())
    ask(client, first)
    ask(client, second)
    calls = client.calls
    low, high = map(int, whole.split("-"))
    assert ask(client, whole) == (206, BODY[low : high + 1], True)
    assert client.calls == calls


@pytest.mark.parametrize(("first", "second"), [("0-9", "10-19"), ("8-19", "0-9"), ("0-19", "0-19")])
def test_parts_become_the_whole(wrap: Wrap, first: str, second: str) -> None:
    client = wrap(Partial())
    ask(client, first)
    ask(client, second)
    calls = client.calls
    reply = client.ask()
    assert (reply.status, reply.body.decode(), reply.cache.hit) == (200, BODY, True)
    assert (reply.header("content-range"), reply.header("content-length")) == (None, "20")
    assert client.calls == calls
    assert ask(client, "3-4") == (206, "34", True)


def test_parts_with_a_gap_between_them_stay_apart(wrap: Wrap) -> None:
    client = wrap(Partial())
    ask(client, "0-4")
    ask(client, "6-9")
    assert ask(client, "0-9") == (206, BODY[:10], False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((), ()),
        ((("ETag", 'W/"v1"'),), (("ETag", 'W/"v1"'),)),
        ((ETAG,), (("ETag", '"v2"'),)),
        ((ETAG,), ()),
        (
            (("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT"),),
            (("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT"),),
        ),
    ],
    ids=["none", "weak", "other", "lost", "date"],
)
def test_parts_are_not_combined_without_one_strong_tag(
    wrap: Wrap, before: tuple[tuple[str, str], ...], after: tuple[tuple[str, str], ...]
) -> None:
    app = Partial(*MINUTE, *before)
    client = wrap(app)
    ask(client, "0-9")
    app.headers = (*MINUTE, *after)
    app.body = BODY.upper()
    assert ask(client, "10-19") == (206, "ABCDEFGHIJ", False)
    assert not client.ask(headers={"Range": "bytes=5-14"}).cache.hit
    assert client.ask().body.decode() == BODY.upper()


def test_parts_of_bodies_of_two_sizes_are_not_combined(wrap: Wrap) -> None:
    app = Partial()
    client = wrap(app)
    ask(client, "0-9")
    app.body += "more"
    client.ask(headers={"Range": "bytes=10-19"})
    assert client.ask().body.decode() == BODY + "more"


def test_a_head_is_not_answered_by_a_part(wrap: Wrap) -> None:
    """RFC 9110 §14.2: Range is for GET."""
    fields = (*MINUTE, ETAG, ("Content-Range", "bytes 0-3/9"))

    def app(request: Request) -> Response:
        return page("page", *fields, status=206) if request.method == "GET" else page("", *MINUTE)

    client = wrap(app)
    client.ask(headers={"Range": "bytes=0-3"})
    reply = client.ask(headers={"Range": "bytes=0-3"}, method="HEAD")
    assert (reply.status, client.calls) == (200, 2)


def test_a_part_that_is_served_stale_is_fetched_as_a_whole(wrap: Wrap, clock: Clock) -> None:
    window = ("Cache-Control", "max-age=60, stale-while-revalidate=600")

    def app(request: Request) -> Response:
        if request.header("if-none-match"):
            return Response(304, (window,))
        if request.header("range"):
            return page("page", window, ETAG, ("Content-Range", "bytes 0-3/9"), status=206)
        return page("page nine", window, ETAG)

    client = wrap(app)
    asked = make_request(headers={"Range": "bytes=0-3"})
    client.send(asked)
    clock.move(61)
    assert ask_and_wait(client, calls=2, request=asked).body == b"page"
    whole = client.ask()
    assert (whole.cache.hit, whole.body) == (True, b"page nine")


@pytest.mark.parametrize(("if_range", "hit"), [('"v1"', True), ('"v2"', False), ('W/"v1"', False)])
def test_a_part_answers_if_range_by_its_tag(wrap: Wrap, if_range: str, hit: bool) -> None:
    client = wrap(Partial())
    ask(client, "0-9")
    assert client.ask(headers={"Range": "bytes=0-1", "If-Range": if_range}).cache.hit == hit


def test_a_stale_part_is_fetched_anew(wrap: Wrap, clock: Clock) -> None:
    client = wrap(Partial())
    ask(client, "0-9")
    clock.move(61)
    assert ask(client, "0-9") == (206, BODY[:10], False)
    assert ask(client, "0-9") == (206, BODY[:10], True)


def test_parts_come_back_in_several_pieces(wrap: Wrap) -> None:
    client = wrap(Partial())
    ask(client, "0-9")
    reply = client.ask(headers={"Range": "bytes=0-1,5-6"})
    assert (reply.status, reply.cache.hit) == (206, True)
    assert b"Content-Range: bytes 5-6/20\r\n\r\n56\r\n" in reply.body


@pytest.mark.parametrize("void", ["DELETE", "POST", "tag", "url", "prefix", "everything"])
def test_what_makes_a_url_void_makes_its_parts_void(wrap: Wrap, void: str) -> None:
    app = Partial(plan=Plan(tags=("song",)))
    client = wrap(app)
    client.ask("/a", {"Range": "bytes=0-9"})
    assert client.ask("/a", {"Range": "bytes=0-9"}).cache.hit
    app.body = BODY.upper()
    purge = client.suite.purge
    if void == "tag":
        purge("song")
    elif void == "url":
        purge(urls=["/a"])
    elif void == "prefix":
        purge(prefixes=["/"])
    elif void == "everything":
        purge(everything=True)
    else:
        client.ask("/a", method=void)
    reply = client.ask("/a", {"Range": "bytes=10-19"})
    assert (reply.body.decode(), reply.cache.hit) == ("ABCDEFGHIJ", False)
    assert not client.ask("/a", {"Range": "bytes=0-9"}).cache.hit


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ((("Cache-Control", "no-store"), ETAG), {}),
        ((*MINUTE, ETAG, ("Vary", "Accept")), {}),
        ((*MINUTE, ETAG, ("Set-Cookie", "a=1")), {}),
        ((*MINUTE, ETAG), {"Cookie": "a=1"}),
        ((*MINUTE, ETAG), {"Authorization": "Basic x"}),
    ],
    ids=["no-store", "vary", "set-cookie", "cookie", "authorization"],
)
def test_parts_are_stored_on_the_terms_of_wholes(
    wrap: Wrap, headers: tuple[tuple[str, str], ...], asked: dict[str, str]
) -> None:
    client = wrap(Partial(*headers))
    for _ in range(2):
        assert ask(client, "0-9", **asked) == (206, BODY[:10], False)
    control = wrap(Partial())
    ask(control, "0-9")
    assert ask(control, "0-9") == (206, BODY[:10], True)


@pytest.mark.parametrize(
    "span",
    [
        "bytes 0-9/*",
        "bytes */20",
        "bytes 9-0/20",
        "bytes 0-20/20",
        "lines 0-9/20",
        "bytes 0-9",
        "",
    ],
)
def test_a_part_of_something_unknown_is_not_stored(wrap: Wrap, span: str) -> None:
    client = wrap(lambda _: page(BODY[:10], *MINUTE, ETAG, ("Content-Range", span), status=206))
    for _ in range(2):
        assert not client.ask(headers={"Range": "bytes=0-9"}).cache.hit


@pytest.mark.parametrize(("body", "hit"), [("0123", True), ("", False), ("0123456789ab", False)])
def test_a_part_is_kept_as_far_as_it_came(wrap: Wrap, body: str, hit: bool) -> None:
    span = ("Content-Range", "bytes 0-9/20")
    client = wrap(lambda _: page(body, *MINUTE, ETAG, span, status=206))
    client.ask(headers={"Range": "bytes=0-9"})
    reply = client.ask(headers={"Range": "bytes=0-3"})
    assert reply.cache.hit == hit
    assert not client.ask(headers={"Range": "bytes=0-4"}).cache.hit


def test_a_part_that_nobody_asked_for_is_not_stored(wrap: Wrap) -> None:
    span = ("Content-Range", "bytes 0-9/20")
    client = wrap(lambda _: page(BODY[:10], *MINUTE, ETAG, span, status=206))
    for _ in range(2):
        assert client.ask().cache.detail == "status"
    assert not client.ask(headers={"Range": "bytes=0-9"}).cache.hit


def test_one_who_asks_for_parts_makes_nobody_else_ask_alone(wrap: Wrap) -> None:
    """A part says nothing of whether the whole may be stored."""
    client = wrap(lambda _: page("part", status=206))
    client.ask(headers={"Range": "bytes=0-9"})
    assert client.suite.responses._unstorable == {}
