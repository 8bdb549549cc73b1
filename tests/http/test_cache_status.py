from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.http.status import (
    HEURISTICALLY_CACHEABLE,
    UNDERSTOOD,
    Forward,
    append_status,
    forward_status,
    hit_status,
)

# One List member with its parameters (RFC 9651 §4.2.1, §4.2.3.2)
KEY = r"[a-z*][a-z0-9_\-.*]*"
TOKEN = r"[A-Za-z*][!#$%&'*+\-.^_`|~:/0-9A-Za-z]*"
STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
PARAMETER = rf"; *({KEY})(?:=(-?\d{{1,15}}|{STRING}|{TOKEN}))?"
MEMBER = re.compile(rf"{TOKEN}(?:{PARAMETER})*")


def parameters(member: bytes) -> dict[str, str]:
    text = member.decode("ascii")
    assert MEMBER.fullmatch(text)
    assert text.startswith("apsperf;")
    return dict(re.findall(PARAMETER, text))


def test_a_hit() -> None:
    assert hit_status(123) == b"apsperf; hit; ttl=123"
    assert hit_status(-5) == b"apsperf; hit; ttl=-5"
    assert hit_status(0, "stale-if-error") == b'apsperf; hit; ttl=0; detail="stale-if-error"'


def test_a_forward() -> None:
    assert forward_status("uri-miss", stored=True) == b"apsperf; fwd=uri-miss; stored"
    assert forward_status("uri-miss", collapsed=True) == b"apsperf; fwd=uri-miss; collapsed"
    assert forward_status("stale", status=304, ttl_s=60, stored=True) == (
        b"apsperf; fwd=stale; fwd-status=304; ttl=60; stored"
    )
    assert forward_status("bypass", detail="authorization") == (
        b'apsperf; fwd=bypass; detail="authorization"'
    )


@pytest.mark.parametrize(
    ("detail", "written"),
    [
        ('a"b', rb'"a\"b"'),
        ("a\\", rb'"a\\"'),
        ("a\r\nSet-Cookie: b=c", b'"a??Set-Cookie: b=c"'),
        ("é\x7f\ud800", b'"???"'),
        ("x" * 1000, b'"' + b"x" * 256 + b'"'),
    ],
)
def test_a_detail_is_a_valid_string(detail: str, written: bytes) -> None:
    assert hit_status(1, detail) == b"apsperf; hit; ttl=1; detail=" + written


reasons: list[Forward] = [
    *("bypass", "method", "uri-miss", "vary-miss"),
    *("miss", "request", "stale", "partial"),
]


@given(
    st.sampled_from(reasons),
    st.none() | st.integers(100, 999),
    st.none() | st.integers(-(10**15) + 1, 10**15 - 1),
    st.booleans(),
    st.booleans(),
    st.text(),
)
def test_every_forward_is_a_structured_field(
    reason: Forward,
    status: int | None,
    ttl_s: int | None,
    stored: bool,
    collapsed: bool,
    detail: str,
) -> None:
    found = parameters(
        forward_status(
            reason, status=status, ttl_s=ttl_s, stored=stored, collapsed=collapsed, detail=detail
        )
    )
    assert found["fwd"] == reason
    assert found.get("fwd-status") == (None if status is None else str(status))
    assert found.get("ttl") == (None if ttl_s is None else str(ttl_s))
    assert ("stored" in found, "collapsed" in found) == (stored, collapsed)
    assert ("detail" in found) == bool(detail)
    assert "hit" not in found


@given(st.integers(-(10**15) + 1, 10**15 - 1), st.text())
def test_every_hit_is_a_structured_field(ttl_s: int, detail: str) -> None:
    found = parameters(hit_status(ttl_s, detail))
    assert found["ttl"] == str(ttl_s)
    assert "hit" in found
    assert "fwd" not in found


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ([], b"apsperf; hit"),
        ([b""], b"apsperf; hit"),
        ([b" "], b"apsperf; hit"),
        ([b"origin; hit"], b"origin; hit, apsperf; hit"),
        ([b"a; hit, b; fwd=miss", b"c"], b"a; hit, b; fwd=miss, c, apsperf; hit"),
    ],
)
def test_our_member_comes_last(lines: list[bytes], value: bytes) -> None:
    assert append_status(lines, b"apsperf; hit") == value


def test_status_codes() -> None:
    unknown = HEURISTICALLY_CACHEABLE - UNDERSTOOD
    assert unknown == {206}
    assert not {206, 304, 299, 599} & UNDERSTOOD
    assert min(UNDERSTOOD) == 200
