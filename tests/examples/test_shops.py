"""The record shop with each framework behind a real server: one story, the same answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partialmethod
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.records.seals import COOKIE, STAFF, seal
from tests.apps.servers import GUNICORN, UVICORN, port_of, running
from tests.examples.test_shop import MARKED

SECRET = "of the tests"
ON_UVICORN = tuple(word for word in UVICORN if word != "--factory")
SERVERS = {
    "fastapi": (*UVICORN, "examples.shop.serve:wrapped"),
    "flask": (*GUNICORN, f"examples.flask_shop:create_app(secret={SECRET!r})"),
    "django": (*GUNICORN, "examples.django_shop.serve:wsgi"),
    "django async": (*ON_UVICORN, "examples.django_shop.serve:asgi"),
}
PAGES = [page for page in MARKED if page != "/"]
# What is refused, and how.
REFUSED = {
    "/artists/999": 404,
    "/tracks/9999": 404,
    "/albums/999/reviews": 404,
    "/search?q=a": 422,
    "/artists?page=0": 422,
    "/artists?page=x": 422,
    "/customers/me": 401,
}
CUSTOMER = {"Cookie": f"{COOKIE}={seal('17', SECRET)}"}
STRANGER = {"Cookie": f"{COOKIE}={seal('17', 'of nobody')}"}
CLERK = {"Authorization": f"Bearer {seal(STAFF, SECRET)}"}
REVIEW = {"stars": 5, "text": "Loud."}


class Shop:
    """A shop that is open; no cookie is kept."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, method: str, page: str, **options: Any) -> httpx.Response:
        return httpx.request(method, self._url + page, trust_env=False, **options)

    get = partialmethod(ask, "GET")
    post = partialmethod(ask, "POST")
    put = partialmethod(ask, "PUT")


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shop]]:
    environ = {"SHOP_SECRET": SECRET, "PYTHONWARNINGS": "error"}
    with ExitStack() as stack:
        yield {
            name: Shop(
                port_of(
                    *stack.enter_context(
                        running(tmp_path_factory.mktemp(name), *command, environ=environ)
                    )
                )
            )
            for name, command in SERVERS.items()
        }


@pytest.fixture(params=SERVERS)
def shop(request: pytest.FixtureRequest, shops: dict[str, Shop]) -> Shop:
    return shops[request.param]


def said(response: httpx.Response) -> str:
    return response.headers["cache-status"]


def content(page: str, response: httpx.Response) -> Any:
    """What it says, however its JSON is spelt."""
    if page == "/feed":
        return [json.loads(line) for line in response.text.splitlines()]
    return response.json()


@pytest.mark.parametrize("page", PAGES)
def test_every_shop_shows_the_same_and_makes_it_once(page: str, shops: dict[str, Shop]) -> None:
    expected = content(page, shops["fastapi"].get(page))
    for name, shop in shops.items():
        first, second = shop.get(page), shop.get(page)
        assert first.status_code == 200, name
        assert "hit" in said(second), name
        assert "server-timing" in second.headers, name
        assert content(page, first) == content(page, second) == expected, name


@pytest.mark.parametrize("page", REFUSED)
def test_what_is_refused_is_made_each_time(page: str, shop: Shop) -> None:
    answers = [shop.get(page) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [REFUSED[page]] * 2
    assert not any("hit" in said(answer) for answer in answers)


def test_the_front_page_leads_to_the_rest(shops: dict[str, Shop]) -> None:
    links = {}
    for name, shop in shops.items():
        pages = [shop.get("/").text for _ in range(2)]
        assert pages[0] == pages[1]
        links[name] = re.findall(r'<li><a href="([^"]+)">', pages[0])
    assert len(links["fastapi"]) > 30
    assert all(found == links["fastapi"] for found in links.values())


def test_each_customer_sees_the_own_page(shops: dict[str, Shop]) -> None:
    for name, shop in shops.items():
        own, again = (shop.get("/customers/me", headers=CUSTOMER) for _ in range(2))
        assert own.json() == shops["fastapi"].get("/customers/me", headers=CUSTOMER).json(), name
        assert own.headers["cache-control"] == "private, no-store"
        assert "hit" not in said(again)
        assert shop.get("/customers/me", headers=STRANGER).status_code == 401


def test_signed_in_customers_share_the_catalogue(shop: Shop) -> None:
    shop.get("/albums/1")

    assert "hit" in said(shop.get("/albums/1", headers=CUSTOMER))


def test_a_review_shows_at_once_and_leaves_other_lists_alone(shop: Shop) -> None:
    for album in (1, 2):
        assert shop.get(f"/albums/{album}/reviews").json() == []

    posted = shop.post("/albums/1/reviews", json=REVIEW, headers=CUSTOMER)

    assert posted.status_code == 201
    assert posted.json() == {"id": 1, "author": "Jack", **REVIEW}
    assert shop.get("/albums/1/reviews").json() == [posted.json()]
    assert "hit" in said(shop.get("/albums/1/reviews"))
    assert "hit" in said(shop.get("/albums/2/reviews"))


@pytest.mark.parametrize(
    ("review", "headers", "status"),
    [
        (REVIEW, {}, 401),
        (REVIEW, STRANGER, 401),
        ({"stars": 6, "text": "Loud."}, CUSTOMER, 422),
        ({"stars": 5, "text": ""}, CUSTOMER, 422),
        ({"stars": 5}, CUSTOMER, 422),
    ],
)
def test_a_review_that_is_refused(
    review: dict[str, Any], headers: dict[str, str], status: int, shop: Shop
) -> None:
    assert shop.post("/albums/3/reviews", json=review, headers=headers).status_code == status
    assert shop.get("/albums/3/reviews").json() == []


def test_a_price_shows_at_once_on_every_page_that_has_it(shop: Shop) -> None:
    pages = ["/tracks/1702", "/albums/141", "/genres/1", "/artists"]
    for page in pages:
        shop.get(page)
    before = shop.get("/tracks/1702").json()["price"]
    assert shop.put("/tracks/1702/price", json={"price": 0}).status_code == 401

    changed = shop.put("/tracks/1702/price", json={"price": 1.49}, headers=CLERK)

    assert changed.status_code == 204
    track, album, genre, artists = (shop.get(page) for page in pages)
    assert track.json()["price"] == 1.49
    assert {one["id"]: one["price"] for one in album.json()["tracks"]}[1702] == 1.49
    assert "hit" not in said(genre)
    assert "hit" in said(artists)
    shop.put("/tracks/1702/price", json={"price": before}, headers=CLERK)


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "fastapi"])
def test_the_basket_is_the_visitors_own(name: str, shops: dict[str, Shop]) -> None:
    posted = shops[name].post("/basket", data={"track": 7})
    cookies = {"Cookie": posted.headers["set-cookie"].partition(";")[0]}
    own, others = shops[name].get("/basket", headers=cookies), shops[name].get("/basket")

    assert (posted.status_code, posted.json()) == (201, [7])
    assert (own.json(), others.json()) == ([7], [])
    assert not any("hit" in said(page) or "stored" in said(page) for page in (own, others))


def test_no_shop_writes_into_the_data_of_the_examples() -> None:
    data = Path(__file__).resolve().parents[2] / "examples" / "data"

    assert not list(data.glob("chinook.sqlite-*"))
