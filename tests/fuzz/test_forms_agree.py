"""A head that is read by its form says what it says field by field, whatever was read before."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import asdict

from apsperf_mw.cache.making import Maker
from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.cache.rules.answer import Answer
from apsperf_mw.exchange import Exchange
from apsperf_mw.settings import load

CASES = 20 * int(os.environ.get("N") or 500)
SEED = int(os.environ.get("SEED") or 1)
NOW = 1_800_000_000.0
DATES = (b"Wed, 01 Jan 2025 00:00:00 GMT", b"Tue, 01 Jan 2036 00:00:00 GMT", b"0")
JUNK = (b"1", b"", b"a\r\nb: c", b"\0", b"\xff", b"a" * 300)
VALUES: dict[bytes, tuple[bytes, ...]] = {
    b"cache-control": (
        *(
            b"max-age=60",
            b"max-age=0",
            b"no-store",
            b"public, max-age=5",
            b"private",
            b"s-maxage=9",
        ),
        *(b"", b"no-cache", b"must-understand, max-age=4", b'max-age=60, "', b'no-cache="x"'),
        *(b"max-age=60, must-revalidate", b"max-age=6, stale-while-revalidate=5", b"immutable"),
    ),
    b"vary": (b"*", b"accept", b"Accept, X-A", b"", b"origin", b"bad name", b","),
    b"content-length": (b"0", b"5", b"", b"-1", b"5,5", b"5, 6", b"9" * 9, b"9" * 20, b"\xb2"),
    b"connection": (b"close", b"x-a", b"cache-control", b"keep-alive, etag", b""),
    b"access-control-allow-origin": (b"*", b"https://a", b""),
    b"cdn-cache-control": (b"max-age=4", b"no-store", b"", b"bad bad"),
    b"apsperf-cache-control": (b"max-age=7", b"no-store"),
    b"expires": DATES,
    b"date": DATES,
    b"last-modified": DATES,
    b"age": (b"1", b"100", b"x"),
    b"etag": (b'"a"', b'W/"a"', b"", b"a"),
    **dict.fromkeys((b"set-cookie", b"x-a", b"content-type", b"cache-tag", b"te", b"a b"), JUNK),
}
NAMES = (*VALUES, b"Cache-Control", b"ETag", b"Vary", b"X-A")
RULES = (
    *(None, None, rule("short"), rule(60), rule("medium", vary=["X-A"]), rule(9, shared=True)),
    *(rule(9, statuses={404: 3}), rule(9, stale_while_revalidate=6), rule(7, key=lambda _: "k")),
    rule(lambda _, fields: 0 if "x-a" in fields else 5),
)
STATUSES = (200, 200, 200, 204, 206, 301, 304, 404, 410, 416, 500, 503)
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"cache": {"heuristic": True, "stale_on_error": True}},
    {"cache": {"store_set_cookie": True, "share_with_cookie": True, "keep_tag_headers": True}},
    {"cache": {"max_entry_bytes": 5, "key_headers": ["X-Z"]}, "ttl": {"negative": 4}},
)


def drawn(draw: random.Random) -> list[Any]:
    """A head; some of its values are of other kinds than bytes."""
    names = draw.choices(NAMES, k=draw.randrange(6))
    kinds = draw.choices((bytes, bytearray, memoryview), (20, 1, 1), k=len(names))
    pick = [draw.choice(VALUES[name.lower()]) for name in names]
    return [
        (name, kind(value if draw.random() < 0.95 else draw.choice(JUNK)))
        for name, kind, value in zip(names, kinds, pick, strict=True)
    ]


def facts(found: Answer | str) -> object:
    return found if isinstance(found, str) else {**asdict(found), "size_bytes": 0}


@pytest.mark.fuzz
def test_the_short_way_says_what_the_long_way_says() -> None:
    draw = random.Random(SEED)
    makers = [Maker(load(settings)[0]) for settings in SETTINGS]
    heads = [drawn(draw) for _ in range(300)]
    ways: Counter[bool] = Counter()
    for _ in range(CASES):
        maker = draw.choice(makers)
        head = draw.choice(heads) if draw.random() < 0.8 else drawn(draw)
        plan = Plan(rule=draw.choice(RULES), private=draw.random() < 0.05)
        method = draw.choice(("GET", "GET", "GET", "POST", "HEAD"))
        flags = draw.choice((0, 0, 1, 2, 4, 64, 8192, 3))
        x = Exchange({}, method, 0.0, flags, status=draw.choice(STATUSES))
        form = maker.forms.form(head)
        long = maker.answer(x, head, plan, wall_now=NOW)
        assert facts(maker.answer(x, head, plan, form, wall_now=NOW)) == facts(long), head
        ways[form is not None] += 1
    assert min(ways.values()) > CASES / 10
