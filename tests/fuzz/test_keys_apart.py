"""No two requests share a key: every key's bytes can be read back to what it was made of."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from apsperf_mw.cache.entry import Fork
from apsperf_mw.cache.keys import Key, environ_key, frame, scope_key
from apsperf_mw.testing.forms import environ_of, scope_of
from apsperf_mw.testing.messages import Request

CASES = 20 * int(os.environ.get("N") or 500)
SEED = int(os.environ.get("SEED") or 1)
PIECES = ("/", "a", "A", "%2F", "%2f", "?", "&", "=", ";", ":", "//", "..", "%00", "%C3%A9", "é")
HOSTS = ("a", "a.test", "A.test", "a.test:80", "a.test:443", "b", "a.testb", "[::1]", "é")
VALUES = (None, b"", b"a", b"a,b", b"1:a", b"s1:a", b"b1:a")


def unframed(raw: bytes) -> Key:
    """What a frame was made of; fails where its lengths do not fit."""
    parts: list[str | bytes | int | Key | None] = []
    at = 0
    while at < len(raw):
        colon = raw.index(b":", at)
        mark, size = raw[at : at + 1], int(raw[at + 1 : colon])
        body = raw[colon + 1 : colon + 1 + size]
        assert len(body) == size
        parts.append(READ[mark](body))
        at = colon + 1 + size
    return tuple(parts)


READ: dict[bytes, Callable[[bytes], Any]] = {
    b"t": unframed,
    b"s": lambda body: body.decode("utf-8", "surrogatepass"),
    b"n": lambda _: None,
    b"i": int,
    b"b": bytes,
}


def drawn(draw: random.Random) -> Request:
    path = "/" + "".join(draw.choices(PIECES, k=draw.randrange(6))).replace("?", "")
    query = "".join(draw.choices(PIECES, k=draw.randrange(6)))
    target = path + ("?" + query if draw.random() < 0.7 else "")
    scheme = draw.choice(("http", "https"))
    return Request("GET", target, (("Host", draw.choice(HOSTS)),), b"", scheme)


@pytest.mark.fuzz
def test_a_key_tells_all_that_it_was_made_of() -> None:
    draw = random.Random(SEED)
    for _ in range(CASES):
        request = drawn(draw)
        host = (request.header("host") or "").encode("latin-1")
        key = scope_key(scope_of(request), host)
        assert unframed(frame(key)) == key
        scheme, folded, root, _, raw, query = key
        target, _, asked = request.target.partition("?")
        assert (scheme, root, raw, query) == (request.scheme, "", target, asked)
        port = ":80" if request.scheme == "http" else ":443"
        lowered = host.lower().decode("latin-1")
        assert folded == (lowered.removesuffix(port))
        assert environ_key(environ_of(request) | {"RAW_URI": request.target}) == key


@pytest.mark.fuzz
def test_a_variants_key_tells_its_values() -> None:
    draw = random.Random(SEED)
    for _ in range(CASES // 4):
        key = scope_key(scope_of(drawn(draw)), b"a.test")
        values = tuple(draw.choices(VALUES, k=draw.randrange(1, 4)))
        fork = Fork((b"accept",) * len(values), draw.getrandbits(56))
        variant = fork.key(key, values)
        assert variant == (key, fork.stamp, *values)
        assert unframed(frame(variant)) == variant
