"""Of what programs are made: small tables in which the usual comes often, and all oddities once."""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.messages import Fields, House
from tests.model.script import START, Draft, Value
from tests.model.times import write_date

TARGETS = ["/a", "/a", "/a", "/b", "/a", "/a?b=1"]
METHODS = [*["GET"] * 14, *["HEAD"] * 3, "POST", "DELETE", "OPTIONS", "FROB", "get"]
HOSTS = [*["shop.test"] * 7, "SHOP.test:80", "other.test"]
WAITS = [*[0.0] * 6, 0.5, 1.0, 4.75, 10.0, 25.0, 59.5, 60.0, 3000.0]
STATUSES = [*[200] * 24, *[203, 204, 206, 299, 301, 302, 304, 404, 410, 418, 429, 500, 503, 504]]

GOOD_CONTROLS = [
    *["max-age=60"] * 8,
    *["max-age=5", "public, max-age=60", "s-maxage=30", "s-maxage=30, max-age=5"],
    *["max-age=60, must-revalidate", "max-age=10, stale-while-revalidate=30"],
    *["max-age=10, stale-if-error=30", "max-age=10, stale-while-revalidate=5, stale-if-error=90"],
]
CONTROLS = [
    *GOOD_CONTROLS,
    *["max-age=60, no-cache", "no-cache", "max-age=0", "max-age=60, private", "public", ""],
    *["max-age=60, no-store", "max-age=2147483648", "s-maxage=10, stale-while-revalidate=30"],
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
VARIES: list[Value] = [
    *["Accept"] * 4,
    *["Accept, X-A", "x-a", "accept,", "*", "Accept, *", "Cookie", "Authorization", "a b", ""],
]
DATES: list[Value] = [0, 0, 0, -10, -50, -100_000, 10, "0", "Sun, 06 Nov 94 08:49:37 GMT"]
EXPIRIES: list[Value] = [60, 60, 20, 0, -5, 100_000, "0", "-1", "Fri, 15 Jan 2027 09:00:00 UTC"]
MODIFIED = [write_date(START - 100_000), write_date(START - 50), write_date(START), "yesterday"]
TAGS: list[Value] = ['"a"', '"a"', '"b"', 'W/"a"', "a"]

# Name, chance of one in so many, values.
RESPONSE_FIELDS: list[tuple[str, int, list[Value]]] = [
    ("Vary", 4, VARIES),
    ("Expires", 8, EXPIRIES),
    ("Date", 3, DATES),
    ("Age", 10, ["0", "5", "59", "abc", "-1", "5, 70", ",7", "7.0", "2147483648"]),
    ("Last-Modified", 4, [*MODIFIED]),
    ("ETag", 3, TAGS),
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
RANGES: list[Value] = [
    *["bytes=0-3", "bytes=4-", "bytes=-4", "bytes=0-3,6-8", "bytes=0-3,2-5", "bytes=50-"],
    *["bytes=3-1", "items=0-3", "bytes=", "bytes=0-99", "bytes=-0", "bytes=a-b", "Bytes=0-0"],
]
WISHES: list[Value] = [
    *["no-cache", "no-store", "max-age=0", "max-age=10", "max-stale", "max-stale=5"],
    *["min-fresh=20", "only-if-cached", "max-age=x", "foo"],
]
REQUEST_FIELDS: list[tuple[str, int, list[Value]]] = [
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
    ("Cache-Control", 5, WISHES),
    ("Pragma", 30, ["no-cache"]),
]


HONOURING = House(request_directives="honour")
GUESSING = House(heuristic=True, heuristic_max_s=20)
HOUSES = (
    *(House(), House(), House(max_entry_bytes=20, max_variants=2)),
    House(ignore_cookies=("theme",), error_ttl_s=2.0),
    House(share_with_cookie=True, store_set_cookie=True),
    House(request_directives="honour", stale_on_error=True),
    House(heuristic=True, stale_on_error=True),
    *(HONOURING, GUESSING),
)


@dataclass(frozen=True)
class Theme:
    """What most steps of one program are made of, so that they have to do with each other."""

    requests: list[Fields]
    controls: list[str]
    responses: list[Draft]
    methods: tuple[str, ...] = ("GET",)
    statuses: tuple[int, ...] = (200,)
    waits: tuple[float, ...] = (0.0, 0.0, 0.0, 0.5, 4.75, 10.0, 59.5, 60.0)
    says_206: bool = False
    fails: bool = False
    houses: tuple[House, ...] = ()


AGREED: Fields = (("If-None-Match", '"a"'),)
SINCE: Fields = (("If-Modified-Since", MODIFIED[1]),)
TAGGED: Draft = (("ETag", '"a"'),)
DATED: Draft = (("Last-Modified", MODIFIED[0]), ("Date", 0))
AGED: list[Draft] = [
    (("Age", "5"),),
    (("Date", -50),),
    (("Date", -4), ("Age", "2")),
    (("Expires", 20), ("Date", -10)),
    (("Expires", 20), ("Expires", 60)),
    (("Expires", "0"),),
]
FRESH = Theme(
    [(), (), AGREED, SINCE, (("If-Modified-Since", write_date(START + 100_000)),)],
    [
        *["max-age=60", "max-age=5", "public, max-age=60", "s-maxage=30, max-age=5", ""],
        *["max-age=60, must-understand, no-store", "max-age=60, must-understand"],
    ],
    [(), TAGGED, DATED, *AGED],
    statuses=(200, 200, 200, 203, 299, 404, 429),
)
VARIANTS = Theme(
    [(), (("Accept", "a"),), (("Accept", "b"),), (("Accept", "a"), ("X-A", "1")), AGREED],
    ["max-age=60", "max-age=5", "max-age=60, no-cache"],
    [(), (("Vary", "Accept"),), (("Vary", "Accept, X-A"),), (*TAGGED, ("Vary", "Accept"))],
)
USERS = Theme(
    [(), (("Cookie", "s=1"),), (("Cookie", "theme=1"),), (("Authorization", "Basic x"),)],
    ["max-age=60", "public, max-age=60", "s-maxage=30", "max-age=60, must-revalidate"],
    [(), TAGGED, (("Vary", "Cookie"),), (("CDN-Cache-Control", "max-age=60"),)],
)
STALE = Theme(
    [(), (), AGREED, (("Accept", "a"),), (("Range", "bytes=0-3"),)],
    [
        *["max-age=10, stale-while-revalidate=30", "max-age=10, stale-if-error=60"],
        *["max-age=5, stale-while-revalidate=5, stale-if-error=90", "max-age=10", "max-age=0"],
        *["max-age=10, must-revalidate, stale-if-error=90", "no-cache"],
        *["s-maxage=10, stale-while-revalidate=30", "s-maxage=10, stale-if-error=90"],
        "max-age=10, proxy-revalidate, stale-while-revalidate=30",
        "max-age=0, stale-while-revalidate=30",
    ],
    [(), TAGGED, DATED, (*TAGGED, ("Vary", "Accept")), (("Age", "8"),)],
    ("GET", "GET", "GET", "HEAD"),
    (200, 200, 200, 500, 503, 404),
    (0.0, 4.75, 10.0, 10.0, 25.0, 59.5),
    fails=True,
)
PARTS = Theme(
    [
        *[(("Range", f"bytes={span}"),) for span in ("0-3", "4-7", "8-", "5-6", "-4", "50-")],
        *[(), (("Range", "bytes=0-3,6-8"),), (("Range", "bytes=4-"), *AGREED)],
        (("Range", "bytes=0-3"), ("If-Range", '"a"')),
    ],
    ["max-age=60", "max-age=60", "max-age=10, stale-while-revalidate=30"],
    [
        *[TAGGED, TAGGED, TAGGED, DATED, (*TAGGED, ("Content-Type", "text/plain"))],
        *[(("ETag", 'W/"a"'),), (*TAGGED, ("Vary", "Accept"))],
    ],
    ("GET", "GET", "GET", "GET", "GET", "HEAD"),
    (200, 200, 200, 200, 416),
    says_206=True,
)
WRITES = Theme(
    [(), (), AGREED],
    ["max-age=60", "max-age=60", "no-cache", "max-age=10"],
    [
        *[(), TAGGED, (("Content-Location", "/a"),), (("Content-Location", "/b"),)],
        *[(("Location", "/b"),), (("Location", "http://shop.test/a#x"),)],
        (("Content-Location", "http://other.test/a"), ("ETag", '"b"')),
    ],
    ("GET", "GET", "GET", "POST", "POST", "PUT", "HEAD"),
    (200, 200, 200, 201, 303, 404, 500),
)
HEADS = Theme(
    [(), AGREED],
    ["max-age=10", "max-age=60", "max-age=10, private"],
    [TAGGED, TAGGED, DATED, (*TAGGED, *DATED), (("ETag", '"b"'),), (), (("Vary", "Accept"),)],
    ("GET", "HEAD", "HEAD"),
    waits=(0.0, 4.75, 10.0, 60.0),
)
WISHED = Theme(
    [(), AGREED, *[(("Cache-Control", str(wish)),) for wish in WISHES]],
    ["max-age=30", "max-age=10", "max-age=30, immutable", "max-age=10, must-revalidate"],
    [(), TAGGED, DATED, (("Age", "5"),)],
    ("GET", "GET", "GET", "HEAD"),
    (200, 200, 200, 503),
    (0.0, 0.0, 5.0, 10.0, 15.0),
    houses=(HONOURING, HONOURING, House(request_directives="honour", stale_on_error=True)),
)
GUESSED = Theme(
    [(), (), AGREED],
    ["", "", "public", "max-age=10"],
    [DATED, (("Content-Location", "/a"), *DATED), (("Last-Modified", MODIFIED[1]),), ()],
    ("GET", "GET", "POST"),
    (200, 200, 200, 302, 404),
    (0.0, 4.75, 10.0, 59.5),
    houses=(GUESSING, House(heuristic=True)),
)
ANY = Theme([], [], [])  # no theme: all steps are odd
THEMES: dict[str, tuple[Theme, ...]] = {
    "fresh": (FRESH, GUESSED),
    "for whom": (VARIANTS, USERS),
    "stale": (STALE,),
    "parts": (PARTS,),
    "changed": (WRITES, HEADS),
    "wished": (WISHED, ANY),
}
