from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.http.ranges import MOST_RANGES, Span, if_range, parse_content_range, parse_ranges

SIZE = 20
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        (b"bytes=0-4", [(0, 4)]),
        (b"bytes=0-0", [(0, 0)]),
        (b"bytes=19-19", [(19, 19)]),
        (b"bytes=5-", [(5, 19)]),
        (b"bytes=5-99", [(5, 19)]),
        (b"bytes=-5", [(15, 19)]),
        (b"bytes=-99", [(0, 19)]),
        (b"bytes=007-008", [(7, 8)]),
        (b"BYTES=0-4", [(0, 4)]),
        (b" bytes =0-4", [(0, 4)]),
        (b"bytes=0-1,\t4-5 , 8-9", [(0, 1), (4, 5), (8, 9)]),
        (b"bytes=8-9,0-1", [(8, 9), (0, 1)]),
        (b"bytes=,0-1,,4-5,", [(0, 1), (4, 5)]),
        (b"bytes=0-1,20-30", [(0, 1)]),
        (b"bytes=20-", []),
        (b"bytes=-0", []),
        (b"bytes=20-,-0", []),
    ],
)
def test_ranges_that_are_read(value: bytes, spans: list[tuple[int, int]]) -> None:
    assert parse_ranges([value], SIZE) == [Span(*span) for span in spans]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b""],
        [b"bytes"],
        [b"bytes="],
        [b"bytes=,"],
        [b"bytes=-"],
        [b"bytes=a-b"],
        [b"bytes=1"],
        [b"bytes=5-4"],
        [b"bytes=0-1;4-5"],
        [b"bytes=0 -1"],
        [b"bytes=+0-1"],
        [b"bytes=0-1-2"],
        [b"bytes=0-1,x"],
        [b"lines=0-1"],
        [b"bytes:0-1"],
        [b"bytes=0-5,5-9"],
        [b"bytes=0-,19-"],
        [b"bytes=-5,15-15"],
        [b"bytes=0-" + b"9" * 19],
        [b"bytes=0-1" + b" " * 1100],
        [b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(MOST_RANGES + 1))],
        [b"bytes=0-1", b"bytes=4-5"],
        [b"bytes=\xb2-\xb3"],
    ],
)
def test_ranges_that_are_ignored(lines: list[bytes]) -> None:
    assert parse_ranges(lines, SIZE) is None


def test_as_many_ranges_as_may_be() -> None:
    value = b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(MOST_RANGES))
    assert parse_ranges([value], SIZE) == [Span(n, n) for n in range(MOST_RANGES)]


@given(st.lists(st.binary()), st.integers(0, 2**63))
def test_any_bytes_parse(lines: list[bytes], size: int) -> None:
    for ranges in (lines, [b"bytes=" + b",".join(lines)]):
        spans = parse_ranges(ranges, size)
        assert spans is None or all(0 <= span.first <= span.last < size for span in spans)
    found = parse_content_range(lines)
    assert found is None or found[0].first <= found[0].last < found[1]
    first = (lines or [b""])[0]
    if_range(lines, first, first, first, NOW)


@given(
    st.text("0123456789-, \t", max_size=30).map(str.encode),
    st.integers(0, 100),
)
def test_what_looks_like_ranges_is_within_the_body(listed: bytes, size: int) -> None:
    spans = parse_ranges([b"bytes=" + listed], size)
    if spans is None:
        return
    assert all(0 <= span.first <= span.last < size for span in spans)
    covered = [byte for span in spans for byte in range(span.first, span.last + 1)]
    assert len(covered) == len(set(covered))


@given(st.data(), st.integers(2, 1000))
def test_ranges_read_back(data: st.DataObject, size: int) -> None:
    cuts = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=20, unique=True))
    ordered = sorted(cuts)[: len(cuts) // 2 * 2]
    spans = [Span(*pair) for pair in zip(ordered[::2], ordered[1::2], strict=True)]
    spans = data.draw(st.permutations(spans))
    value = b"bytes=" + b", ".join(b"%d-%d" % span for span in spans)
    assert parse_ranges([value], size) == spans


@given(st.integers(0, 10**17), st.integers(0, 10**17), st.integers(1, 10**17))
def test_a_content_range_reads_back(first: int, more: int, rest: int) -> None:
    last, size = first + more, first + more + rest
    value = b"bytes %d-%d/%d" % (first, last, size)
    found = parse_content_range([value])
    assert found == (Span(first, last), size)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b""],
        [b"bytes"],
        [b"bytes 0-4"],
        [b"bytes 0-4/*"],
        [b"bytes */20"],
        [b"bytes 5-4/20"],
        [b"bytes 0-20/20"],
        [b"bytes=0-4/20"],
        [b"bytes  0-4/20"],
        [b"lines 0-4/20"],
        [b"bytes 0-4/20, bytes 5-9/20"],
        [b"bytes 0-4/20", b"bytes 0-4/20"],
        [b"bytes 0-4/" + b"9" * 19],
        [b"bytes \xb2-\xb3/20"],
    ],
)
def test_content_ranges_of_something_unknown(lines: list[bytes]) -> None:
    assert parse_content_range(lines) is None


DATE = b"Wed, 01 Jan 2025 00:00:00 GMT"
MINUTE_LATER = b"Wed, 01 Jan 2025 00:01:00 GMT"
SECOND_LESS = b"Wed, 01 Jan 2025 00:00:59 GMT"


@pytest.mark.parametrize(
    ("lines", "etag", "modified", "date", "counts"),
    [
        ([], None, None, None, True),
        ([b'"a"'], b'"a"', None, None, True),
        ([b' "a" '], b'"a"', None, None, True),
        ([b'"a"'], b'"b"', None, None, False),
        ([b'"a"'], None, None, None, False),
        ([b'W/"a"'], b'W/"a"', None, None, False),
        ([b'"a"'], b'W/"a"', None, None, False),
        ([b'W/"a"'], b'"a"', None, None, False),
        ([b"a"], b"a", None, None, False),
        ([b'"a"', b'"a"'], b'"a"', None, None, False),
        ([b'"a", "b"'], b'"a"', None, None, False),
        ([b"*"], b'"a"', None, None, False),
        ([DATE], None, DATE, MINUTE_LATER, True),
        ([DATE], b'"a"', DATE, MINUTE_LATER, True),
        ([DATE], None, DATE, SECOND_LESS, False),
        ([DATE], None, DATE, None, False),
        ([DATE], None, MINUTE_LATER, MINUTE_LATER, False),
        ([MINUTE_LATER], None, DATE, MINUTE_LATER, False),
        ([b"yesterday"], None, b"yesterday", MINUTE_LATER, False),
        ([b""], None, None, None, False),
    ],
)
def test_if_range(
    lines: list[bytes],
    etag: bytes | None,
    modified: bytes | None,
    date: bytes | None,
    counts: bool,
) -> None:
    assert if_range(lines, etag, modified, date, NOW) == counts


@pytest.mark.parametrize("pattern", [b"0-0,", b",", b"-", b"0-", b" ", b"9"])
def test_large_hostile_fields_complete(pattern: bytes) -> None:
    hostile = b"bytes=" + pattern * 20_000
    assert parse_ranges([hostile], SIZE) is None
    assert parse_content_range([b"bytes " + pattern * 20_000]) is None
    assert not if_range([hostile], b'"a"', DATE, MINUTE_LATER, NOW)
