"""Miss, hit, 304, HEAD and streams, the same behind both shells."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from apsperf_mw import Suite
from apsperf_mw.http.dates import format_http_date
from apsperf_mw.testing.harness import Client, Left
from apsperf_mw.testing.messages import CacheStatus, Request, Response
from tests.core.conftest import Clock
from tests.core.support import MINUTE, fresh, numbered

Wrap = Callable[..., Client]


def test_miss_then_hit_with_the_same_bytes(wrap: Wrap, clock: Clock) -> None:
    client = wrap(numbered(*MINUTE, ("Content-Type", "text/plain"), ("X-Odd", "caf\xe9")))
    first = client.ask("/a?b=1")
    assert first.cache == CacheStatus(fwd="uri-miss", stored=True)
    assert first.header("age") is None
    clock.move(7.9)
    second = client.ask("/a?b=1")
    assert (second.status, second.body) == (200, first.body) == (200, b"answer 1")
    assert second.cache == CacheStatus(hit=True, ttl_s=52)
    assert second.header("age") == "7"
    assert second.lines("x-odd") == ["caf\xe9"]
    assert second.header("content-length") == "8"
    clock.move(52.2)
    assert client.ask("/a?b=1").body == b"answer 2"


def test_duplicates_and_order_of_fields_survive(wrap: Wrap) -> None:
    fields = (("Link", "</a>"), ("X-A", "1"), ("Link", "</b>"), ("X-A", "2"), *MINUTE)
    client = wrap(numbered(*fields))
    bare = [(name.lower().encode(), value.encode()) for name, value in fields]
    client.ask()
    hit = client.ask()
    assert hit.cache.hit
    assert [(name.lower(), value) for name, value in hit.headers][: len(bare)] == bare


def test_fields_of_the_hop_are_passed_on_but_not_stored(wrap: Wrap) -> None:
    client = wrap(numbered(*MINUTE, ("Connection", "X-Hop"), ("X-Hop", "1"), ("X-End", "1")))
    assert client.ask().header("x-hop") == "1"
    hit = client.ask()
    assert hit.cache.hit
    assert (hit.header("x-hop"), hit.header("connection"), hit.header("x-end")) == (None, None, "1")


def test_a_date_is_replayed_only_where_the_app_sent_one(wrap: Wrap, clock: Clock) -> None:
    date = format_http_date(int(clock.wall)).decode()
    client = wrap(lambda r: fresh(*([("Date", date)] if r.target == "/dated" else [])))
    for target, expected in (("/dated", date), ("/plain", None)):
        client.ask(target)
        clock.move(5)
        hit = client.ask(target)
        assert hit.cache.hit
        assert hit.header("date") == expected


def test_the_age_that_the_app_gives_counts_on(wrap: Wrap, clock: Clock) -> None:
    client = wrap(numbered(*MINUTE, ("Age", "50")))
    assert client.ask().header("age") == "50"
    clock.move(9)
    assert client.ask().header("age") == "59"
    clock.move(1)
    assert client.ask().cache.fwd == "stale"


def test_upstream_cache_status_stays_in_front_of_ours(wrap: Wrap) -> None:
    client = wrap(numbered(*MINUTE, ("Cache-Status", "upstream; hit")))
    for _ in range(2):
        lines = client.ask().lines("cache-status")
        assert lines[0] == "upstream; hit"
        assert lines[1].startswith("apsperf;")
        assert len(lines) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("If-None-Match", '"v1"'),
        ("If-None-Match", 'W/"v1"'),
        ("If-None-Match", '"v0", "v1"'),
        ("If-None-Match", "*"),
        ("If-Modified-Since", "Wed, 01 Jan 2025 00:00:00 GMT"),
        ("If-Modified-Since", "Wed, 01 Jan 2025 00:00:01 GMT"),
    ],
)
def test_304_where_the_client_holds_it(wrap: Wrap, field: str, value: str) -> None:
    client = wrap(
        numbered(
            *MINUTE,
            ("Content-Type", "text/plain"),
            ("ETag", '"v1"'),
            ("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT"),
        )
    )
    client.ask()
    reply = client.ask(headers={field: value})
    assert (reply.status, reply.body, reply.cache.hit) == (304, b"", True)
    assert reply.header("etag") == '"v1"'
    assert reply.header("cache-control") == "max-age=60"
    assert reply.header("age") == "0"
    assert reply.header("content-type") is None
    assert reply.header("content-length") is None
    assert client.ask().status == 200
    assert client.ask(headers={field: value}, method="HEAD").status == 304
    assert client.calls == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"If-None-Match": '"v2"'},
        {"If-None-Match": "v1"},
        {"If-Modified-Since": "Tue, 31 Dec 2024 23:59:59 GMT"},
        {"If-Modified-Since": "yesterday"},
        {"If-None-Match": '"v2"', "If-Modified-Since": "Wed, 01 Jan 2025 00:00:00 GMT"},
    ],
)
def test_the_whole_entry_where_the_client_holds_another(
    wrap: Wrap, headers: dict[str, str]
) -> None:
    modified = ("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
    client = wrap(numbered(*MINUTE, ("ETag", '"v1"'), modified))
    client.ask()
    reply = client.ask(headers=headers)
    assert (reply.status, reply.body, reply.cache.hit) == (200, b"answer 1", True)


def test_the_validators_of_one_url_say_nothing_of_another(wrap: Wrap) -> None:
    client = wrap(lambda r: fresh(("ETag", f'"{r.target}"')))
    client.ask("/one")
    client.ask("/two")
    assert client.ask("/two", {"If-None-Match": '"/one"'}).status == 200
    assert client.ask("/two", {"If-None-Match": '"/two"'}).status == 304


def test_the_apps_own_304_goes_through_and_is_not_stored(wrap: Wrap) -> None:
    client = wrap(lambda r: Response(304 if r.header("if-none-match") else 200, MINUTE, [b""]))
    assert client.ask(headers={"If-None-Match": '"v"'}).status == 304
    assert client.ask().status == 200
    assert client.ask().cache.hit


def test_head_is_answered_from_a_get(wrap: Wrap) -> None:
    client = wrap(numbered(*MINUTE, ("Content-Type", "text/plain")))
    client.ask()
    head = client.ask(method="HEAD")
    assert (head.status, head.body, head.cache.hit) == (200, b"", True)
    assert head.header("content-length") == "8"
    assert client.calls == 1


def test_head_is_never_stored(wrap: Wrap) -> None:
    client = wrap(lambda r: fresh(body=[] if r.method == "HEAD" else [b"page"]))
    assert client.ask(method="HEAD").cache == CacheStatus(fwd="uri-miss")
    assert not client.ask(method="HEAD").cache.hit
    reply = client.ask()
    assert (reply.cache.stored, reply.body) == (True, b"page")
    assert client.ask().body == b"page"
    assert client.calls == 3


def test_empty_bodies_are_stored(wrap: Wrap) -> None:
    client = wrap(lambda r: Response(int(r.target[1:]), MINUTE, []))
    for status in ("200", "204", "301"):
        assert client.ask(f"/{status}").cache.stored
        hit = client.ask(f"/{status}")
        assert (hit.cache.hit, hit.status, hit.body) == (True, int(status), b"")
        assert hit.header("content-length") == (None if status == "204" else "0")


def test_statuses_come_back_as_they_were(wrap: Wrap) -> None:
    client = wrap(lambda r: Response(int(r.target[1:]), MINUTE, [b"page"]))
    for status in (200, 203, 301, 302, 308, 404, 410, 418):
        client.ask(f"/{status}")
        hit = client.ask(f"/{status}")
        assert (hit.status, hit.cache.hit) == (status, True)


def test_a_stream_passes_chunk_by_chunk_and_is_stored_at_its_end(wrap: Wrap) -> None:
    events: list[str] = []

    def stream() -> Iterator[bytes]:
        for number in (b"1", b"2", b"3"):
            events.append(f"made {number.decode()}")
            yield number

    client = wrap(lambda _: fresh(body=stream()))
    reply = client.ask(seen=lambda chunk: events.append(f"seen {chunk.decode()}"))
    assert events == ["made 1", "seen 1", "made 2", "seen 2", "made 3", "seen 3"]
    assert (reply.cache.stored, reply.header("content-length")) == (True, None)
    hit = client.ask()
    assert (hit.cache.hit, hit.body, hit.header("content-length")) == (True, b"123", "3")


def test_the_next_request_hits_before_the_last_chunk_is_out(wrap: Wrap) -> None:
    """With a Content-Length the last chunk is known for what it is."""

    def app(request: Request) -> Response:
        length = ("Content-Length", "4")
        return fresh(length, body=iter([b"ab", b"cd"])) if request.target == "/a" else fresh(length)

    suite = Suite()
    client, second = wrap(app, suite), wrap(app, suite)
    during: list[bool] = []

    def ask_again(chunk: bytes) -> None:
        if chunk == b"cd":
            reached = suite.responses._peek(*[key for key in suite_keys(suite) if "/a" in key])
            during.append(reached is not None)

    client.ask("/a", seen=ask_again)
    assert during == [True]
    assert second.ask("/a").cache.hit


def suite_keys(suite: Suite) -> list[tuple[object, ...]]:
    driver = suite.driver("cache")
    return list(driver._cache.slots)  # type: ignore[union-attr]


def test_a_body_over_the_limit_passes_and_is_not_stored(wrap: Wrap) -> None:
    client = wrap(lambda _: fresh(body=iter([b"x" * 60] * 3)), max_entry_bytes=100)
    assert client.ask().body == b"x" * 180
    assert client.ask().body == b"x" * 180
    assert client.calls == 2
    assert len(client.suite.responses.flights) == 0
    small = wrap(lambda _: fresh(body=iter([b"x" * 50] * 2)), max_entry_bytes=100)
    small.ask()
    assert small.ask().cache.hit


def test_a_length_over_the_limit_is_known_at_the_head(wrap: Wrap) -> None:
    client = wrap(
        lambda _: fresh(("Content-Length", "101"), body=[b"x" * 101]), max_entry_bytes=100
    )
    reply = client.ask()
    assert (reply.cache.stored, reply.cache.detail) == (False, "length")
    assert not client.ask().cache.hit


@pytest.mark.parametrize("body", [[b"abc"], [b"abcdef"], [], [b"abcd", b"ef"]])
@pytest.mark.parametrize("whole", [True, False])
def test_a_body_that_is_not_of_its_length_is_discarded(
    wrap: Wrap, body: list[bytes], whole: bool
) -> None:
    client = wrap(lambda _: fresh(("Content-Length", "5"), body=body if whole else iter(body)))
    assert client.ask().body == b"".join(body)
    assert not client.ask().cache.hit
    assert len(client.suite.responses.flights) == 0


class Broken(Exception):
    pass


def test_an_exception_before_the_head_goes_through(wrap: Wrap) -> None:
    state = {"broken": True}
    client = wrap(lambda _: fresh(error=Broken() if state["broken"] else None))
    for _ in range(2):
        with pytest.raises(Broken):
            client.ask()
    state["broken"] = False
    assert client.ask().cache.stored
    assert client.ask().cache.hit
    assert len(client.suite.responses.flights) == 0


@pytest.mark.parametrize("length", [True, False])
def test_an_exception_amid_the_body_goes_through_and_nothing_is_stored(
    wrap: Wrap, length: bool
) -> None:
    state = {"broken": True}

    def body() -> Iterator[bytes]:
        yield b"ab"
        if state["broken"]:
            raise Broken
        yield b"cd"

    client = wrap(lambda _: fresh(*([("Content-Length", "4")] if length else []), body=body()))
    for _ in range(2):
        with pytest.raises(Broken):
            client.ask()
    state["broken"] = False
    assert client.ask().body == b"abcd"
    assert client.ask().cache.hit
    assert len(client.suite.responses.flights) == 0


def test_a_client_that_leaves_early_leaves_nothing_behind(wrap: Wrap) -> None:
    client = wrap(lambda _: fresh(body=iter([b"ab", b"cd"])))
    with pytest.raises(Left):
        client.ask(leave_after=1)
    assert len(client.suite.responses.flights) == 0
    assert client.ask().body == b"abcd"
    assert client.ask().cache.hit


def test_cache_switched_off(wrap: Wrap) -> None:
    client = wrap(numbered(), enabled=False)
    for number in (1, 2):
        reply = client.ask()
        assert reply.body == b"answer %d" % number
        assert reply.header("cache-status") is None
        assert reply.header("age") is None


@pytest.mark.parametrize("more", [{"enabled": False}, {}], ids=["off", "bypass"])
@pytest.mark.parametrize("keep", [True, False])
def test_what_is_said_to_the_cache_alone_goes_no_further(
    wrap: Wrap, keep: bool, more: dict[str, bool]
) -> None:
    said = [("Cache-Tag", "a"), ("Surrogate-Key", "b"), ("APSPerf-Cache-Control", "max-age=1")]
    client = wrap(numbered(*said, ("X-Kept", "1")), keep_tag_headers=keep, **more)
    for method in ("GET", "POST"):
        reply = client.ask(headers={"X-Api-Key": "goes round"}, method=method)
        told = [reply.header(name) for name, _ in (*said, ("X-Kept", ""))]
        assert told == (["a", "b", None, "1"] if keep else [None, None, None, "1"])


@pytest.mark.parametrize(
    ("cookies", "hit"),
    [
        ([""], True),
        ([" "], True),
        (["", ""], True),
        (["NONE"], False),
        (["a=1"], True),
        (["a=1; b=2"], False),
        (["a=1", "b=2"], False),
        (["a=1,b=2"], False),
    ],
)
def test_both_shells_count_cookies_alike(wrap: Wrap, cookies: list[str], hit: bool) -> None:
    client = wrap(numbered(), ignore_cookies=("a",))
    client.ask()
    fields = (("Host", "shop.test"), *[("Cookie", cookie) for cookie in cookies])
    assert client.send(Request("GET", "/", fields)).cache.hit is hit


def test_where_none_is_ignored_two_empty_cookie_lines_count(wrap: Wrap) -> None:
    """In an environ they are a comma, which may be anything."""
    client = wrap(numbered())
    client.ask()
    fields = (("Host", "shop.test"), ("Cookie", ""), ("Cookie", ""))
    assert not client.send(Request("GET", "/", fields)).cache.hit


def test_cache_status_can_be_left_out(wrap: Wrap) -> None:
    client = wrap(numbered(*MINUTE, ("X-Last", "kept")), status_header=False)
    client.ask()
    hit = client.ask()
    assert (hit.body, hit.header("age")) == (b"answer 1", "0")
    assert hit.header("cache-status") is None
    assert hit.header("x-last") == "kept"


def test_one_suite_shares_its_entries_between_apps_and_shells(wrap: Wrap) -> None:
    suite = Suite()
    app = numbered()
    one, two = wrap(app, suite), wrap(app, suite)
    assert one.ask().body == two.ask().body
    other = wrap(app, Suite())
    assert other.ask().body == b"answer 2"


def test_a_rule_of_the_route_stores_what_says_nothing(wrap: Wrap, clock: Clock) -> None:
    from apsperf_mw.cache.policy import Plan, rule

    client = wrap(lambda r: Response(body=[b"page"], plan=Plan(rule=rule(r.target[1:]))))
    for target, ttl_s in (("/short", 300), ("/medium", 1800), ("/long", 86_400)):
        assert client.ask(target).cache.stored
        assert client.ask(target).cache.ttl_s == ttl_s
    clock.move(300)
    assert not client.ask("/short").cache.hit
    assert client.ask("/medium").cache.hit


def test_what_says_nothing_is_not_stored(wrap: Wrap) -> None:
    client = wrap(numbered(("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")))
    assert client.ask().cache.detail == "no-lifetime"
    assert client.ask().body == b"answer 2"
