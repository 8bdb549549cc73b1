"""httpbin as it comes, on gunicorn."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.apps.compare import Pair
from tests.apps.servers import GUNICORN, Case, ask, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

NOISE = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
JSON = (("Content-Type", "application/json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
NO_HIT = (
    "/",
    "/get?a=1&a=2&b=%C3%A9",
    "/html",
    "/uuid",
    "/encoding/utf8",
    "/image/png",
    "/robots.txt",
    "/links/3/0",
    "/stream/5",
    "/stream-bytes/64?seed=7&chunk_size=16",
    "/bytes/32?seed=7",
    "/drip?numbytes=3&duration=0.03&delay=0",
    "/drip?numbytes=2&duration=0.02&code=500",
    "/range/64",
    "/gzip",
    "/deflate",
    "/brotli",
    "/redirect/2",
    "/relative-redirect/1",
    "/absolute-redirect/2",
    "/redirect-to?url=%2Fget&status_code=307",
    "/redirect/0",
    "/status/204",
    "/status/301",
    "/status/404",
    "/status/418",
    "/status/500",
    "/nowhere",
    "/post",
    "/cache/0",
    "/etag/one",
    "/cookies/set?flavour=oat",
    "/cookies/delete?flavour=",
    "/basic-auth/alice/secret",
    "/hidden-basic-auth/alice/secret",
    "/bearer",
    "/response-headers?Cache-Control=no-store",
    "/response-headers?Cache-Control=private,max-age=60",
    "/response-headers?Cache-Control=max-age%3D60&Set-Cookie=a%3Db",
    "/response-headers?Cache-Control=max-age%3D60&Vary=%2A",
    "/response-headers?ETag=%22x%22",
    "/response-headers?Link=%3C%2Fa%3E&Link=%3C%2Fb%3E",
)
HIT = (
    "/cache/60",
    "/cache/60?page=2",
    "/response-headers?Cache-Control=max-age%3D60",
    "/response-headers?Cache-Control=max-age%3D60&Link=%3C%2Fa%3E&Link=%3C%2Fb%3E",
    "/response-headers?Cache-Control=max-age%3D60&Vary=Accept",
    "/response-headers?Cache-Control=s-maxage%3D60",
)
BASIC = "Basic YWxpY2U6c2VjcmV0"
CASES = (
    *(Case(target) for target in NO_HIT),
    *(Case(target, hits=True) for target in HIT),
    Case("/etag/one", (("If-None-Match", "one"),)),
    Case("/etag/one", (("If-None-Match", "two"),)),
    Case("/etag/one", (("If-Match", "two"),)),
    Case("/cache", (("If-None-Match", "any"),)),
    Case("/cache", (("If-Modified-Since", "Sun, 01 Nov 2026 00:00:00 GMT"),)),
    Case("/range/64", (("Range", "bytes=10-19"),)),
    Case("/range/64", (("Range", "bytes=90-99"),)),
    Case("/cookies", (("Cookie", "flavour=oat; size=2"),)),
    Case("/basic-auth/alice/secret", (("Authorization", BASIC),)),
    Case("/cache/70", (("Cookie", "flavour=oat"),), hits=True),
    Case("/cache/71", (("Authorization", BASIC),), hits=True),
    Case("/response-headers?Cache-Control=max-age%3D70", (("Cookie", "flavour=oat"),)),
    Case("/response-headers?Cache-Control=max-age%3D71", (("Authorization", BASIC),)),
    Case("/cache/72", (("Origin", "https://elsewhere.test"),)),
    Case("/cache/73", (("X-Forwarded-Host", "elsewhere.test"),)),
    *(Case(target, method="HEAD") for target in ("/get", "/cache/75", "/status/404", "/stream/3")),
    Case("/get", method="OPTIONS"),
    Case("/anything", FORM, "POST", b"a=1&b=2"),
    Case("/post", JSON, "POST", b'{"a": [1, 2]}'),
    Case("/put", JSON, "PUT", b"[]"),
    Case("/patch", FORM, "PATCH", b"a=1"),
    Case("/delete", method="DELETE"),
    Case("/get", FORM, "POST", b"a=1"),
    Case("/status/503", method="POST"),
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    logs = tmp_path_factory.mktemp("httpbin")
    with (
        serving(GUNICORN, "bare_httpbin()", logs) as bare,
        serving(GUNICORN, "wrapped_httpbin()", logs) as wrapped,
    ):
        yield Pair(bare, wrapped, NOISE)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_reply_is_the_bare_apps_and_a_hit_where_it_may_be(pair: Pair, case: Case) -> None:
    pair.check(case)


def test_a_page_with_validators_alone_is_the_apps_each_time(pair: Pair) -> None:
    etags = {ask(pair.wrapped, Case("/cache")).header("etag") for _ in range(2)}
    assert len(etags) == 2


def test_a_hit_is_304_for_the_client_that_has_it(pair: Pair) -> None:
    target = "/response-headers?Cache-Control=max-age%3D60&ETag=%22v1%22"
    assert ask(pair.wrapped, Case(target)).cache.stored
    reply = ask(pair.wrapped, Case(target, (("If-None-Match", '"v1"'),)))
    assert (reply.status, reply.body, reply.cache.hit) == (304, b"", True)
    assert ask(pair.bare, Case(target, (("If-None-Match", '"v1"'),))).status == 200


def test_a_post_makes_the_page_void(pair: Pair) -> None:
    target = "/response-headers?Cache-Control=max-age%3D60&X-Page=1"
    ask(pair.wrapped, Case(target))
    assert ask(pair.wrapped, Case(target)).cache.hit
    assert ask(pair.wrapped, Case(target, method="POST")).status == 200
    assert not ask(pair.wrapped, Case(target)).cache.hit
    # The server closes the POST's body, which makes the page void once more, when it likes.
    assert any(ask(pair.wrapped, Case(target)).cache.hit for _ in range(10))


def test_a_part_is_cut_from_what_is_stored_though_the_app_knows_no_ranges(pair: Pair) -> None:
    target, part = "/cache/74", (("Range", "bytes=0-3"),)
    whole = ask(pair.wrapped, Case(target, part))
    assert (whole.status, whole.cache.stored) == (200, True)
    reply = ask(pair.wrapped, Case(target, part))
    assert (reply.status, reply.cache.hit, reply.body) == (206, True, whole.body[:4])
    assert reply.header("content-range") == f"bytes 0-3/{len(whole.body)}"
