"""Lists, logs, sitemaps and OpenAPI documents, well made and hostile."""

from __future__ import annotations

import gzip
import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.warm import sources
from apsperf_mw.warm.openapi import read_openapi
from apsperf_mw.warm.sitemap import MOST_DEPTH, read_sitemap
from apsperf_mw.warm.sources import (
    MOST_DOCUMENT_BYTES,
    MOST_DOCUMENT_URLS,
    MOST_LINE_BYTES,
    SourceError,
    bounded_lines,
    lines_of,
    read_file,
    read_list,
    read_log,
)
from tests.warm.support import index, urlset

if TYPE_CHECKING:
    from pathlib import Path

COMMON = '192.0.2.1 - - [10/Oct/2025:13:55:36 -0700] "{}" {} 2326'
COMBINED = COMMON + ' "http://ref.test/" "Mozilla/5.0 (X11)"'


def log(*lines: tuple[str, int], form: str = COMMON) -> list[bytes]:
    return [form.format(*line).encode() + b"\n" for line in lines]


def test_a_list_has_one_url_a_line() -> None:
    lines = [b"\xef\xbb\xbf/first\n", b"\n", b"# note\n", b"  http://shop.test/b \r\n", b"/\xe9"]
    assert list(read_list(lines)) == ["/first", "http://shop.test/b", "/\udce9"]


@pytest.mark.parametrize("form", [COMMON, COMBINED, "shop.test:80 " + COMBINED])
def test_a_log_gives_what_was_asked_for_most(form: str) -> None:
    get = ("GET /b HTTP/1.1", 200), ("GET /a?x=1 HTTP/2.0", 200), ("GET /b HTTP/1.0", 200)
    lines = log(*get, ("GET /once", 200), form=form)
    assert read_log(lines, 10) == ["/b", "/a?x=1", "/once"]
    assert read_log(lines, 2) == ["/b", "/a?x=1"]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("POST /a HTTP/1.1", 200),
        ("HEAD /a HTTP/1.1", 200),
        ("GET /a HTTP/1.1", 404),
        ("GET /a HTTP/1.1", 500),
        ("GET /a b HTTP/1.1", 200),
        ('GET /a\\"b HTTP/1.1', 200),
        ("GET /a\\x22b HTTP/1.1", 200),
        ("GET /login?token=s3cret HTTP/1.1", 200),
        ("GET /reset?a=1&api_key=s3cret HTTP/1.1", 200),
        ("-", 200),
        ("", 200),
    ],
)
def test_other_lines_of_a_log_are_left_out(request_line: str, status: int) -> None:
    assert read_log(log((request_line, status)), 10) == []


def test_a_log_with_very_many_targets_keeps_the_frequent_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "MOST_COUNTED", 20)
    often = log(*[("GET /often HTTP/1.1", 200)] * 5)
    rare = log(*[(f"GET /{number} HTTP/1.1", 200) for number in range(1000)])
    found = read_log([*often, *rare], 1000)
    assert found[0] == "/often"
    assert len(found) <= 20


def test_lines_are_bounded() -> None:
    long = b"x" * (3 * MOST_LINE_BYTES)
    assert list(bounded_lines(BytesIO(b"/a\n" + long + b"\n/b\n/c"))) == [b"/a\n", b"/b\n", b"/c"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_of_a_file_packed_or_not(pack: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pack(b"/a\n/b\n"))
    with lines_of(str(tmp_path / "file")) as lines:
        assert list(lines) == [b"/a\n", b"/b\n"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x1f\x8bnonsense",
        gzip.compress(b"/a\n" * 100, mtime=0)[:-9],
        gzip.compress(b"a", mtime=0)[:12] + b"\xff" * 9,
    ],
)
def test_a_file_that_is_broken_is_an_error_of_the_source(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(SourceError), lines_of(str(tmp_path / "file")) as lines:
        list(lines)


def test_a_file_that_is_not_there_is_an_error_of_the_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"), lines_of(str(tmp_path / "no")):
        pass
    with pytest.raises(SourceError, match="No such file"):
        read_file(str(tmp_path / "no"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_sitemap_names_pages(pack: Any) -> None:
    found = read_sitemap(pack(urlset("http://shop.test/a", " http://shop.test/b?x=1&amp;y=2\n")))
    assert found.pages == ["http://shop.test/a", "http://shop.test/b?x=1&y=2"]
    assert (found.nested, found.fault) == ([], "")


def test_an_index_names_further_sitemaps() -> None:
    found = read_sitemap(index("http://shop.test/1.xml", "http://shop.test/2.xml.gz"))
    assert found.nested == ["http://shop.test/1.xml", "http://shop.test/2.xml.gz"]
    assert found.pages == []


def test_the_loc_of_another_vocabulary_is_no_page() -> None:
    found = read_sitemap(
        b"<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9' xmlns:i='urn:image'>"
        b"<url><loc>/a</loc><i:image><i:loc>/a.png</i:loc></i:image><i:loc>/b.png</i:loc></url>"
        b"<loc>/stray</loc></urlset>"
    )
    assert found.pages == ["/a"]
    assert read_sitemap(b"<urlset><url><loc>/bare</loc></url></urlset>").pages == ["/bare"]


@pytest.mark.parametrize(
    ("document", "pages", "fault"),
    [
        (b"", [], "no element found"),
        (b"<html><p>no", [], "no element found"),
        (urlset("/a", "/b")[:-20], ["/a"], "line 1:"),
        (urlset("/a") + b"<more/>", ["/a"], "junk after document element"),
        (b"<?xml version='1.0' encoding='klingon'?><urlset/>", [], "unknown encoding"),
        (b"<a>" * (MOST_DEPTH + 1), [], "nested too deeply"),
        (gzip.compress(urlset("/a"), mtime=0)[:20], [], "line 1:"),
        (b"\x1f\x8bnonsense", [], "Error -3"),
    ],
)
def test_a_sitemap_that_breaks_off_keeps_what_came_before(
    document: bytes, pages: list[str], fault: str
) -> None:
    found = read_sitemap(document)
    assert found.pages == pages
    assert fault in found.fault


def test_no_entity_is_expanded_and_none_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    outside = f"<!DOCTYPE a [<!ENTITY e SYSTEM '{(tmp_path / 'secret').as_uri()}'>]>"
    laughs = "<!DOCTYPE a [<!ENTITY a 'ha'><!ENTITY e '&a;&a;&a;&a;'>]>"
    for doctype in (outside, laughs, "<!DOCTYPE a SYSTEM 'http://evil.test/a.dtd'>"):
        found = read_sitemap(f"{doctype}<urlset><url><loc>&e;</loc></url></urlset>".encode())
        assert (found.pages, found.nested) == ([], [])
        assert "document type" in found.fault


def test_a_sitemap_is_bounded() -> None:
    assert "longer than" in read_sitemap(gzip.compress(b" " * (MOST_DOCUMENT_BYTES + 1))).fault
    many = read_sitemap(urlset(*["/a"] * (MOST_DOCUMENT_URLS + 10)))
    assert len(many.pages) == MOST_DOCUMENT_URLS
    (page,) = read_sitemap(urlset("/" + "a" * 10**6)).pages
    assert len(page) < 10**4


def api(paths: Any, **more: Any) -> bytes:
    return json.dumps({"openapi": "3.1.0", "info": {}, "paths": paths, **more}).encode()


QUERY = {"name": "q", "in": "query"}
REFERENCE = {"$ref": "#/components/parameters/q"}


@pytest.mark.parametrize(
    "item",
    [
        {"get": {}},
        {"get": {"parameters": [QUERY]}},
        {"get": {"parameters": [{**QUERY, "required": False}]}},
        {"get": {"security": [{}, {"key": []}]}},
        {"get": {"security": []}},
        {"get": {"parameters": [REFERENCE]}},
        {"get": {"responses": {"200": {"description": "x"}}}, "post": {"anything": 1}, "x-y": 2},
    ],
)
def test_a_get_that_anybody_can_ask_for_is_a_page(item: dict[str, Any]) -> None:
    document = api({"/a": item}, components={"parameters": {"q": QUERY}, "schemas": {"a": 1}})
    assert read_openapi(document).pages == ["/a"]


@pytest.mark.parametrize(
    ("path", "item"),
    [
        ("/a", {}),
        ("/a", {"post": {}}),
        ("/a/{id}", {"get": {}}),
        ("a", {"get": {}}),
        ("x-a", {"get": {}}),
        ("/a", {"get": {"parameters": [{**QUERY, "required": True}]}}),
        ("/a", {"parameters": [{**QUERY, "required": True}], "get": {}}),
        ("/a", {"get": {"parameters": [REFERENCE]}}),
        ("/a", {"get": {"parameters": [{"$ref": "#/nowhere"}]}}),
        ("/a", {"get": {"parameters": [{"$ref": "#/components/parameters/loop"}]}}),
        ("/a", {"get": {"parameters": [{"$ref": "#/components/parameters/odd"}]}}),
        ("/a", {"get": {"security": [{"key": []}]}}),
        ("/a", {"get": {"servers": [{"url": "http://["}]}}),
        ("/a", {"get": 7}),
        ("/a", []),
    ],
)
def test_no_other_is(path: str, item: Any) -> None:
    parameters = {
        "q": {**QUERY, "required": True},
        "loop": {"$ref": "#/components/parameters/loop"},
        "odd": 7,
    }
    document = api({path: item, "/z": {"get": {}}}, components={"parameters": parameters})
    found = read_openapi(document)
    assert (found.pages, found.fault) == (["/z"], "")


def test_credentials_asked_for_everywhere_hold_where_nothing_else_is_said() -> None:
    paths: dict[str, Any] = {"/closed": {"get": {}}, "/open": {"get": {"security": []}}}
    assert read_openapi(api(paths, security=[{"key": []}])).pages == ["/open"]


@pytest.mark.parametrize(
    ("servers", "page"),
    [
        ([], "/a"),
        ([{"url": "/"}], "/a"),
        ([{"url": "/v1/"}], "/v1/a"),
        ([{"url": "v1"}], "/v1/a"),
        ([{"url": "https://api.test/v1"}, {"url": "/no"}], "https://api.test/v1/a"),
        ([{"url": "/{v}", "variables": {"v": {"default": "v2"}}}], "/v2/a"),
    ],
)
def test_the_server_says_where_the_paths_are(servers: list[Any], page: str) -> None:
    assert read_openapi(api({"/a": {"get": {}}}, servers=servers)).pages == [page]


def test_the_nearest_server_counts() -> None:
    paths = {"/a": {"servers": [{"url": "/p"}], "get": {"servers": [{"url": "/o"}]}}}
    assert read_openapi(api(paths, servers=[{"url": "/d"}])).pages == ["/o/a"]


def test_variables_cannot_blow_a_url_up() -> None:
    bomb = {"url": "{a}" * 1000, "variables": {"a": {"default": "x" * 10**6}}}
    (page,) = read_openapi(api({"/a": {"get": {}}}, servers=[bomb])).pages
    assert len(page) < 10_000


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"openapi: 3.1.0\npaths: {}\n",
        b'{"swagger": "2.0", "paths": {}}',
        b'{"openapi": "2.0"}',
        b'{"openapi": "3.1.0", "paths": 7}',
        b"[" * 10**5,
        b'"\xff"',
    ],
)
def test_another_document_is_refused(document: bytes) -> None:
    found = read_openapi(document)
    assert found.pages == []
    assert "an OpenAPI 3 document in JSON" in found.fault


LOGGED = st.binary().map(lambda raw: COMMON.format("GET /", 200).encode().replace(b"/", raw))


@given(st.lists(st.binary() | LOGGED), st.integers(0, 20))
def test_any_lines_make_a_bounded_log(lines: list[bytes], top: int) -> None:
    assert len(read_log(lines, top)) <= top


@given(st.binary())
def test_any_bytes_make_lines_and_a_list(data: bytes) -> None:
    lines = list(bounded_lines(BytesIO(data)))
    assert sum(map(len, lines)) <= len(data)
    assert len(list(read_list(lines))) <= data.count(b"\n") + 1


JUNK = st.sampled_from(
    (
        b"<url>",
        b"</url>",
        b"<loc>",
        b"</loc>",
        b"<sitemap>",
        b"/a",
        b"&e;",
        b"&#0;",
        b"<![CDATA[",
        b"]]>",
    )
)
XML = st.lists(JUNK | st.binary(max_size=4)).map(lambda parts: b"<urlset>" + b"".join(parts))


@given(
    st.binary() | XML | st.binary().map(gzip.compress) | st.binary().map(b"\x1f\x8b\x08".__add__)
)
def test_any_bytes_make_a_sitemap_or_a_fault(document: bytes) -> None:
    found = read_sitemap(document)
    assert len(found.pages) + len(found.nested) <= document.count(b"loc") + 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("get", "parameters", "$ref", "required", "servers", "url", "security", "/a")
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(st.binary() | st.dictionaries(st.sampled_from(("/a", "/b", "x")), VALUES).map(api))
def test_any_bytes_make_a_document_or_a_fault(document: bytes) -> None:
    found = read_openapi(document)
    assert len(found.pages) <= 3


@given(VALUES, VALUES)
def test_any_json_makes_a_document_or_a_fault(servers: Any, components: Any) -> None:
    document = api({"/a": {"get": {}}}, servers=servers, components=components)
    assert len(read_openapi(document).pages) <= 1
