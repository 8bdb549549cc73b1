"""What counts in keys, by the settings: parameters, hosts, namespaces."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw import SettingError, Suite
from apsperf_mw.cache.far import prefix_of
from apsperf_mw.http.queries import QueryForm
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Request, Response
from tests.core.support import numbered

Wrap = Callable[..., Client]


@pytest.mark.parametrize(
    ("form", "query", "seen"),
    [
        ({"sort": True}, b"b=2&a=1", b"a=1&b=2"),
        ({"sort": True}, b"a=2&b&a=1&", b"&a=2&a=1&b"),
        ({"sort": True}, b"%62=1&a=1", b"%62=1&a=1"),
        ({"sort": True}, b"b=2;a=1", b"b=2;a=1"),
        ({"ignore": ["utm_*", "fbclid"]}, b"utm_source=x&a=1&fbclid=2&utm=3", b"a=1&utm=3"),
        ({"ignore": ["a"]}, b"a", b""),
        ({"ignore": ["a"]}, b"%61=1", b"%61=1"),
        ({"only": ["page", "q*"]}, b"page=1&x=2&query=3&=4", b"page=1&query=3"),
        ({"only": ["page"], "ignore": ["page"]}, b"page=1&x=2", b"page=1"),
    ],
)
def test_the_form_of_a_query(form: dict[str, object], query: bytes, seen: bytes) -> None:
    assert QueryForm(**{"sort": False, **form})(query) == seen  # type: ignore[arg-type]


@given(st.binary(max_size=60), st.booleans())
def test_a_form_loses_no_parameter_that_counts(query: bytes, sort: bool) -> None:
    form = QueryForm(sort=sort)
    assert sorted(form(query).split(b"&")) == sorted(query.split(b"&"))
    assert form(form(query)) == form(query)


def test_order_and_trackers_do_not_count_where_the_settings_say_so(wrap: Wrap) -> None:
    client = wrap(numbered(), sort_query=True, ignore_params=["utm_*"])
    client.ask("/list?b=1&a=2")
    assert client.ask("/list?a=2&utm_source=x&b=1").cache.hit
    assert not client.ask("/list?a=1&b=2").cache.hit
    assert not client.ask("/list?a=2&a=2&b=1").cache.hit


def test_by_default_every_byte_of_the_query_counts(wrap: Wrap) -> None:
    client = wrap(numbered())
    client.ask("/list?b=1&a=2")
    assert not client.ask("/list?a=2&b=1").cache.hit
    assert not client.ask("/list?b=1&a=2&").cache.hit


def test_the_app_sees_the_whole_query(wrap: Wrap) -> None:
    seen: list[str] = []

    def app(request: Request) -> Response:
        seen.append(request.target)
        return numbered()(request)

    wrap(app, ignore_params=["utm_*"]).ask("/list?utm_source=x&a=1")
    assert seen == ["/list?utm_source=x&a=1"]


def test_a_write_makes_void_what_is_stored_in_the_same_form(wrap: Wrap) -> None:
    client = wrap(numbered(), ignore_params=["utm_*"])
    client.ask("/list?a=1")
    client.ask("/list?a=1&utm_source=x", method="POST")
    assert not client.ask("/list?a=1").cache.hit


def test_only_the_hosts_of_the_list_are_cached(wrap: Wrap) -> None:
    client = wrap(numbered(), hosts=["Shop.Test", "other.test:8080"])
    client.ask("/")
    assert client.ask("/").cache.hit
    assert client.ask("/", {"Host": "SHOP.test:80"}).cache.hit
    for host in ("evil.test", "other.test", "shop.test:81"):
        for _ in range(2):
            reply = client.ask("/", {"Host": host})
            assert (reply.cache.fwd, reply.cache.detail) == ("bypass", "host")


@pytest.mark.parametrize("host", ["", "a/b", "user@shop.test", " "])
def test_hosts_that_cannot_be_are_refused(host: str) -> None:
    with pytest.raises(SettingError, match=r"cache\.hosts"):
        Suite(cache={"hosts": [host]})


def test_namespaces_share_no_key() -> None:
    names = ["", "a", "b", "a:", "1:a"]
    assert len({prefix_of(name) for name in names}) == len(names)
    prefixes = [prefix_of(name) for name in names]
    assert not any(p.startswith(q) for p in prefixes for q in prefixes if p != q)


def test_a_purge_by_url_knows_the_form_of_its_query(wrap: Wrap) -> None:
    client = wrap(numbered(), sort_query=True, ignore_params=["utm_*"])
    client.ask("/list?b=1&a=2")
    assert client.ask("/list?a=2&b=1").cache.hit
    client.suite.purge(urls=["/list?b=1&utm_source=x&a=2"])
    assert not client.ask("/list?a=2&b=1").cache.hit
