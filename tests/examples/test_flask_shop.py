"""The Flask example."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from examples import flask_shop


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    flask_shop.reviews.clear()
    app = flask_shop.app
    app.extensions["apsperf"].purge("albums")
    with app.test_client() as client:
        yield client


@pytest.mark.parametrize(
    "page", ["/artists", "/artists/1", "/albums/1", "/search?q=love", "/export"]
)
def test_a_marked_page_comes_from_the_cache_the_second_time(page: str, client: FlaskClient) -> None:
    # The test client reads a streamed response late, unless it is told to buffer.
    first, second = (client.get(page, buffered=True) for _ in range(2))

    assert first.status_code == 200
    assert "hit" in second.headers["Cache-Status"]
    assert "Server-Timing" in second.headers
    assert second.data == first.data


def test_the_basket_is_the_visitors_own(client: FlaskClient) -> None:
    assert client.post("/basket", data={"track": 7}).json == [7]

    other = flask_shop.app.test_client()
    assert [client.get("/basket").json, other.get("/basket").json] == [[7], []]
    assert "hit" not in client.get("/basket").headers["Cache-Status"]


def test_a_basket_does_not_keep_a_visitor_from_shared_pages(client: FlaskClient) -> None:
    client.get("/artists/2")
    client.post("/basket", data={"track": 7})

    assert "hit" in client.get("/artists/2").headers["Cache-Status"]


def test_a_review_shows_at_once(client: FlaskClient) -> None:
    client.get("/albums/1")
    posted = client.post("/albums/1/reviews", data={"text": "Loud."})

    assert (posted.status_code, posted.location) == (303, "/albums/1")
    album = client.get("/albums/1")
    assert album.json is not None
    assert album.json["reviews"] == ["Loud."]
    assert "hit" in client.get("/albums/1").headers["Cache-Status"]


def test_what_is_not_there_is_a_404_each_time(client: FlaskClient) -> None:
    answers = [client.get("/albums/9999") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert not any("hit" in answer.headers["Cache-Status"] for answer in answers)
