"""Warm-up of real servers over HTTP."""

from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest

from apsperf_mw.testing.messages import parse_cache_status
from tests.warm.support import SERVERS, invoke, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module", params=SERVERS)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(request.param, tmp_path_factory.mktemp("server")) as base:
        yield base


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def warm(base: str, pages: str, *args: str, code: int = 0) -> dict[str, Any]:
    """What the command reports for these pages."""
    result = invoke("--base", base, "--urls", "-", "--json", *args, pages=pages)
    assert result.exit_code == code, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def get(base: str, target: str, host: str = "", **headers: str) -> tuple[bytes, str]:
    """The body that a client gets, and its Cache-Status."""
    authority = base.removeprefix("http://")
    name, _, port = authority.partition(":")
    with closing(HTTPConnection(name, int(port), timeout=30)) as connection:
        connection.request("GET", target, headers={"Host": host or authority, **headers})
        response = connection.getresponse()
        return response.read(), response.headers["Cache-Status"]


def hit(base: str, target: str, **more: str) -> bool:
    return parse_cache_status(get(base, target, **more)[1]).hit


def seen(base: str, path: str) -> list[dict[str, str]]:
    """The fields of the requests for a path that have reached the app."""
    told = json.loads(get(base, "/seen")[0])
    return [
        {name.lower(): value for name, value in fields}
        for _, target, fields in told
        if target.partition("?")[0] == path
    ]


def test_pages_are_stored_and_found_by_the_next_client(base: str) -> None:
    report = warm(base, f"/http-a\n/http-b?x=%20\n{base}/http-c\n")
    assert (report["stored"], report["complete"], report["lasting"]) == (3, True, True)
    for target in ("/http-a", "/http-b?x=%20", "/http-c"):
        assert hit(base, target)
    assert warm(base, "/http-a\n/http-d")["fresh"] == 1


def test_requests_are_plain(base: str) -> None:
    warm(base, "/plainly", "--header", "Accept: text/html")
    assert seen(base, "/plainly") == [
        {
            "host": base.removeprefix("http://"),
            "user-agent": "apsperf-warm",
            "connection": "close",
            "accept": "text/html",
        }
    ]


def test_clients_may_know_the_app_by_another_host(base: str) -> None:
    report = warm(base, "/hosted\nhttps://shop.test/other\nhttp://x.test/", "--host", "shop.test")
    assert (report["stored"], report["refused"]["off the host"]["count"]) == (2, 1)
    assert hit(base, "/hosted", host="shop.test")
    assert hit(base, "/other", host="shop.test")
    assert not hit(base, "/hosted")


def test_what_is_not_stored_and_what_fails_says_why(base: str) -> None:
    report = warm(base, "/private\n/plain\n/missing\n/raises\n/ok", code=1)
    assert report["not_stored"]["private"]["examples"] == ["/private"]
    assert report["not_stored"]["no-lifetime"]["examples"] == ["/plain"]
    assert report["failed"]["status 404"]["examples"] == ["/missing"]
    assert report["failed"]["status 500"]["examples"] == ["/raises"]
    assert report["stored"] == 1


def test_a_redirect_is_followed_on_the_host_only(base: str) -> None:
    report = warm(base, "/there\n/away\n/round", code=1)
    assert report["stored"] + report["fresh"] == 1
    assert report["failed"]["redirect: off the host"]["examples"] == ["/away"]
    assert report["failed"]["redirect: more than 5 in a row"]["examples"] == ["/round"]
    assert seen(base, "/x") == []


def test_variants_are_stored_each(base: str) -> None:
    fields = ("--header", "Accept-Language: de", "--header", "Accept-Language: fr")
    assert warm(base, "/tongue", *fields)["stored"] == 2
    for tongue in ("de", "fr"):
        body, said = get(base, "/tongue", **{"Accept-Language": tongue})
        assert (body, parse_cache_status(said).hit) == (tongue.encode(), True)


def test_a_body_without_an_end_is_given_up(base: str) -> None:
    report = warm(base, "/endless\n/after", "--timeout", "0.5", code=1)
    assert report["failed"]["TimeoutError"]["examples"] == ["/endless"]
    assert report["stored"] == 1


def test_what_is_done_is_not_asked_for_again(base: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = warm(base, "/once\n/missing", "--resume", str(state), code=1)
    assert (first["stored"], first["resumed"]) == (1, 0)
    second = warm(base, "/once\n/missing\n/new", "--resume", str(state), code=1)
    assert (second["stored"], second["fresh"], second["resumed"]) == (1, 0, 1)
    third = warm(base, "/once\n/new", "--resume", str(state))
    assert third["resumed"] == 2
    assert not state.exists()


def test_a_sitemap_is_fetched_from_the_server(base: str) -> None:
    url = f"{base}/sitemap.xml"
    result = invoke("--base", base, "--host", "shop.test", "--sitemap", url, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["stored"] == 2
    assert hit(base, "/a", host="shop.test")


def test_a_server_that_is_not_there_fails_each_page() -> None:
    report = warm("http://127.0.0.1:1", "/a\n/b", code=1)
    assert report["failed"]["ConnectionRefusedError"]["count"] == 2
