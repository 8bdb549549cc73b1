"""The record shop, bare and wrapped, gives the same answers; only the work differs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import partialmethod
from hashlib import sha256
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from examples.records.database import CHINOOK
from examples.records.seals import COOKIE, STAFF, seal
from examples.shop import counters, create_app

SECRET = "of the tests"

MARKED = [
    "/",
    "/artists",
    "/artists?page=2",
    "/artists/1",
    "/albums/141",
    "/albums/141/reviews",
    "/tracks/1702",
    "/genres",
    "/genres/1?page=3",
    "/search?q=love",
    "/search?q=%27%25",
    "/charts",
    "/feed",
]
UNMARKED = ["/customers/me", "/nowhere", "/openapi.json"]
FAILING = ["/artists/999", "/tracks/x", "/search?q=a", "/albums/999/reviews", "/artists?page=0"]


class Visitor:
    """Asks an app in this process; one request at a time, on a loop of its own."""

    def __init__(self, runner: asyncio.Runner, client: AsyncClient) -> None:
        self._runner = runner
        self._client = client

    def ask(self, method: str, page: str, **options: Any) -> Any:
        return self._runner.run(self._client.request(method, page, **options))

    get = partialmethod(ask, "GET")
    post = partialmethod(ask, "POST")
    put = partialmethod(ask, "PUT")


@contextmanager
def visiting(app: FastAPI) -> Iterator[Visitor]:
    """A visitor while the app is up."""
    client = AsyncClient(transport=ASGITransport(app), base_url="http://shop")
    lifespan = app.router.lifespan_context(app)
    with asyncio.Runner() as runner:
        runner.run(lifespan.__aenter__())
        try:
            yield Visitor(runner, client)
        finally:
            runner.run(client.aclose())
            runner.run(lifespan.__aexit__(None, None, None))


@pytest.fixture
def bare() -> Iterator[Visitor]:
    with visiting(create_app(wrapped=False, secret=SECRET, demo=True)) as visitor:
        yield visitor


@pytest.fixture
def wrapped() -> Iterator[Visitor]:
    with visiting(create_app(wrapped=True, secret=SECRET, demo=True)) as visitor:
        yield visitor


def customer(number: int) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={seal(str(number), SECRET)}"}


def staff() -> dict[str, str]:
    return {"Authorization": f"Bearer {seal(STAFF, SECRET)}"}


def counted(client: Visitor) -> dict[str, int]:
    found: dict[str, int] = client.get(counters.PATH).json()
    return found


def answer(response: Any) -> tuple[int, str, bytes]:
    return response.status_code, response.headers.get("content-type"), response.content


def said(response: Any) -> str:
    return str(response.headers["cache-status"])


@pytest.mark.parametrize("page", [*MARKED, *UNMARKED, *FAILING])
def test_every_page_is_the_same_bare_and_wrapped_however_often_it_is_asked(
    page: str, bare: Visitor, wrapped: Visitor
) -> None:
    expected = answer(bare.get(page))

    assert [answer(wrapped.get(page)) for _ in range(3)] == [expected] * 3


@pytest.mark.parametrize("page", MARKED)
def test_a_marked_page_is_made_once(page: str, wrapped: Visitor) -> None:
    first = wrapped.get(page)
    before = counted(wrapped)
    second = wrapped.get(page)

    assert first.status_code == 200
    assert "stored" in said(first)
    assert "hit" in said(second)
    assert counted(wrapped) == before
    assert before["app_calls"] == 1
    assert before["sql_statements"] >= 1


@pytest.mark.parametrize("page", [*UNMARKED, *FAILING])
def test_what_is_not_marked_or_fails_is_made_each_time(page: str, wrapped: Visitor) -> None:
    assert all("hit" not in said(wrapped.get(page)) for _ in range(3))
    assert counted(wrapped)["app_calls"] == 3


def test_each_customer_sees_only_the_own_page(wrapped: Visitor) -> None:
    pages = [wrapped.get("/customers/me", headers=customer(number)) for number in (17, 18, 17)]

    assert [page.json()["first_name"] for page in pages] == ["Jack", "Michelle", "Jack"]
    assert not any("hit" in said(page) or "stored" in said(page) for page in pages)
    assert wrapped.get("/customers/me").status_code == 401


@pytest.mark.parametrize("cookie", ["17", "17.", "17.0", ".", "x.\N{SNOWMAN}", "60.", "18.{mark}"])
def test_a_cookie_that_the_shop_did_not_seal_is_no_customer(cookie: str, bare: Visitor) -> None:
    forged = cookie.format(mark=seal("17", SECRET).partition(".")[2])
    header = f"{COOKIE}={forged}".encode()

    assert bare.get("/customers/me", headers={b"Cookie": header}).status_code == 401


def test_signed_in_customers_share_the_catalogue(wrapped: Visitor) -> None:
    wrapped.get("/albums/1")

    assert "hit" in said(wrapped.get("/albums/1", headers=customer(17)))


def test_a_review_shows_at_once_and_leaves_other_lists_alone(wrapped: Visitor) -> None:
    for album in (1, 2):
        assert wrapped.get(f"/albums/{album}/reviews").json() == []

    review = {"stars": 5, "text": "Loud."}
    posted = wrapped.post("/albums/1/reviews", json=review, headers=customer(17))

    assert posted.status_code == 201
    assert wrapped.get("/albums/1/reviews").json() == [{"id": 1, "author": "Jack", **review}]
    assert "hit" in said(wrapped.get("/albums/2/reviews"))
    assert "hit" in said(wrapped.get("/albums/1/reviews"))


def test_a_price_shows_at_once_on_every_page_that_has_it(wrapped: Visitor) -> None:
    pages = ["/tracks/1702", "/albums/141", "/genres/1", "/artists"]
    for page in pages:
        wrapped.get(page)

    changed = wrapped.put("/tracks/1702/price", json={"price": 1.49}, headers=staff())

    assert changed.status_code == 204
    track, album, genre, artists = (wrapped.get(page) for page in pages)
    assert track.json()["price"] == 1.49
    assert {one["id"]: one["price"] for one in album.json()["tracks"]}[1702] == 1.49
    assert "hit" not in said(genre)
    assert "hit" in said(artists)


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {seal('1', SECRET)}"}]
)
def test_only_staff_set_prices(headers: dict[str, str], bare: Visitor) -> None:
    refused = bare.put("/tracks/1/price", json={"price": 0}, headers=headers)

    assert refused.status_code == 401
    assert bare.get("/tracks/1").json()["price"] == 0.99


def test_writes_leave_the_database_of_the_examples_alone(bare: Visitor) -> None:
    before = sha256(CHINOOK.read_bytes()).digest()
    bare.put("/tracks/1/price", json={"price": 9}, headers=staff())
    bare.post("/albums/1/reviews", json={"stars": 1, "text": "Dear."}, headers=customer(1))

    assert sha256(CHINOOK.read_bytes()).digest() == before


@pytest.mark.parametrize("wrap", [False, True])
def test_the_feed_is_sent_while_it_is_read(wrap: bool) -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/feed",
        "raw_path": b"/feed",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "headers": [(b"host", b"shop")],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def ask() -> None:
        app = create_app(wrapped=wrap)
        async with app.router.lifespan_context(app):
            await app(scope, receive, send)

    asyncio.run(ask())

    chunks = [message["body"] for message in sent if message.get("more_body")]
    assert len(chunks) == 5
    assert b"".join(chunks).count(b"\n") == 500


def test_the_marks_mean_nothing_to_the_bare_shop(bare: Visitor) -> None:
    for _ in range(2):
        response = bare.get("/charts")
        assert not {"cache-status", "age", "server-timing"} & set(response.headers)
    assert counted(bare)["app_calls"] == 2


def test_without_demo_there_are_no_counters() -> None:
    with visiting(create_app(wrapped=False)) as client:
        assert client.get(counters.PATH).status_code == 404
