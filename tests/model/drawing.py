"""Programs for the cache: a few URLs, and many odd ways to ask for them and to answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from tests.model.messages import Fields, House, Request, Response
from tests.model.times import write_date

START = 1_800_000_000
Value = str | int
"""A field's value, or a date as an offset to the moment of the answer."""
Draft = tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Answer:
    """What the app does in one step. Where it is asked with conditions or a range it may agree."""

    status: int = 200
    fields: Draft = ()
    length: str = ""
    takes_s: float = 0
    fails: bool = False
    says_304: bool = False
    says_206: bool = False
    rule_s: float | None = None
    shared: bool = False
    size: int = 12


@dataclass(frozen=True)
class Step:
    """Time passes, a client asks, and the app answers so if it is asked."""

    wait_s: float
    request: Request
    answer: Answer


def written(fields: Draft, now: float) -> Fields:
    """The fields with their dates."""
    return tuple(
        (name, value if isinstance(value, str) else write_date(now + value))
        for name, value in fields
    )


def answer_to(request: Request, answer: Answer, serial: int, now: float) -> Response:
    """The app's response; its body tells which call of the app made it."""
    fields = written(answer.fields, now)
    conditions = request.has("if-none-match", "if-modified-since")
    if answer.says_304 and conditions and answer.status == 200:
        return Response(304, fields, b"", answer.rule_s, answer.shared)
    body = (b"%03d-" % serial + b"abcdefghijklmnopqrstuvwxyz")[: answer.size]
    status = answer.status
    if answer.says_206 and request.has("range") and status == 200:
        status, fields = 206, (*fields, ("Content-Range", f"bytes 0-3/{len(body)}"))
        body = body[:4]
    if status in {204, 304}:
        body = b""
    elif answer.length:
        right = str(len(body))
        length = {"right": right, "twice": f"{right}, {right}"}.get(answer.length, answer.length)
        fields = (*fields, ("Content-Length", length))
    if request.method == "HEAD":
        body = b""
    return Response(status, fields, body, answer.rule_s, answer.shared)


CONTROLS = [
    *["max-age=60"] * 8,
    *["max-age=5", "public, max-age=60", "s-maxage=30", "s-maxage=30, max-age=5"] * 2,
    *["max-age=60, must-revalidate", "max-age=60, no-cache", "no-cache", "max-age=0"],
    *["max-age=60, private", "max-age=60, no-store", "max-age=2147483648", "public", ""],
    *["max-age=10, stale-while-revalidate=30", "max-age=10, stale-if-error=30"] * 2,
    "s-maxage=10, stale-while-revalidate=30",
    "max-age=10, must-revalidate, stale-if-error=30",
    "max-age=60, must-understand, no-store",
]
DIRECTIVES = [
    *["max-age=60", "max-age=5", "max-age=0", "s-maxage=30", "s-maxage=0", "public", "private"],
    *["no-cache", "no-store", "must-revalidate", "proxy-revalidate", "must-understand"],
    *["immutable", "no-transform", "stale-while-revalidate=30", "stale-if-error=30", "foo"],
    *['max-age="60"', "max-age='60'", "max-age=-1", "max-age", "MAX-AGE=60", "max-age=6.5"],
    *["max-age=99999999999999999999", "max-age =60", "max-age=0060", "Public", "PRIVATE"],
    *['no-cache="x-a"', 'private="x-a"', "private=x-a", 'private=""', "public=1", "no-store;"],
    *['foo="max-age=9, public"', 'foo="\\", private, \\""', 'foo="open', "s-maxage=x", ""],
]
VARIES = [
    *["Accept"] * 4,
    *["Accept, X-A", "x-a", "accept,", "*", "Accept, *", "Cookie", "Authorization", "a b", ""],
]
DATES: list[Value] = [0, 0, 0, -10, -50, -100_000, 10, "0", "Sun, 06 Nov 94 08:49:37 GMT"]
EXPIRIES: list[Value] = [60, 60, 20, 0, -5, 100_000, "0", "-1", "Fri, 15 Jan 2027 09:00:00 UTC"]
MODIFIED = [write_date(START - 100_000), write_date(START - 50), write_date(START), "yesterday"]
TAGS = ['"a"', '"a"', '"b"', 'W/"a"', "a"]
STATUSES = [*[200] * 24, *[203, 204, 206, 299, 301, 302, 304, 404, 410, 418, 429, 500, 503, 504]]

# Each with the chance of one in so many.
RESPONSE_FIELDS: list[tuple[str, int, list[Value]]] = [
    ("Vary", 4, [*VARIES]),
    ("Expires", 8, EXPIRIES),
    ("Date", 3, DATES),
    ("Age", 10, ["0", "5", "59", "abc", "-1", "5, 70", ",7", "7.0", "2147483648"]),
    ("Last-Modified", 4, [*MODIFIED]),
    ("ETag", 3, [*TAGS]),
    ("Set-Cookie", 20, ["s=1"]),
    ("Content-Type", 4, ["text/plain"]),
    ("Content-Language", 20, ["en"]),
    ("Access-Control-Allow-Origin", 20, ["*", "https://shop.test"]),
    ("Connection", 20, ["X-Hop", "x-hop, close"]),
    ("X-Hop", 20, ["1"]),
    ("Content-Range", 60, ["bytes 0-3/12"]),
    ("Location", 20, ["/a", "/b", "http://shop.test/b", "http://other.test/a"]),
    ("Content-Location", 20, ["/a", "/b"]),
    ("CDN-Cache-Control", 12, ["max-age=60", "no-store", "max-age=oops", "max-age=5;x=1", "="]),
    ("APSPerf-Cache-Control", 20, ["max-age=60", "private", "max-age=5, public", ""]),
]
RANGES = [
    *["bytes=0-3", "bytes=4-", "bytes=-4", "bytes=0-3,6-8", "bytes=0-3,2-5", "bytes=50-"],
    *["bytes=3-1", "items=0-3", "bytes=", "bytes=0-99", "bytes=-0", "bytes=a-b", "Bytes=0-0"],
]
WISHES = [
    *["no-cache", "no-store", "max-age=0", "max-age=10", "max-stale", "max-stale=20"],
    *["min-fresh=20", "only-if-cached", "max-age=x", "foo"],
]
REQUEST_FIELDS: list[tuple[str, int, list[str]]] = [
    ("Accept", 3, ["a", "b", ""]),
    ("X-A", 6, ["1"]),
    ("Cookie", 8, ["s=1", "theme=1", "theme=1; s=1"]),
    ("Authorization", 10, ["Basic x"]),
    ("If-None-Match", 6, ['"a"', 'W/"a"', '"b"', '"b", "a"', "*", "a", '"a', '"b", W/"a" ,']),
    ("If-Modified-Since", 8, [*MODIFIED, write_date(START + 30)]),
    ("Range", 10, RANGES),
    ("If-Range", 20, ['"a"', 'W/"a"', '"b"', *MODIFIED]),
    ("If-Match", 60, ['"a"']),
    ("If-Unmodified-Since", 60, [MODIFIED[0]]),
    ("X-Forwarded-Host", 60, ["evil.test"]),
    ("X-Api-Key", 60, ["k"]),
    ("Content-Length", 60, ["0", "1"]),
    ("Cache-Control", 8, WISHES),
    ("Pragma", 30, ["no-cache"]),
]


@st.composite
def chosen(draw: st.DrawFn, table: list[tuple[str, int, list[Value]]], most: int) -> Draft:
    """Some fields of a table: few of the rare ones at once."""
    names = [name for name, odds, _ in table for _ in range(120 // odds)]
    picked = draw(st.lists(st.sampled_from(names), max_size=most, unique=True))
    values = {name: values for name, _, values in table}
    return tuple((name, draw(st.sampled_from(values[name]))) for name in picked)


@st.composite
def controls(draw: st.DrawFn) -> Draft:
    """Cache-Control in one line or two, or none."""
    if draw(st.integers(0, 4)) > 0:
        return (("Cache-Control", draw(st.sampled_from(CONTROLS))),)
    members = draw(st.lists(st.sampled_from(DIRECTIVES), max_size=4))
    cut = draw(st.integers(0, len(members)))
    lines = [", ".join(members[:cut]), ",".join(members[cut:])]
    return tuple(("Cache-Control", line) for line in lines if line)


@st.composite
def plain_answers(draw: st.DrawFn) -> Answer:
    """What is good to keep, with or without validators and variants."""
    control = draw(st.sampled_from(CONTROLS[:16]))
    rest = draw(st.sampled_from(PLAIN_RESTS))
    return Answer(
        draw(st.sampled_from([200, 200, 200, 203, 404])),
        (("Cache-Control", control), *rest),
        length=draw(st.sampled_from(["right", ""])),
        says_304=draw(st.booleans()),
    )


@st.composite
def odd_answers(draw: st.DrawFn) -> Answer:
    """Anything that an app may do."""
    fields = (*draw(controls()), *draw(chosen(RESPONSE_FIELDS, most=3)))
    odd = draw(st.integers(0, 19))
    return Answer(
        draw(st.sampled_from(STATUSES)),
        fields,
        draw(st.sampled_from(["right", "right", "", "", "", "twice", "5", "x"])),
        takes_s=draw(st.sampled_from([0, 0, 0, 0, 2])),
        fails=odd == 1,
        says_304=draw(st.booleans()),
        says_206=draw(st.booleans()),
        rule_s=20.0 if odd in {2, 3} else None,
        shared=odd == 3,
        size=30 if odd == 4 else 12,
    )


@st.composite
def plain_requests(draw: st.DrawFn) -> Request:
    """A GET, such as most are."""
    fields = draw(st.sampled_from(PLAIN_FIELDS))
    target = draw(st.sampled_from(TARGETS[:4]))
    return Request("GET", target, (("Host", "shop.test"), *fields))


@st.composite
def odd_requests(draw: st.DrawFn) -> Request:
    """Anything that a client may ask."""
    table: list[tuple[str, int, list[Value]]] = [(n, o, [*v]) for n, o, v in REQUEST_FIELDS]
    drawn = draw(chosen(table, most=3))
    host = draw(st.sampled_from([*["shop.test"] * 7, "SHOP.test:80", "other.test"]))
    fields = (("Host", host), *[(name, str(value)) for name, value in drawn])
    method = draw(st.sampled_from(METHODS))
    request = Request(method, draw(st.sampled_from(TARGETS)), fields)
    # As a client sends it, and the harness: the length of a body goes with the body.
    return replace(request, body=b"x") if request.value("content-length") == "1" else request


TARGETS = ["/a", "/a", "/a", "/b", "/a", "/a?b=1"]
METHODS = [*["GET"] * 14, *["HEAD"] * 3, "POST", "DELETE", "OPTIONS", "FROB", "get"]
PLAIN_FIELDS: list[Fields] = [
    *[(), (), (("Accept", "a"),), (("Accept", "b"),), (("Accept", "a"), ("X-A", "1"))],
    *[(("If-None-Match", '"a"'),), (("If-Modified-Since", MODIFIED[1]),), (("Cookie", "s=1"),)],
    (("If-Modified-Since", write_date(START + 100_000)),),
]
PLAIN_RESTS: list[Draft] = [
    *[(), (("ETag", '"a"'),), (("Vary", "Accept"),), (("ETag", '"a"'), ("Vary", "Accept"))],
    *[(("Last-Modified", MODIFIED[0]), ("Date", 0)), (("Vary", "Accept, X-A"), ("Age", "5"))],
]
WAITS = [*[0.0] * 6, 0.5, 1.0, 4.75, 10.0, 25.0, 59.5, 60.0, 3600.0]
plain_steps = st.builds(Step, st.sampled_from(WAITS), plain_requests(), plain_answers())
odd_steps = st.builds(Step, st.sampled_from(WAITS), odd_requests(), odd_answers())
mixed_steps = st.builds(Step, st.sampled_from(WAITS), odd_requests(), plain_answers())
programs = st.lists(
    st.one_of(plain_steps, plain_steps, mixed_steps, odd_steps), min_size=6, max_size=16
)
houses = st.sampled_from(
    [
        House(),
        House(),
        House(max_entry_bytes=20, max_variants=2),
        House(ignore_cookies=("theme",), error_ttl_s=2.0),
        House(share_with_cookie=True),
    ]
)
