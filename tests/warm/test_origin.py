"""Whose pages may be asked for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.cache.keys import LONGEST
from apsperf_mw.warm.origin import Origin, Refused

SHOP = Origin.parse("http://127.0.0.1:8000", "shop.test")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("/", "/"),
        ("/a?b=c&d", "/a?b=c&d"),
        ("/a#part", "/a"),
        ("/a%20b", "/a%20b"),
        ("/caf\u00e9?\u00fc=\u20ac", "/caf%C3%A9?%C3%BC=%E2%82%AC"),
        ("/\udce9", "/%E9"),
        ("/a//b/../c", "/a//b/../c"),
        ("/?u=http://evil.test/", "/?u=http://evil.test/"),
        ("http://shop.test", "/"),
        ("http://shop.test?a", "/?a"),
        ("HTTP://SHOP.test:80/A", "/A"),
        ("https://shop.test/a", "/a"),
        ("https://shop.test:443/a", "/a"),
        ("http://127.0.0.1:8000/a", "/a"),
    ],
)
def test_what_is_of_the_origin_has_a_target(url: str, target: str) -> None:
    assert SHOP.target(url) == target


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "neither"),
        ("a", "neither"),
        ("javascript:alert(1)", "neither"),
        ("ftp://shop.test/a", "neither"),
        ("http:/a", "neither"),
        ("//evil.test/a", "off the host"),
        ("//shop.test/a", "off the host"),
        ("http://evil.test/a", "off the host"),
        ("http://shop.test.evil.test/", "off the host"),
        ("http://shop.test@evil.test/", "off the host"),
        ("http://user:pw@shop.test/", "off the host"),
        ("http://shop.test:8000/", "off the host"),
        ("http://shop.test:443/", "off the host"),
        ("http://shop.test\\@evil.test/", "off the host"),
        ("http://\u0455hop.test/", "off the host"),
        ("http:///a", "off the host"),
        ("http://shop.test//evil.test", "two slashes"),
        ("/a b", "space or a control"),
        ("/a\r\nHost: evil.test", "space or a control"),
        ("/a\x00", "space or a control"),
        ("/\ud800", "not valid"),
        ("/" + "a" * LONGEST, "longer"),
        ("/" + "\u20ac" * 1000, "longer"),
    ],
)
def test_what_is_not_is_refused(url: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        SHOP.target(url)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("b", "/x/b"),
        ("/b", "/b"),
        ("?q", "/x/y?q"),
        ("../b", "/b"),
        ("http://shop.test/b", "/b"),
        ("https://shop.test/x/y", "/x/y"),
    ],
)
def test_a_redirect_on_the_host_is_followed(location: str, target: str) -> None:
    assert SHOP.follow("/x/y", location) == target


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.test/",
        "//evil.test/",
        "http://[",
        "mailto:a@b",
        "http://evil.test:80\\@shop.test",
    ],
)
def test_another_is_refused(location: str) -> None:
    with pytest.raises(Refused):
        SHOP.follow("/x/y", location)


@pytest.mark.parametrize(
    "base",
    [
        *("", "shop.test", "//shop.test", "ftp://shop.test", "http://", "http://shop.test/path"),
        *("http://u:p@shop.test", "http://shop.test:99999", "http://shop.test:0", "http://a b"),
        *("http://shop.test?q", "http://sh\u00f6p.test", "http://shop.test\r\nX: y"),
    ],
)
def test_a_base_that_is_none_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match="base: got .*; accepted: http://host:port"):
        Origin.parse(base)


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="host: got 'a/b'; accepted: a host name"):
        Origin.parse("http://shop.test", "a/b")


@pytest.mark.parametrize(
    ("base", "name", "port"),
    [
        ("http://shop.test", "shop.test", 80),
        ("https://shop.test/", "shop.test", 443),
        ("http://[::1]:8000", "::1", 8000),
    ],
)
def test_where_to_connect(base: str, name: str, port: int) -> None:
    origin = Origin.parse(base)
    assert (origin.name, origin.port) == (name, port)


@given(st.one_of(st.text(), st.text().map("http://shop.test/".__add__), st.text().map("/".__add__)))
def test_any_text_is_a_clean_target_or_refused(url: str) -> None:
    try:
        target = SHOP.target(url)
    except Refused:
        return
    assert re.fullmatch(r"/(?!/)[!-~]*", target)
    assert "#" not in target
    assert len(target) <= LONGEST
    assert SHOP.target(target) == target


@given(st.text(), st.text())
def test_no_redirect_leaves_the_origin(path: str, location: str) -> None:
    try:
        target = SHOP.follow(SHOP.target("/" + path), location)
    except Refused:
        return
    assert re.fullmatch(r"/(?!/)[!-~]*", target)
