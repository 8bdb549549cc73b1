"""What may be stored and for how long, rule by rule; no shell, no clock."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import asdict

from apsperf_mw.cache.making import Maker
from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.cache.rules import answer, terms
from apsperf_mw.cache.rules.answer import Answer
from apsperf_mw.cache.rules.terms import Asked, Policy
from apsperf_mw.cache.screen import AUTHORIZATION, COOKIE, RANGE
from apsperf_mw.exchange import Exchange
from apsperf_mw.http.dates import format_http_date
from apsperf_mw.settings import load

NOW = 1_800_000_000


def date(offset_s: int = 0) -> bytes:
    return format_http_date(NOW + offset_s)


def judged(
    *headers: tuple[bytes, bytes],
    status: int = 200,
    method: str = "GET",
    flags: int = 0,
    plan: Plan | None = None,
    **settings: Any,
) -> Answer | str:
    """What the maker says: an answer to store, or why not."""
    x = Exchange({}, method, 0.0, flags, status=status)
    ttl = {name: settings.pop(name) for name in ("negative", "jitter") if name in settings}
    maker = Maker(load({"cache": settings, "ttl": ttl})[0])
    found = maker.answer(x, headers, plan or Plan(), wall_now=NOW)
    if not settings.get("jitter"):
        form = maker.forms.form(headers)
        for _ in range(2):  # the short way gives the same, when it learns and when it knows
            short = maker.answer(x, headers, plan or Plan(), form, wall_now=NOW)
            assert facts(short) == facts(found)
    return found


def facts(found: Answer | str) -> object:
    return found if isinstance(found, str) else {**asdict(found), "size_bytes": 0}


def stored(*headers: tuple[bytes, bytes], **more: Any) -> Answer:
    found = judged(*headers, **more)
    assert isinstance(found, Answer), found
    return found


def refusal(*headers: tuple[bytes, bytes], **more: Any) -> str:
    found = judged(*headers, **more)
    return found if isinstance(found, str) else ""


def policy(
    *headers: tuple[bytes, bytes], plan: Plan | None = None, flags: int = 0, **cache: Any
) -> Policy:
    asked = Asked(flags, "GET", 200, (plan or Plan()).rule, False)
    return terms.policy_of(asked, answer.read(headers).policy, load({"cache": cache})[0])


def ttl_of(
    *headers: tuple[bytes, bytes], status: int = 200, plan: Plan | None = None, **cache: Any
) -> float:
    """The lifetime, also of what would not be stored."""
    settings = load({"cache": cache})[0]
    head = answer.read(headers)
    asked = Asked(0, "GET", status, (plan or Plan()).rule, False)
    said = terms.terms_of(asked, head.policy, settings)
    assert not said.refusal
    return answer.lifetime_s(head, said, status, NOW, settings.cache.heuristic_max_s)


def cc(value: bytes) -> tuple[bytes, bytes]:
    return (b"cache-control", value)


FRESH = cc(b"max-age=60")


# RFC 9111 §4.2.1: the freshness lifetime


@pytest.mark.parametrize(
    ("headers", "ttl_s"),
    [
        ([cc(b"max-age=60")], 60),
        ([cc(b"s-maxage=30, max-age=60")], 30),
        ([cc(b"max-age=60"), cc(b"s-maxage=30")], 30),
        ([cc(b"s-maxage=0, max-age=60")], 0),
        ([cc(b"max-age=60, max-age=90")], 60),
        ([cc(b"max-age='60'")], 0),
        ([cc(b"max-age=-1")], 0),
        ([cc(b"max-age=0060")], 60),
        ([cc(b"max-age=9999999999999999999999")], 2**31),
        ([cc(b'extension="max-age=3600", max-age=1')], 1),
        ([cc(b"MAX-AGE=60")], 60),
        ([cc(b"max-age=60"), (b"expires", date(1000))], 60),
        ([(b"date", date()), (b"expires", date(90))], 90),
        ([(b"date", date(-10)), (b"expires", date(80))], 90),
        ([(b"expires", date(90))], 90),
        ([(b"expires", b"0")], 0),
        ([(b"expires", b"-1")], 0),
        ([(b"expires", date(90)), (b"expires", date(90))], 0),
        ([(b"expires", date(90).replace(b"GMT", b"UTC"))], 0),
        ([(b"date", date()), (b"expires", date(-90))], 0),
        ([(b"last-modified", date(-100_000))], 0),
        ([], 0),
    ],
)
def test_lifetime_that_the_response_gives(headers: list[tuple[bytes, bytes]], ttl_s: float) -> None:
    assert ttl_of(*headers) == ttl_s


@pytest.mark.parametrize(
    ("ttl", "status", "ttl_s"),
    [
        ("short", 200, 300),
        ("medium", 200, 1800),
        ("long", 200, 86_400),
        (0.5, 200, 0.5),
        (7, 301, 7),
        (7, 204, 7),
        (7, 302, 0),
        (7, 404, 0),
        (7, 410, 0),
        (7, 500, 0),
    ],
)
def test_lifetime_that_a_rule_gives(ttl: str | float, status: int, ttl_s: float) -> None:
    assert ttl_of(status=status, plan=Plan(rule=rule(ttl))) == ttl_s


def test_a_rule_gives_way_to_what_the_response_says() -> None:
    plan = Plan(rule=rule("long"))
    assert ttl_of(cc(b"max-age=5"), plan=plan) == 5
    assert ttl_of((b"expires", b"0"), plan=plan) == 0
    assert refusal(cc(b"no-store"), plan=plan) == "no-store"
    assert refusal(cc(b"private"), plan=plan) == "private"
    assert refusal((b"set-cookie", b"a=1"), plan=plan) == "set-cookie"
    assert refusal((b"vary", b"*"), plan=plan) == "vary"
    assert refusal(plan=plan) == ""


@pytest.mark.parametrize("status", [400, 401, 403, 429, 431, 500, 502, 503])
def test_errors_are_kept_for_seconds_at_most(status: int) -> None:
    assert ttl_of(FRESH, status=status) == 10
    assert ttl_of(FRESH, status=status, error_ttl_s=3) == 3
    assert refusal(FRESH, status=status, error_ttl_s=0) == "no-lifetime"
    assert ttl_of(cc(b"max-age=5"), status=status) == 5
    assert refusal(status=status) == "no-lifetime"


@pytest.mark.parametrize("status", [404, 405, 410, 414, 501])
def test_lasting_errors_are_kept_as_long_as_they_say(status: int) -> None:
    assert ttl_of(FRESH, status=status) == 60
    assert refusal(status=status) == "no-lifetime"


# RFC 9111 §4.2.1, §4.2.3, §5.1: the age
UNKNOWN = 2**31


@pytest.mark.parametrize(
    ("headers", "age_s"),
    [
        ([], 0),
        ([(b"age", b"7")], 7),
        ([(b"age", b"7, 9")], UNKNOWN),
        ([(b"age", b"7"), (b"age", b"9")], UNKNOWN),
        ([(b"age", b"abc")], UNKNOWN),
        ([(b"age", b"-1")], UNKNOWN),
        ([(b"age", b"7.0")], UNKNOWN),
        ([(b"date", date(-20))], 20),
        ([(b"date", date(20))], 0),
        ([(b"date", date(-20)), (b"age", b"30")], 30),
        ([(b"date", date(-40)), (b"age", b"30")], 40),
        ([(b"date", b"yesterday"), (b"age", b"30")], 30),
    ],
)
def test_age_on_arrival(headers: list[tuple[bytes, bytes]], age_s: float) -> None:
    assert answer.initial_age_s(answer.read(headers).noted, NOW) == age_s


def test_what_arrives_as_old_as_it_may_get_is_not_stored() -> None:
    assert refusal(FRESH, (b"age", b"59")) == ""
    assert refusal(FRESH, (b"age", b"60")) == "no-lifetime"
    assert refusal(FRESH, (b"age", b"2147483648")) == "no-lifetime"


@pytest.mark.parametrize("age", [b"abc", b"-1", b"0.0", b"0;a=1", b"0, 0", b""])
def test_what_does_not_say_its_age_in_one_number_is_not_fresh(age: bytes) -> None:
    assert refusal(FRESH, (b"age", age)) == "no-lifetime"
    assert refusal(FRESH, (b"age", b"0"), (b"age", b"0")) == "no-lifetime"
    assert refusal(FRESH, (b"date", date(-60))) == "no-lifetime"


# RFC 9111 §3: storing


def test_plain_fresh_response_is_stored() -> None:
    assert refusal(FRESH) == ""


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PURGE", "get"])
def test_only_get_is_stored(method: str) -> None:
    assert refusal(FRESH, method=method) == "method"


@pytest.mark.parametrize("status", [100, 103, 199, 206, 304])
def test_statuses_that_are_never_stored(status: int) -> None:
    assert refusal(FRESH, status=status) == "status"


PART = (b"content-range", b"bytes 0-1/9")


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([FRESH, PART], ""),
        ([FRESH], "partial"),
        ([FRESH, (b"content-range", b"bytes 0-1/*")], "partial"),
        ([FRESH, (b"content-range", b"bytes 3-1/9")], "partial"),
        ([FRESH, PART, PART], "partial"),
        ([FRESH, PART, (b"vary", b"accept")], "partial"),
        ([PART], "no-lifetime"),
    ],
)
def test_a_part_is_stored_where_it_is_known_of_what(headers: Any, reason: str) -> None:
    assert refusal(*headers, status=206, flags=RANGE) == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"no-store, max-age=60", "no-store"),
        (b"NO-STORE, max-age=60", "no-store"),
        (b"max-age=60, no-store;", "no-store"),
        (b'max-age=60, x="open', "no-store"),
        (b"private, max-age=60", "private"),
        (b"Private, max-age=60", "private"),
        (b'private="x-a", max-age=60', "private"),
        (b"max-age=60, private=", "private"),
        (b"no-cache, max-age=60", "no-cache"),
        (b'no-cache="x-a", max-age=60', "no-cache"),
        (b"max-age=60, must-understand", ""),
        (b"max-age=60, no-store, must-understand", ""),
        (b"max-age=60, must-revalidate", ""),
        (b"max-age=0", "no-lifetime"),
        (b"public", "no-lifetime"),
        (b"immutable", "no-lifetime"),
        (b", ,, max-age=60,,", ""),
    ],
)
def test_directives(value: bytes, reason: str) -> None:
    assert refusal(cc(value)) == reason


def test_directives_of_a_second_line_count() -> None:
    assert refusal(FRESH, cc(b"no-store")) == "no-store"
    assert refusal(cc(b"private"), FRESH) == "private"


def test_must_understand_asks_to_know_the_status() -> None:
    assert refusal(cc(b"max-age=60, must-understand"), status=299) == "must-understand"
    assert refusal(cc(b"max-age=60, must-understand, no-store"), status=299) == "no-store"
    assert refusal(FRESH, status=299) == ""


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ((b"set-cookie", b"a=1"), "set-cookie"),
        ((b"Set-Cookie", b"a=1"), "set-cookie"),
        ((b"set-cookie", b""), "set-cookie"),
        ((b"vary", b"*"), "vary"),
        ((b"vary", b"accept, *"), "vary"),
        ((b"vary", b"not a token"), "vary"),
        ((b"vary", b"accept, accept-language"), ""),
        ((b"content-range", b"bytes 0-1/2"), ""),
        ((b"content-length", b"12"), ""),
        ((b"content-length", b"12, 12"), ""),
        ((b"content-length", b"12, 13"), "length"),
        ((b"content-length", b"-1"), "length"),
        ((b"content-length", b"0x10"), "length"),
        ((b"content-length", b"1048576"), ""),
        ((b"content-length", b"1048577"), "length"),
        ((b"content-length", b"9" * 5000), "length"),
        ((b"x-a", b"one\r\nset-cookie: a=1"), "malformed"),
        ((b"x-a", b"one\ntwo"), "malformed"),
        ((b"x-a", b"one\x00two"), "malformed"),
        ((b"x a", b"one"), "malformed"),
        ((b"x-a\r\nset-cookie", b"a=1"), "malformed"),
        ((b"", b"one"), "malformed"),
        ((b"x-a", b""), ""),
        ((b"x-a", b"\xff\xfe"), ""),
    ],
)
def test_fields_that_forbid_storing(header: tuple[bytes, bytes], reason: str) -> None:
    assert refusal(FRESH, header) == reason
    assert refusal(header, FRESH) == reason


def test_vary_star_on_a_second_line_counts() -> None:
    assert refusal(FRESH, (b"vary", b"accept"), (b"vary", b"*")) == "vary"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([(b"access-control-allow-origin", b"*")], ""),
        ([(b"access-control-allow-origin", b"https://a.test")], "cors"),
        ([(b"access-control-allow-origin", b"null")], "cors"),
        ([(b"access-control-allow-origin", b"https://a.test"), (b"vary", b"accept")], "cors"),
        ([(b"access-control-allow-origin", b"https://a.test"), (b"vary", b"Origin")], ""),
    ],
)
def test_cors_origin_must_be_star_or_keyed(headers: list[tuple[bytes, bytes]], reason: str) -> None:
    assert refusal(FRESH, *headers) == reason


def test_a_second_cors_line_is_not_overlooked() -> None:
    lines = [(b"access-control-allow-origin", value) for value in (b"*", b"https://a.test")]
    assert refusal(FRESH, *lines) == "cors"


def test_a_route_may_keep_its_response_out() -> None:
    assert refusal(FRESH, plan=Plan(private=True)) == "private"


# RFC 9111 §3.5 and cookies


@pytest.mark.parametrize(
    ("value", "open_to"),
    [
        (b"max-age=60", 0),
        (b"max-age=60, public", COOKIE | AUTHORIZATION),
        (b"s-maxage=60", COOKIE | AUTHORIZATION),
        (b"max-age=60, must-revalidate", AUTHORIZATION),
        (b"max-age=60, proxy-revalidate", 0),
    ],
)
def test_whom_a_response_to_a_user_is_open_to(value: bytes, open_to: int) -> None:
    assert terms.open_to(policy(cc(value), flags=AUTHORIZATION)) == open_to
    for flag in (AUTHORIZATION, COOKIE):
        assert refusal(cc(value), flags=flag) == ("" if open_to & flag else "guarded")


def test_must_revalidate_on_an_anonymous_answer_opens_it_to_nobody_else() -> None:
    assert terms.open_to(policy(cc(b"max-age=60, must-revalidate"))) == 0


def test_what_else_opens_a_response_to_requests_with_cookies() -> None:
    shared = Plan(rule=rule(60, shared=True))
    assert terms.open_to(policy(FRESH, plan=shared)) == COOKIE
    assert terms.open_to(policy(FRESH, share_with_cookie=True)) == COOKIE
    assert refusal(FRESH, flags=COOKIE | AUTHORIZATION, plan=shared) == "guarded"


# What is kept of the head


def test_duplicates_and_order_are_kept() -> None:
    headers = (
        (b"link", b"</a>"),
        FRESH,
        (b"WWW-Authenticate", b"Basic"),
        (b"link", b"</b>"),
        (b"WWW-Authenticate", b"Bearer"),
    )
    assert stored(*headers).headers == headers


def test_hop_by_hop_fields_are_dropped() -> None:
    hops = [
        (b"Connection", b"keep-alive, X-Hop"),
        (b"connection", b"x-other"),
        (b"keep-alive", b"timeout=5"),
        (b"x-hop", b"1"),
        (b"X-OTHER", b"1"),
        (b"transfer-encoding", b"chunked"),
        (b"TE", b"trailers"),
        (b"trailer", b"x-sum"),
        (b"upgrade", b"h2c"),
        (b"proxy-authenticate", b"Basic"),
        (b"proxy-connection", b"close"),
        (b"Age", b"3"),
    ]
    kept = (FRESH, (b"x-kept", b"1"))
    assert stored(hops[0], kept[0], *hops[1:], kept[1]).headers == kept


def test_kept_fields_are_copies_of_bytes() -> None:
    value = bytearray(b"first")
    found = stored(FRESH, (b"x-a", value))  # type: ignore[arg-type]
    kept = found.headers
    value[:] = b"other"
    assert kept[1] == (b"x-a", b"first")
    assert type(kept[1][1]) is bytes


def test_settings_key_headers_join_what_the_response_varies_on() -> None:
    assert policy(FRESH, key_headers=["X-Tenant"]).vary == (b"x-tenant",)
    assert policy((b"vary", b"accept"), key_headers=["x-tenant"]).vary == (b"accept", b"x-tenant")
    assert policy((b"vary", b"*"), key_headers=["x-tenant"]).vary is None


def test_more_key_headers_than_can_be_keyed_on_share_nothing() -> None:
    many = [f"x-{number}" for number in range(40)]
    assert refusal(FRESH, key_headers=many) == "vary"
    assert refusal(FRESH, key_headers=many[:30]) == ""
