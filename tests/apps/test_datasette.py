"""Datasette as it comes, over the Chinook database, on uvicorn."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.apps.compare import Pair
from tests.apps.servers import UVICORN, Case, ask, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long its queries took, the random token in its forms, and when and as what it was started.
NOISE = re.compile(
    rb'"query_ms": [\d.]+|Queries took [\d.]+ms|name="csrftoken" value="[^"]+"|"uptime": [\d.]+'
)
HIT = (
    "/chinook",
    "/chinook/Album",
    "/chinook/Album?_next=100",
    "/chinook/Album?_facet=ArtistId",
    "/chinook/Album/1",
    "/chinook/Album/1.json",
    "/chinook/Album.json?_size=2",
    "/chinook/Album.json?_ttl=30",
    "/chinook/Artist.json?Name__contains=%C3%A9&_shape=array",
    "/chinook?sql=select+1",
    "/chinook.json?sql=select+*+from+Genre&_shape=objects",
    "/favicon.ico",
)
NO_HIT = (
    "/",
    "/.json",
    "/chinook/Album.json?_ttl=0",
    "/chinook/Album.csv",
    "/chinook/Track.csv?_stream=on&_size=max",
    "/chinook.db",
    "/chinook?sql=drop+table+Album",
    "/chinook.json?sql=nonsense",
    "/chinook/nothing",
    "/nowhere",
    "/chinook/Album/",
    "/-/",
    "/-/logout",
    "/-/permissions",
    "/-/messages",
    "/-/versions.json",
    "/-/static/app.css",
)
CASES = (
    *(Case(target, hits=True) for target in HIT),
    *(Case(target) for target in NO_HIT),
    Case("/chinook/Album?_sort=Title", method="HEAD"),
    Case("/chinook/Album?_sort=Title", method="OPTIONS"),
    Case("/-/messages", method="POST", body=b"message=hello"),
    Case("/chinook/Genre", (("Cookie", "ds_actor=forged"),)),
    Case("/chinook/Genre", (("Authorization", "Bearer nothing"),)),
    Case("/chinook/Genre", (("X-Forwarded-Host", "elsewhere.test"),)),
    Case("/chinook/Genre", (("Accept-Encoding", "gzip"),), hits=True),
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    logs = tmp_path_factory.mktemp("datasette")
    with (
        serving(UVICORN, "bare_datasette", logs) as bare,
        serving(UVICORN, "wrapped_datasette", logs) as wrapped,
    ):
        yield Pair(bare, wrapped, NOISE, frozenset({"date", "set-cookie"}))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_reply_is_the_bare_apps_and_a_hit_where_it_may_be(pair: Pair, case: Case) -> None:
    pair.check(case)


def test_a_page_with_a_form_keeps_its_own_cookie(pair: Pair) -> None:
    cookies = {ask(pair.wrapped, Case("/-/messages")).header("set-cookie") for _ in range(3)}
    assert len(cookies) == 3
    assert None not in cookies


def test_head_is_answered_from_the_page(pair: Pair) -> None:
    page = ask(pair.wrapped, Case("/chinook/MediaType"))
    head = ask(pair.wrapped, Case("/chinook/MediaType", method="HEAD"))
    assert (head.cache.hit, head.body) == (True, b"")
    assert head.header("content-length") == str(len(page.body))
