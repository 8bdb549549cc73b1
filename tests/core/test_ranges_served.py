"""Parts of stored responses (RFC 9110 §14), the same behind both shells."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Reply, Request, Response
from tests.core.conftest import Clock
from tests.core.support import ETAG, MINUTE, Script, page

Wrap = Callable[..., Client]

BODY = "0123456789abcdefghij"
TEXT = ("Content-Type", "text/plain")
MODIFIED = ("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
DATED = ("Date", "Wed, 01 Jan 2025 00:01:00 GMT")
JUST_MADE = ("Date", "Wed, 01 Jan 2025 00:00:59 GMT")


@pytest.fixture
def client(wrap: Wrap, clock: Clock) -> Client:
    clock.wall = 1_735_689_660.0  # as DATED
    client = wrap(Script(page(BODY, *MINUTE, TEXT, ETAG, MODIFIED, DATED)))
    client.ask()
    return client


@pytest.mark.parametrize(
    ("asked", "span", "body"),
    [
        ("bytes=0-4", "0-4", "01234"),
        ("bytes=5-5", "5-5", "5"),
        ("bytes=15-", "15-19", "fghij"),
        ("bytes=15-99", "15-19", "fghij"),
        ("bytes=-3", "17-19", "hij"),
        ("bytes=-99", "0-19", BODY),
        ("bytes=0-", "0-19", BODY),
        ("Bytes=0-0", "0-0", "0"),
        ("bytes= 0-1", "0-1", "01"),
        ("bytes=0-1,", "0-1", "01"),
        ("bytes=0-1, 99-", "0-1", "01"),
    ],
)
def test_one_range(client: Client, asked: str, span: str, body: str) -> None:
    reply = client.ask(headers={"Range": asked})
    assert (reply.status, reply.body.decode(), reply.cache.hit) == (206, body, True)
    assert reply.header("content-range") == f"bytes {span}/20"
    assert reply.header("content-length") == str(len(body))
    assert (reply.header("content-type"), reply.header("etag")) == ("text/plain", '"v1"')
    assert (reply.header("age"), reply.header("cache-control")) == ("0", "max-age=60")
    assert client.calls == 1
    assert client.ask().body.decode() == BODY


def multiparts(reply: Reply) -> list[tuple[str, str, bytes]]:
    """Type, Content-Range and body of each part (RFC 9110 §14.6)."""
    match = re.fullmatch(
        r"multipart/byteranges; boundary=(\w+)", reply.header("content-type") or ""
    )
    assert match is not None
    boundary = match[1].encode()
    pieces = (b"\r\n" + reply.body).split(b"\r\n--" + boundary)
    assert (pieces[0], pieces[-1]) == (b"", b"--\r\n")
    found = []
    for piece in pieces[1:-1]:
        head, _, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        found.append((fields["Content-Type"], fields["Content-Range"], body))
    return found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-1,4-5", [("0-1", "01"), ("4-5", "45")]),
        ("bytes=10-11, 0-0, -1", [("10-11", "ab"), ("0-0", "0"), ("19-19", "j")]),
        ("bytes=0-1,2-3", [("0-1", "01"), ("2-3", "23")]),
        ("bytes=99-,0-1,5-6", [("0-1", "01"), ("5-6", "56")]),
    ],
)
def test_several_ranges(client: Client, asked: str, expected: list[tuple[str, str]]) -> None:
    reply = client.ask(headers={"Range": asked})
    assert (reply.status, reply.cache.hit) == (206, True)
    assert reply.header("content-range") is None
    assert reply.header("content-length") == str(len(reply.body))
    assert multiparts(reply) == [
        ("text/plain", f"bytes {span}/20", body.encode()) for span, body in expected
    ]


@pytest.mark.parametrize("asked", ["bytes=20-", "bytes=99-100", "bytes=-0", "bytes=20-,30-40"])
def test_what_cannot_be_satisfied(client: Client, asked: str) -> None:
    reply = client.ask(headers={"Range": asked})
    assert (reply.status, reply.body) == (416, b"")
    assert reply.header("content-range") == "bytes */20"
    assert reply.header("content-length") == "0"
    assert client.calls == 1


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=1",
        "bytes=--1",
        "bytes=0-1-2",
        "bytes=0-1;2-3",
        "lines=0-1",
        "bytes 0-1",
        "bytes=0-5,3-8",
        "bytes=0-,-5",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(17)),
        "bytes=0-" + "9" * 30,
        "bytes=0-1" + " " * 2000,
    ],
)
def test_what_is_malformed_or_abusive_is_ignored(client: Client, asked: str) -> None:
    reply = client.ask(headers={"Range": asked})
    assert (reply.status, reply.body.decode(), reply.cache.hit) == (200, BODY, True)


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        ('"v1"', 206),
        (MODIFIED[1], 206),
        ('"v2"', 200),
        ('W/"v1"', 200),
        ("Wed, 01 Jan 2025 00:00:01 GMT", 200),
        ("Tue, 31 Dec 2024 00:00:00 GMT", 200),
        ("v1", 200),
        ('"v1", "v2"', 200),
        ("", 200),
    ],
)
def test_if_range(client: Client, if_range: str, status: int) -> None:
    reply = client.ask(headers={"Range": "bytes=0-1", "If-Range": if_range})
    assert reply.status == status
    assert reply.body.decode() == ("01" if status == 206 else BODY)


@pytest.mark.parametrize(
    ("fields", "if_range"),
    [
        ((("ETag", 'W/"v1"'),), 'W/"v1"'),
        ((MODIFIED, JUST_MADE), MODIFIED[1]),
        ((MODIFIED,), MODIFIED[1]),
        ((), '"v1"'),
    ],
    ids=["weak tag", "changed within a minute", "no date", "no validator"],
)
def test_a_weak_validator_lets_no_range_through(
    wrap: Wrap, clock: Clock, fields: tuple[tuple[str, str], ...], if_range: str
) -> None:
    clock.wall = 1_735_689_660.0
    client = wrap(Script(page(BODY, *MINUTE, *fields)))
    client.ask()
    assert client.ask(headers={"Range": "bytes=0-1", "If-Range": if_range}).status == 200
    assert client.ask(headers={"Range": "bytes=0-1"}).status == 206
    assert client.calls == 1


def test_if_range_without_a_range_means_nothing(client: Client) -> None:
    assert client.ask(headers={"If-Range": '"v2"'}).body.decode() == BODY


def test_a_condition_goes_before_a_range(client: Client) -> None:
    fields = {"Range": "bytes=0-1", "If-None-Match": '"v1"'}
    assert client.ask(headers=fields).status == 304
    assert client.ask(headers={**fields, "If-None-Match": '"v2"'}).status == 206


def test_head_knows_no_ranges(client: Client) -> None:
    reply = client.ask(headers={"Range": "bytes=0-1"}, method="HEAD")
    assert (reply.status, reply.body, reply.header("content-length")) == (200, b"", "20")


@pytest.mark.parametrize("status", [203, 301, 404, 410])
def test_only_parts_of_a_200_are_given(wrap: Wrap, status: int) -> None:
    client = wrap(Script(page(BODY, *MINUTE, status=status)))
    client.ask()
    reply = client.ask(headers={"Range": "bytes=0-1"})
    assert (reply.status, reply.body.decode(), reply.cache.hit) == (status, BODY, True)


def test_an_empty_body_has_no_parts(wrap: Wrap) -> None:
    client = wrap(Script(page("", *MINUTE)))
    client.ask()
    assert client.ask(headers={"Range": "bytes=0-"}).status == 416
    assert client.ask(headers={"Range": "bytes=-1"}).status in {200, 416}


def test_a_miss_goes_to_the_app_as_it_came_and_its_whole_answer_is_stored(wrap: Wrap) -> None:
    app = Script(page(BODY, *MINUTE, ETAG))
    client = wrap(app)
    reply = client.ask(headers={"Range": "bytes=0-1", "If-Range": '"v1"'})
    assert (reply.status, reply.body.decode(), reply.cache.stored) == (200, BODY, True)
    assert app.last == {"range": "bytes=0-1", "if-range": '"v1"'}
    assert client.ask().cache.hit
    assert client.ask(headers={"Range": "bytes=0-1"}).body == b"01"
    assert client.calls == 1


def test_a_stale_entry_is_asked_about_before_its_parts_are_given(wrap: Wrap, clock: Clock) -> None:
    app = Script(page(BODY, *MINUTE, ETAG), Response(304, MINUTE))
    client = wrap(app)
    client.ask()
    clock.move(61)
    reply = client.ask(headers={"Range": "bytes=0-1"})
    assert (reply.status, reply.body, reply.cache.fwd) == (206, b"01", "stale")
    assert app.last == {"range": "bytes=0-1", "if-none-match": '"v1"'}
    assert client.ask().body.decode() == BODY


def test_a_part_of_a_newer_body_in_answer_to_our_question(wrap: Wrap, clock: Clock) -> None:
    def newer(request: Request) -> Response:
        span = ("Content-Range", "bytes 0-1/20")
        return page("AB", *MINUTE, ("ETag", '"v2"'), span, status=206)

    client = wrap(Script(page(BODY, *MINUTE, ETAG), newer, page("new", *MINUTE)))
    client.ask()
    clock.move(61)
    reply = client.ask(headers={"Range": "bytes=0-1"})
    assert (reply.status, reply.body) == (206, b"AB")
    assert client.ask().body == b"new"


def test_the_reply_is_the_callers_own(client: Client) -> None:
    for fields in ({"Range": "bytes=0-1"}, {"Range": "bytes=99-"}, {"Range": "bytes=0-0,5-5"}):
        client.ask(headers=fields).headers.clear()
    again = client.ask()
    assert (again.header("etag"), again.header("content-length")) == ('"v1"', "20")
