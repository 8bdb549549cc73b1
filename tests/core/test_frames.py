"""Entries as bytes: what does not parse is a miss, and clocks may jump."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.cache.codec import FRAME_VERSION, PLAIN, BadFrame
from apsperf_mw.cache.entry import Entry, Fork, Record

NOW = 1000.0
OFFSET = 1_800_000_000.0


encode = PLAIN.encode


def decode(frame: bytes, offset: float, now: float) -> Record | None:
    try:
        return PLAIN.decode(frame, offset, now)
    except BadFrame:
        return None


def entry(**fields: Any) -> Entry:
    given: dict[str, Any] = {
        "status": 200,
        "headers": ((b"etag", b'"1"'), (b"x-a", b"\xff")),
        "body": b"page",
        "born": NOW,
        "fresh_until": NOW + 60,
        "etag": b'"1"',
        "last_modified": None,
        "open_to": 3,
        "tags": ("a", "\N{SNOWMAN}"),
        "vary": (b"accept", b"x-a"),
        "values": (b"text", None),
    }
    return Entry(**(given | fields))


def fields_of(record: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names or record.__struct_fields__}


KEPT = (
    "status", "headers", "body", "born", "fresh_until", "etag", "last_modified",
    "open_to", "tags", "vary", "values",
)  # fmt: skip

headers = st.lists(
    st.tuples(st.from_regex(rb"\A[a-z-]{1,6}\Z"), st.from_regex(rb"\A[ -~\x80-\xff]{0,6}\Z")),
    max_size=4,
).map(tuple)
entries = st.builds(
    entry,
    status=st.integers(200, 599),
    headers=headers,
    body=st.binary(max_size=50),
    tags=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5), max_size=3).map(
        tuple
    ),
    values=st.lists(st.one_of(st.none(), st.binary(max_size=5)), max_size=3).map(tuple),
)


@given(record=entries)
def test_an_entry_comes_back_as_it_was(record: Entry) -> None:
    back = decode(encode(record, OFFSET), OFFSET, NOW)
    assert isinstance(back, Entry)
    assert fields_of(back, *KEPT) == fields_of(record, *KEPT)


@given(
    names=st.lists(st.binary(max_size=5), max_size=3).map(tuple),
    stamp=st.integers(0, 2**63 - 1),
    variants=st.lists(
        st.lists(st.one_of(st.none(), st.binary(max_size=5)), max_size=3).map(tuple)
    ).map(tuple),
)
def test_a_fork_comes_back_as_it_was(names: Any, stamp: int, variants: Any) -> None:
    fork = Fork(names, stamp, variants)
    back = decode(encode(fork, OFFSET), OFFSET, NOW)
    assert isinstance(back, Fork)
    assert fields_of(back) == fields_of(fork)


@given(frame=st.binary(max_size=200))
def test_random_bytes_are_a_miss(frame: bytes) -> None:
    assert decode(frame, OFFSET, NOW) is None


@given(record=entries, cut=st.floats(0, 1, exclude_max=True))
def test_a_truncated_frame_is_a_miss(record: Entry, cut: float) -> None:
    frame = encode(record, OFFSET)
    assert decode(frame[: int(len(frame) * cut)], OFFSET, NOW) is None


@given(record=entries, at=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_raises_nothing_and_splits_no_response(
    record: Entry, at: int, bit: int
) -> None:
    frame = bytearray(encode(record, OFFSET))
    frame[at % len(frame)] ^= 1 << bit
    back = decode(bytes(frame), OFFSET, NOW)
    if isinstance(back, Entry):
        assert not any(
            mark in part for field in back.headers for part in field for mark in b"\r\n\0"
        )
        assert servable(back)


def servable(record: Entry) -> bool:
    """Whether a shell can make a head of it without a fault."""
    if not record.fresh_until > NOW:
        return True
    int(NOW - record.born)
    int(record.fresh_until - NOW)
    return 200 <= record.status <= 599 and record.born <= NOW


def altered(position: int, value: Any) -> bytes:
    fields = msgspec.msgpack.decode(encode(entry(), OFFSET))
    fields[position] = value
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, "x"),
        (0, "f"),
        (1, FRAME_VERSION + 1),
        (1, 0),
        (1, "1"),
        (4, "200"),
        (4, 99),
        (4, -1),
        (4, 700),
        (5, [[b"a\r\nset-cookie: a", b"1"]]),
        (5, [[b"a", b"1\r\nset-cookie: a=1"]]),
        (5, [[b"a", b"1\0"]]),
        (5, [[b"", b"1"]]),
        (5, [[b"a b", b"1"]]),
        (5, [[b"a"]]),
        (6, None),
        (7, "now"),
        (7, float("nan")),
        (7, float("-inf")),
        (8, float("inf")),
        (8, float("nan")),
    ],
)
def test_an_altered_frame_is_a_miss(position: int, value: Any) -> None:
    back = decode(altered(position, value), OFFSET, NOW)
    assert back is None


def test_a_frame_of_too_few_or_too_many_fields_is_a_miss() -> None:
    fields = msgspec.msgpack.decode(encode(entry(), OFFSET))
    wrongs: list[Any] = [fields[:-1], [*fields, 1], [], {}, fields[1:]]
    for wrong in wrongs:
        assert decode(msgspec.msgpack.encode(wrong), OFFSET, NOW) is None


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_a_miss(depth: int) -> None:
    assert decode(b"\x91" * depth, OFFSET, NOW) is None
    assert decode(b"\x9c\xa1e" + b"\x91" * depth, OFFSET, NOW) is None


@pytest.mark.parametrize(
    "frame", [b"\x80\x04\x95\x1d\x00cos\nsystem\n", b"(dp0\n.", b"\xdd\xff\xff\xff\xff"]
)
def test_pickles_and_bombs_are_a_miss(frame: bytes) -> None:
    assert decode(frame, OFFSET, NOW) is None


@given(
    passed=st.floats(0, 100),
    jump=st.one_of(st.just(0.0), st.floats(-1e5, 1e5), st.sampled_from([-3600.0, 3600.0])),
)
def test_whatever_the_wall_clock_does_the_age_stays_within_the_lifetime(
    passed: float, jump: float
) -> None:
    frame = encode(entry(), OFFSET)
    now = NOW + passed
    back = decode(frame, OFFSET + jump, now)
    assert isinstance(back, Entry)
    assert back.fresh_until - back.born == pytest.approx(60, abs=1e-3)
    assert back.born <= now
    if back.fresh_until > now:
        assert 0 <= now - back.born <= 60.001
    if jump == 0.0:
        assert back.born == pytest.approx(NOW, abs=1e-3)


def test_a_lifetime_that_is_negative_is_none() -> None:
    back = decode(encode(entry(fresh_until=NOW - 5), OFFSET), OFFSET, NOW)
    assert back is None or not back.fresh_until > NOW
