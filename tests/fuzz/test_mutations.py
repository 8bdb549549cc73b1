"""Mutated requests and stored entries: nobody gets what was made for another, and nothing breaks.

The app marks each page that it makes for one user with that user's name; a reply must bear the
mark of its own asker or none. It is asked bare for the same request, and must be answered alike.
"""

from __future__ import annotations

import os
import random
import re
from typing import Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.testing.dicts import DictDriver
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient
from apsperf_mw.testing.messages import Request, Response

CASES = int(os.environ.get("N") or 300) * 4
SEED = int(os.environ.get("SEED") or 1)
USERS = ("ann", "bob", "eve")
MARK = re.compile(rb"for (\w+)\.")

CONTROLS = (
    "max-age=60",
    "max-age=60, proxy-revalidate",
    "private, max-age=60",
    "no-store",
    "no-cache",
    "max-age=0",
    "max-age=60, stale-while-revalidate=60",
    "max-age=0, stale-if-error=60",
    "",
)
# They give leave to share what was asked for with Authorization (RFC 9111 §3.5).
LEAVES = ("max-age=60, must-revalidate", "public, max-age=60", "s-maxage=60", "public, max-age=0")
SHARED = (*CONTROLS, *LEAVES)
CARRIERS = (
    ("Cookie", "session={}"),
    ("cookie", "a=1; session={}"),
    ("Authorization", "Bearer {}"),
    ("X-API-Key", "{}"),
    ("X-Auth-Token", "{}"),
)
NOISE = (
    ("Range", "bytes=0-3"),
    ("Range", "bytes=-2,0-1"),
    ("If-None-Match", '"v1"'),
    ("If-None-Match", "*"),
    ("If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ("If-Range", '"v1"'),
    ("Cache-Control", "no-cache"),
    ("Accept-Language", "de, en;q=0.5"),
    ("Accept-Encoding", "gzip"),
    ("X-Forwarded-Host", "evil.test"),
    ("Forwarded", "host=evil.test"),
    ("Content-Length", "0"),
    ("Vary", "*"),
    ("X-Odd", "\xff\x00\x7f"),
)


class Shaky(DictDriver):
    """Keeps bytes, and flips some of them."""

    blocks = False
    draw = random.Random(SEED)

    def get(self, key: bytes) -> bytes | None:
        value = super().get(key)
        if value and self.draw.random() < 0.05:
            at = self.draw.randrange(len(value))
            return value[: self.draw.randrange(len(value))] if at % 2 else b"\x93" + value[1:]
        return value

    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        if len(self.held) > 200:
            self.held.pop(next(iter(self.held)))
        return super().set(key, value, ttl_s)


def user_of(request: Request) -> str:
    """Who asks, by anything that an app may go by."""
    told = " ".join(value for _, value in request.headers)
    return next((user for user in USERS if re.search(rf"\b{user}\b", told)), "")


def app(request: Request) -> Response:
    """Pages of `/own/` are for their asker, those of `/all/` alike for everybody."""
    kind, control, extra = request.target.partition("?")[0].strip("/").split("/")
    user = user_of(request)
    headers = [("Content-Type", "text/plain"), ("ETag", '"v1"')]
    said = (CONTROLS if kind == "own" else SHARED)[int(control)]
    if said:
        headers.append(("Cache-Control", said))
    if extra == "vary":
        headers.append(("Vary", "Accept-Language"))
    if extra == "sets":
        headers.append(("Set-Cookie", f"session={user}"))
    if extra == "fails":
        return Response(500, tuple(headers), [b"broken"])
    if request.header("if-none-match") and extra == "checks":
        return Response(304, tuple(headers), [])
    body = f"page for {user}." if kind == "own" and user else "page for all."
    return Response(200, tuple(headers), [body.encode()])


def drawn(draw: random.Random) -> Request:
    kind = draw.choice(("own", "all"))
    control = draw.randrange(len(CONTROLS) if kind == "own" else len(SHARED))
    extra = draw.choice(("plain", "plain", "vary", "sets", "fails", "checks"))
    headers = [("Host", draw.choice(("shop.test", "SHOP.test:80")))]
    if draw.random() < 0.5:
        name, form = draw.choice(CARRIERS)
        headers.append((name, form.format(draw.choice(USERS))))
    headers += draw.sample(NOISE, draw.choice((0, 0, 0, 1, 1, 2, 3)))
    draw.shuffle(headers)
    method = draw.choice(("GET",) * 12 + ("HEAD", "POST", "get", "PURGE"))
    query = draw.choice(("", "", "", "?a=1", "?a=1&", "?b"))
    return Request(method, f"/{kind}/{control}/{extra}{query}", tuple(headers))


def clients(backend: str) -> list[Client]:
    quiet = {"enabled": False}
    suite = Suite(cache={"purge_file": "none"}, tracing=quiet, timing=quiet, memory=quiet)
    if backend == "shaky":
        suite = Suite(default="tests.fuzz.test_mutations:Shaky", tracing={"enabled": False})
    return [ASGIClient(suite, app), WSGIClient(suite, app)]


@pytest.mark.fuzz
@pytest.mark.parametrize("backend", ["memory", "shaky"])
def test_nobody_gets_what_was_made_for_another(backend: str) -> None:
    draw = random.Random(SEED)
    both = clients(backend)
    hits = 0
    for _ in range(CASES):
        request = drawn(draw)
        client: Any = draw.choice(both)
        reply = client.send(request)
        marks = {mark.decode() for mark in MARK.findall(reply.body)}
        assert marks <= {user_of(request), "all"}, (request, reply)
        assert reply.status in {200, 206, 304, 416, 500}, (request, reply)
        if reply.status == 304:
            assert request.header("if-none-match") or request.header("if-modified-since")
        if reply.status == 200 and request.method == "GET":
            assert reply.body == app(request).body[0], (request, reply)  # type: ignore[index]
        hits += reply.cache.hit
    assert hits > CASES / 50  # it did cache
    faults = both[0].suite.faults.counts
    assert all(place.startswith("a stored frame: ") for place in faults), faults
    assert bool(faults) is (backend == "shaky")
