"""Why a response was or was not stored or reused: each step, with where the rule stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.cache.rules.terms import REFUSALS
from apsperf_mw.explain.responses import LATER
from apsperf_mw.explain.steps import MOST_LINE_CHARS, Explanation, Step
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Response
from tests.admin.support import ADMIN, BASE, BEARER, TOKEN, Numbered, client_of, purge, told

ASKS = {"APSPerf-Explain": TOKEN}
YEAR = "Mon, 01 Jan 2029 00:00:00 GMT"
CLOSE = (("Cache-Control", "max-age=60"),)


def explain(client: Client, url: str = "/a", *headers: str, fetch: bool = False) -> dict[str, Any]:
    pairs = [("url", url), *(("header", each) for each in headers)]
    query = urlencode([*pairs, ("fetch", "1")] if fetch else pairs)
    return told(client.ask(f"{BASE}/explain?{query}", BEARER))


def steps(told: dict[str, Any], part: str) -> dict[str, tuple[str, str, bool]]:
    """The steps of a part by name: finding, source, and whether it stopped."""
    return {
        each["name"]: (each["finding"], each["source"], each["stops"])
        for each in told["steps"]
        if each["part"] == part
    }


def stopped(told: dict[str, Any]) -> list[str]:
    return [each["name"] for each in told["steps"] if each["stops"]]


def answering(headers: Sequence[tuple[str, str]] = CLOSE, **more: Any) -> Any:
    return lambda _: Response(headers=tuple(headers), body=[b"page"], **more)


def test_nothing_is_asked_or_changed_by_an_explanation(shell: str) -> None:
    client = client_of(shell)
    said = explain(client)
    assert said["outcome"] == "the app would be asked"
    assert steps(said, "lookup")["entry"] == ("none is stored", "RFC 9111 §4", True)
    assert client.calls == 0
    assert client.ask("/a").cache.stored


def test_an_entry_is_found_with_its_age_and_tags(shell: str) -> None:
    client = client_of(shell)
    client.ask("/a")
    said = explain(client)
    assert said["outcome"] == "would be served from the cache"
    lookup = steps(said, "lookup")
    assert lookup["entry"][0] == "status 200, 8 bytes"
    assert lookup["age"] == ("age 0 s of 60 s: fresh", "RFC 9111 §4.2", False)
    assert lookup["purge"][0] == "not purged (tags: all, /a)"
    assert "http shop.test" in steps(said, "key")["key"][0]
    assert stopped(said) == []


@pytest.mark.parametrize("hard", [False, True])
def test_a_purged_entry_is_found_to_be_purged(shell: str, hard: bool) -> None:
    client = client_of(shell)
    client.ask("/a")
    told(purge(client, tags=["/a"], hard=hard))
    said = explain(client)
    assert stopped(said) == ["purge"]
    assert steps(said, "lookup")["purge"][0].startswith(
        "purged hard" if hard else "purged: the app"
    )


def test_another_host_scheme_query_or_variant_is_another_entry(shell: str) -> None:
    client = client_of(shell, answering([*CLOSE, ("Vary", "Accept")]))
    client.ask("/a?b=1", {"Accept": "text/html"})
    for url in ("/a", "/a?b=2", "https://shop.test/a?b=1", "http://other.test/a?b=1", "/a?b=1"):
        assert stopped(explain(client, url)) == ["entry"]
    for url in ("/a?b=1", "http://shop.test/a?b=1", "http://SHOP.test:80/a?b=1"):
        said = explain(client, url, "Accept: text/html")
        assert stopped(said) == []
        assert steps(said, "lookup")["variant"] == ("selected by accept", "RFC 9111 §4.1", False)


@pytest.mark.parametrize(
    ("header", "name", "source"),
    [
        ("X-API-Key: k", "credential", "house rule"),
        ("If-Match: x", "precondition", "RFC 9110 §13.1"),
        ("X-Forwarded-Host: x", "forwarded", "house rule"),
        ("Transfer-Encoding: chunked", "body", "house rule"),
    ],
)
def test_what_sends_a_request_round_the_cache(
    shell: str, header: str, name: str, source: str
) -> None:
    said = explain(client_of(shell), "/a", header)
    finding, found, stops = steps(said, "request")[name]
    assert stops
    assert found == source
    assert finding.endswith(header.partition(":")[0].lower())
    assert finding != "k"
    assert said["outcome"] == "the app would be asked, and its response not stored"


def test_what_a_cookie_and_authorization_need(shell: str) -> None:
    client = client_of(shell)
    client.ask("/a")
    for header, name in (("Cookie: a=b", "cookie"), ("Authorization: x", "authorization")):
        said = explain(client, "/a", header)
        assert name in steps(said, "request")
        assert stopped(said) == ["guarded"]


def test_that_the_cache_is_off_and_that_a_host_is_not_cached(shell: str) -> None:
    off = explain(client_of(shell, cache={"enabled": False}))
    assert stopped(off) == ["cache.enabled"]
    narrow = explain(client_of(shell, cache={"hosts": ["other.test"]}))
    assert stopped(narrow) == ["host"]


@pytest.mark.parametrize(
    ("headers", "more", "refused"),
    [
        ([("Cache-Control", "no-store")], {}, ["no-store"]),
        ([("Cache-Control", "must-understand, max-age=1")], {"status": 599}, ["must-understand"]),
        ([("Cache-Control", "private, max-age=1")], {}, ["private"]),
        (CLOSE, {"plan": Plan(private=True)}, ["private"]),
        ([*CLOSE, ("Set-Cookie", "a=b")], {}, ["set-cookie"]),
        (CLOSE, {"status": 206}, ["status"]),
        ([*CLOSE, ("Access-Control-Allow-Origin", "http://x")], {}, ["cors"]),
        ([*CLOSE, ("Vary", "*")], {}, ["vary"]),
        ([("Cache-Control", "private, no-store")], {}, ["no-store", "private"]),
        ([("X", "y")], {}, ["no-lifetime"]),
        ([("Cache-Control", "no-cache")], {}, ["no-cache"]),
        ([*CLOSE, ("Content-Length", "9999999")], {}, ["length"]),
    ],
)
def test_why_a_response_is_not_stored(
    shell: str, headers: Any, more: dict[str, Any], refused: list[str]
) -> None:
    client = client_of(shell, answering(headers, **more))
    said = explain(client, fetch=True)
    assert [name for name, step in steps(said, "storing").items() if step[2]] == refused
    assert said["outcome"] == f"not stored: {refused[0]}"
    assert client.calls == 1
    assert client.ask("/a").cache.detail == refused[0]


def test_every_rule_has_its_turn_and_its_source(shell: str) -> None:
    said = explain(client_of(shell), fetch=True)
    storing = steps(said, "storing")
    assert list(storing) == [name for name, _, _ in REFUSALS]
    assert all(finding == "passes" for finding, _, _ in storing.values())
    for _, _, source in REFUSALS:
        assert "RFC" in source or "house" in source
    assert all("RFC" in source or source == "house rule" for _, source in LATER.values())


@pytest.mark.parametrize(
    ("headers", "plan", "name", "finding"),
    [
        ([("Cache-Control", "s-maxage=9, max-age=5")], None, "s-maxage", "9 s by Cache-Control"),
        ([("Cache-Control", "max-age=5")], Plan(rule=rule("long")), "max-age", "5 s by Cache-Con"),
        ([("CDN-Cache-Control", "max-age=7")], None, "max-age", "7 s by a targeted field"),
        ([("Expires", YEAR), ("Date", YEAR)], None, "expires", "0 s by Expires less Date"),
        ([], Plan(rule=rule(90)), "rule", "90 s by the route's rule"),
        ([], Plan(rule=rule(lambda status, fields: 80)), "rule", "80 s by the route's rule"),
        (
            [("Last-Modified", "Mon, 01 Jan 2001 00:00:00 GMT")],
            None,
            "heuristic",
            "86400 s by Last",
        ),
        ([], None, "none", "0 s by nothing"),
    ],
)
def test_where_the_lifetime_comes_from(
    shell: str, headers: Any, plan: Plan | None, name: str, finding: str
) -> None:
    heuristic = name == "heuristic"
    client = client_of(shell, answering(headers, plan=plan), cache={"heuristic": heuristic})
    said = steps(explain(client, fetch=True), "lifetime")
    assert list(said) == [name]
    assert said[name][0].startswith(finding)
    assert "RFC" in said[name][1] or name == "rule"


def test_a_fetch_is_a_request_like_any_other(shell: str) -> None:
    pages = Numbered()
    client = client_of(shell, pages)
    assert explain(client, "/a", fetch=True)["outcome"] == "stored"
    assert client.ask("/a").cache.hit
    again = explain(client, "http://shop.test/a", fetch=True)
    assert again["outcome"] == "served from the cache (hit)"
    (request,) = pages.seen
    assert TOKEN not in str(request.headers)
    assert {name for name, _ in request.headers} == {"host"}


def test_a_fetch_of_an_app_that_fails(shell: str) -> None:
    client = client_of(shell, answering(error=RuntimeError("secret")))
    said = explain(client, fetch=True)
    assert said["outcome"] == "not stored: the app raised RuntimeError"


def test_a_request_with_the_token_is_told_in_a_field(shell: str) -> None:
    pages = Numbered()
    client = client_of(shell, pages)
    first = client.ask("/a", ASKS)
    said = first.header("apsperf-explain") or ""
    assert said.startswith("stored; request method: GET (RFC 9110 s.9.2.3)")
    assert "lifetime max-age: 60 s by Cache-Control (RFC 9111 s.5.2.2.1)" in said
    assert first.cache.stored
    second = client.ask("/a", ASKS)
    assert (second.header("apsperf-explain") or "").startswith("served from the cache (hit)")
    private = client.ask("/private", ASKS).header("apsperf-explain") or ""
    assert private.startswith("not stored: private;")
    assert "storing private: refuses (RFC 9111 s.5.2.2.7)" in private
    posted = client.ask("/a", ASKS, method="POST").header("apsperf-explain") or ""
    assert posted.startswith("went round the cache; request method: POST")
    for request in pages.seen:
        assert "apsperf-explain" not in dict(request.headers)


def test_the_field_is_never_stored_nor_given_to_anybody_else(shell: str) -> None:
    client = client_of(shell)
    client.ask("/a", ASKS)
    plain = client.ask("/a")
    assert plain.cache.hit
    assert plain.header("apsperf-explain") is None


@pytest.mark.parametrize("token", ["", "wrong", f"Bearer {TOKEN}", TOKEN + "x", "\xff"])
def test_without_the_token_the_field_is_nothing(shell: str, token: str) -> None:
    client = client_of(shell)
    for target in ("/a", "/a", "/private"):
        reply = client.ask(target, {"APSPerf-Explain": token})
        assert reply.header("apsperf-explain") is None
    assert client.calls == 2
    assert client.suite.faults.counts["an admin request without the token"] == 3


def test_where_the_endpoint_is_off_the_field_is_the_apps(shell: str) -> None:
    pages = Numbered()
    client = client_of(shell, pages, admin={"token": TOKEN})
    assert client.ask("/a", ASKS).header("apsperf-explain") is None
    assert dict(pages.seen[0].headers)["apsperf-explain"] == TOKEN


def test_a_long_and_hostile_url_makes_a_field_that_can_be_sent(shell: str) -> None:
    tags = ", ".join(f"tag-{number}-\xe4" for number in range(200))
    client = client_of(shell, answering([*CLOSE, ("Cache-Tag", tags)]))
    target = "/%0d%0aSet-Cookie:%20a=b/%1b[31m/%ff" + "x" * 1500
    for _ in range(2):
        said = client.ask(target, ASKS).header("apsperf-explain")
        assert said is not None
        assert len(said) <= MOST_LINE_CHARS
        assert said.isascii()
        assert said.isprintable()


@given(st.text(), st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_any_explanation_has_its_forms(url: str, found: list[tuple[str, str]]) -> None:
    parts = [Step("storing", name, finding, "house rule", stops=True) for name, finding in found]
    explanation = Explanation(url, "outcome", parts)
    line = explanation.line().decode("ascii")
    assert len(line) <= MOST_LINE_CHARS
    assert line.isprintable()
    assert all(each.isprintable() for each in explanation.text().split("\n"))
    assert len(explanation.text().split("\n")) == len(found) + 2


def test_a_stale_entry_has_its_windows(shell: str) -> None:
    control = "max-age=0, stale-while-revalidate=60, stale-if-error=90"
    client = client_of(shell, answering([("Cache-Control", control), ("ETag", '"a"')]))
    client.ask("/a")
    lookup = steps(explain(client), "lookup")
    assert lookup["age"][0].endswith("stale, served while it is fetched anew")
    assert lookup["stale-while-revalidate"][1] == "RFC 5861 §3"
    assert lookup["stale-if-error"][1] == "RFC 5861 §4"
    strict = client_of(shell, answering([("Cache-Control", "s-maxage=0"), ("ETag", '"a"')]))
    strict.ask("/a")
    said = steps(explain(strict), "lookup")
    assert said["age"] == ("age 0 s of 0 s: stale, the app is asked", "RFC 9111 §4.2", True)
    assert said["strict"][1] == "RFC 9111 §4.2.4"


def test_a_clients_own_directives_count_where_they_are_honoured(shell: str) -> None:
    client = client_of(shell, cache={"request_directives": "honour"}, admin=ADMIN)
    client.ask("/a")
    said = explain(client, "/a", "Cache-Control: no-cache")
    assert "directives" in steps(said, "request")
    assert stopped(said) == ["age"]
