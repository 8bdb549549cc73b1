"""Keys: two URLs share one only where they are the same to the app."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.cache.keys import environ_key, fold_host, frame, scope_key
from apsperf_mw.cache.screen import environ_table, scan_environ, scan_scope, scope_table
from apsperf_mw.settings import CacheSettings
from apsperf_mw.testing.forms import environ_of, scope_of
from apsperf_mw.testing.messages import Request

short = st.text(st.sampled_from("a/%2F?=&;:é\x00"), max_size=6)
hosts = st.text(st.sampled_from("aA.:80\xc9\xe9"), max_size=8)
urls = st.tuples(
    st.sampled_from(["http", "https", "ws"]),
    hosts,
    st.sampled_from(["", "/a", "/a/"]),
    short,
    short,
    short,
)


def key_of(url: tuple[str, str, str, str, str, str]) -> Any:
    scheme, host, root, path, raw, query = url
    scope = {
        "scheme": scheme,
        "root_path": root,
        "path": path,
        "raw_path": raw.encode("latin-1"),
        "query_string": query.encode("latin-1"),
    }
    return scope_key(scope, host.encode("latin-1"))


def folded(url: tuple[str, ...]) -> tuple[str, ...]:
    """The same with its host as RFC 9110 §4.2.3 compares it."""
    scheme, host, *rest = url
    lower = host.translate(str.maketrans(string.ascii_uppercase, string.ascii_lowercase))
    port = {"http": ":80", "https": ":443"}.get(scheme)
    return (scheme, lower.removesuffix(port) if port else lower.removesuffix(":"), *rest)


@given(one=urls, two=urls)
def test_keys_are_equal_only_where_all_parts_are(one: Any, two: Any) -> None:
    assert (key_of(one) == key_of(two)) is (folded(one) == folded(two))


@given(url=urls, part=st.integers(0, 5), other=urls)
def test_a_url_that_differs_in_one_part_has_another_key(url: Any, part: int, other: Any) -> None:
    changed = (*url[:part], other[part], *url[part + 1 :])
    assert (key_of(url) == key_of(changed)) is (folded(url) == folded(changed))


@pytest.mark.parametrize(("one", "two"), [("\xc9", "\xe9"), ("\xc3\x89", "\xe3\x89")])
def test_bytes_beyond_ascii_in_a_host_are_not_folded(one: str, two: str) -> None:
    assert fold_host(one, "http") != fold_host(two, "http")


parts = st.recursive(
    st.one_of(st.text(max_size=4), st.binary(max_size=4), st.integers(), st.none()),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)
keys = st.lists(parts, max_size=5).map(tuple)


@given(one=keys, two=keys)
def test_frames_of_different_keys_differ(one: Any, two: Any) -> None:
    assert (frame(one) == frame(two)) is (one == two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a", b"b"), ("a", "b")),
        ((None,), ("",)),
        (("",), ()),
        ((1,), ("1",)),
        ((("a",), "b"), ("a", "b")),
        (("s1:a",), ("a",)),
        ((("a", "b"),), (("a",), ("b",))),
    ],
)
def test_frames_that_look_alike_differ(one: Any, two: Any) -> None:
    assert frame(one) != frame(two)


targets = st.from_regex(r"\A/[a-zA-Z0-9%_.~/-]{0,20}(\?[a-zA-Z0-9=&;]{0,20})?\Z").filter(
    lambda target: target.isascii()
)


@given(target=targets, host=st.from_regex(r"\A[a-zA-Z0-9.-]{1,12}(:[0-9]{1,5})?\Z"))
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_both_shells_make_the_same_key_of_an_ascii_url(scheme: str, target: str, host: str) -> None:
    request = Request("GET", target, (("Host", host),), b"", scheme)
    scope, environ = scope_of(request), environ_of(request) | {"RAW_URI": target}
    if not scope["path"].isascii():
        return
    flags, seen, _ = scan_scope(scope["headers"], scope_table(CacheSettings()))
    assert scope_key(scope, seen) == environ_key(environ)
    assert scan_environ(environ, environ_table(CacheSettings())) == 0
    assert flags == 8


@pytest.mark.parametrize("target", ["/caf%C3%A9", "/%E2%98%83?q=%FF", "/a%00b"])
def test_both_shells_make_the_same_key_of_escaped_utf_8(target: str) -> None:
    request = Request("GET", target, (("Host", "a"),))
    assert scope_key(scope_of(request), b"a") == environ_key(
        environ_of(request) | {"RAW_URI": target}
    )


@pytest.mark.parametrize("filler", ["path", "query"])
def test_long_urls_are_kept_as_digests_that_differ(filler: str) -> None:
    def key(text: str) -> Any:
        target = "/" + text if filler == "path" else "/?" + text
        return scope_key(scope_of(Request("GET", target)), b"a")

    one, two = key("a" * 65_536), key("a" * 65_535 + "b")
    assert one != two
    assert one == key("a" * 65_536)
    assert len(frame(one)) < 200
    environ = environ_of(Request("GET", "/" + "a" * 65_536, (("Host", "a"),)))
    assert (
        environ_key(environ | {"RAW_URI": "/" + "a" * 65_536}) == key("a" * 65_536)
        or filler == "query"
    )


def test_a_digest_is_never_a_short_urls_key() -> None:
    long = scope_key(scope_of(Request("GET", "/" + "a" * 5000)), b"a")
    assert len(long) != len(scope_key(scope_of(Request("GET", "/")), b"a"))


def test_hosts_that_nobody_asks_for_again_are_forgotten() -> None:
    from apsperf_mw.cache import keys

    for number in range(5000):
        fold_host(b"host%d.test" % number, "http")
    assert len(keys._folded["http"]) <= keys.MOST_HOSTS


def test_paths_that_are_no_text_do_no_harm() -> None:
    for path in ("\udcff", "\ud800", "\udcc3\udca9"):
        scope = {"path": path, "query_string": b""}
        assert scope_key(scope, b"a") == scope_key(scope, b"a")
        frame(scope_key(scope, b"a"))
    environ = environ_of(Request("GET", "/%FF%FE"))
    frame(environ_key(environ))
