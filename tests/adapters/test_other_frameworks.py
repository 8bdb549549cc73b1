"""Other frameworks by their callables: the examples, each asked the same questions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from tests.adapters.support import ASGISite, Pages, Site, WSGISite

if TYPE_CHECKING:
    from collections.abc import Iterator

APPS = {
    "litestar": ("litestar_shop", "served", ASGISite),
    "quart": ("quart_shop", "app", ASGISite),
    "falcon": ("falcon_shop", "served", WSGISite),
    "falcon async": ("falcon_shop", "served_async", ASGISite),
    "pyramid": ("pyramid_shop", "served", WSGISite),
    "bottle": ("bottle_shop", "served", WSGISite),
}
# Pyramid and its WebOb load modules that have been given up.
pytestmark = [
    pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*pkg_resources:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*pkg_resources:DeprecationWarning"),
]
JSON = {"Content-Type": "application/json", "Content-Length": "15"}


@pytest.fixture(params=APPS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    module, name, kind = APPS[request.param]
    example: Any = import_module(f"examples.frameworks.{module}")
    before = dict(example.stock)
    example.suite.purge(everything=True, hard=True)
    example.suite.hooks.ends = example.suite.hooks.ends[:1]
    yield kind(getattr(example, name), Pages(), example.suite)
    example.stock.update(before)


def test_a_page_is_made_once_and_served_again(site: Site) -> None:
    first, second = site.ask("/albums/1"), site.ask("/albums/1")
    assert (first.status, first.cache.stored, second.cache.hit) == (200, True, True)
    assert first.body == second.body
    assert b"For Those About To Rock" in second.body
    assert second.header("age") == "0"


def test_who_has_it_already_is_told_so(site: Site) -> None:
    etag = site.ask("/albums/1").header("etag") or ""
    assert site.ask("/albums/1", {"If-None-Match": etag}).status == 304


def test_head_is_answered_from_it(site: Site) -> None:
    whole = site.ask("/albums/1")
    head = site.ask("/albums/1", method="HEAD")
    assert (head.cache.hit, head.body) == (True, b"")
    assert head.header("content-length") == str(len(whole.body))


def test_what_changes_it_makes_it_void(site: Site) -> None:
    site.ask("/albums/2")
    changed = site.ask("/albums/2", JSON, method="POST", body=b'{"title":"New"}')
    assert changed.status == 201
    assert b"New" in site.ask("/albums/2").body


def test_a_purge_makes_it_void(site: Site) -> None:
    site.ask("/albums/1")
    site.suite.purge(urls=["/albums/1"])
    assert not site.ask("/albums/1").cache.hit


def test_who_comes_with_a_cookie_or_credentials_goes_to_the_app(site: Site) -> None:
    site.ask("/albums/1")
    assert not site.ask("/albums/1", {"Cookie": "a=1"}).cache.hit
    assert not site.ask("/albums/1", {"Authorization": "Bearer x"}).cache.hit


def test_a_stream_is_kept_when_it_has_gone_by(site: Site) -> None:
    first, second = site.ask("/export"), site.ask("/export")
    assert first.body == second.body == b"1\tFor Those About To Rock\n2\tBalls to the Wall\n"
    assert second.cache.hit


def test_what_fails_is_kept_from_nobody_and_not_kept(site: Site) -> None:
    for _ in range(2):
        reply = site.ask("/broken")
        assert site.raised is not None or reply.status == 500
        assert site.raised is not None or not reply.cache.stored


def test_what_is_not_there_is_as_the_framework_says(site: Site) -> None:
    assert site.ask("/nowhere").status == 404
