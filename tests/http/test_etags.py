from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.http.dates import format_http_date
from apsperf_mw.http.etags import if_none_match, not_modified_since, parse_etag, strong_match

ETAG_BYTES = [0x21, *range(0x23, 0x7F), *range(0x80, 0x100)]
opaques = st.lists(st.sampled_from(ETAG_BYTES), max_size=12).map(bytes)
weakness = st.sampled_from([b"", b"W/"])
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = b"Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = b"Sun, 06 Nov 1994 08:49:38 GMT"
MADE_AT = 784_111_777.0  # at DATE
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        (b'"a"', (False, b"a")),
        (b'""', (False, b"")),
        (b'W/"a"', (True, b"a")),
        (b'"a,b"', (False, b"a,b")),
        (b'"a\\"', (False, b"a\\")),
        (b'"\xfc"', (False, b"\xfc")),
        (b"", None),
        (b"a", None),
        (b'"', None),
        (b'"a', None),
        (b'w/"a"', None),
        (b'W"a"', None),
        (b'W\\"a"', None),
        (b'W/ "a"', None),
        (b'"a b"', None),
        (b'"a"b"', None),
        (b'"a"\n', None),
        (b'"\x7f"', None),
        (b"*", None),
    ],
)
def test_parse_etag(value: bytes, tag: tuple[bool, bytes] | None) -> None:
    assert parse_etag(value) == tag


@given(weakness, opaques)
def test_a_written_tag_is_read_back(weak: bytes, opaque: bytes) -> None:
    assert parse_etag(weak + b'"' + opaque + b'"') == (weak == b"W/", opaque)


# RFC 9110 §8.8.3.2, table 3
@pytest.mark.parametrize(
    ("left", "right", "strong", "weak"),
    [
        (b'W/"1"', b'W/"1"', False, True),
        (b'W/"1"', b'W/"2"', False, False),
        (b'W/"1"', b'"1"', False, True),
        (b'"1"', b'"1"', True, True),
    ],
)
def test_comparison(left: bytes, right: bytes, strong: bool, weak: bool) -> None:
    for one, other in ((left, right), (right, left)):
        assert strong_match(one, other) is strong
        assert if_none_match([one], other) is weak


@pytest.mark.parametrize("tag", [b"a", b"", b'"a b"', b"*"])
def test_a_malformed_tag_never_matches_strongly(tag: bytes) -> None:
    assert not strong_match(tag, tag)


@pytest.mark.parametrize(
    ("lines", "etag"),
    [
        ([b"*"], b'"a"'),
        ([b"*"], None),
        ([b" * "], None),
        ([b'"a", "1", "2"'], b'"a"'),
        ([b'"1", "a", "2"'], b'"a"'),
        ([b'"1","2","a"'], b'"a"'),
        ([b'"1"', b'"2", W/"a"'], b'"a"'),
        ([b', , "a",'], b'"a"'),
        ([b'\t"a" '], b'"a"'),
        ([b'"x,", "a,b"'], b'"a,b"'),
        ([b'","'], b'","'),
        ([b'"1", ""'], b'""'),
        ([b'"\xfc"'], b'"\xfc"'),
        ([b"a"], b"a"),
        ([b"b, a"], b"a"),
        ([b'w/"a"'], b'w/"a"'),
        ([b'W"a"'], b'W"a"'),
        ([b'"a b"'], b'"a b"'),
    ],
)
def test_these_tags_match(lines: list[bytes], etag: bytes | None) -> None:
    assert if_none_match(lines, etag)


@pytest.mark.parametrize(
    ("lines", "etag"),
    [
        ([], b'"a"'),
        ([b""], b'"a"'),
        ([b""], b""),
        ([b'"a"'], None),
        ([b'"a"'], b""),
        ([b'"A"'], b'"a"'),
        ([b'"ab"'], b'"a"'),
        ([b"a"], b'"a"'),
        ([b'"a"'], b"a"),
        ([b'"x, "a", y"'], b'"a"'),
        ([b'"x,a"'], b"a"),
        ([b'x"a"'], b'"a"'),
        ([b'"a"x'], b'"a"'),
        ([b'"1" "a"'], b'"a"'),
        ([b'"a'], b'"a"'),
        ([b'w/"a"'], b'"a"'),
        ([b'"1", *'], b'"a"'),
        ([b"**"], b'"a"'),
        ([b'"1", "a b"'], b'"a b"'),
    ],
)
def test_these_tags_do_not_match(lines: list[bytes], etag: bytes | None) -> None:
    assert not if_none_match(lines, etag)


listed = st.tuples(weakness, opaques)


@given(st.lists(listed, max_size=6), listed, weakness)
def test_a_list_matches_exactly_its_members(
    others: list[tuple[bytes, bytes]], own: tuple[bytes, bytes], weak: bytes
) -> None:
    etag = own[0] + b'"' + own[1] + b'"'
    members = [prefix + b'"' + opaque + b'"' for prefix, opaque in others]
    held = own[1] in [opaque for _, opaque in others]
    assert if_none_match([b", ".join(members)], etag) is held
    assert if_none_match(members, etag) is held
    assert if_none_match([b",".join([*members, weak + b'"' + own[1] + b'"'])], etag)


@pytest.mark.parametrize(
    ("since", "modified", "expected"),
    [
        ([], DATE, False),
        ([DATE], DATE, True),
        ([AFTER], DATE, True),
        ([BEFORE], DATE, False),
        ([b"Sunday, 06-Nov-94 08:49:37 GMT"], DATE, True),
        ([b"Sun Nov  6 08:49:37 1994"], DATE, True),
        ([DATE], None, True),
        ([AFTER], None, True),
        ([BEFORE], None, False),
        ([DATE], b"foo", False),
        ([b"foo"], b"foo", False),
        ([b"foo"], DATE, False),
        ([DATE, DATE], DATE, False),
    ],
)
def test_not_modified_since(since: list[bytes], modified: bytes | None, expected: bool) -> None:
    """Where there is no Last-Modified, the moment counts at which it was made."""
    assert not_modified_since(since, modified, MADE_AT, NOW) is expected


@given(st.integers(0, 2**33), st.integers(0, 2**33))
def test_dates_compare_as_seconds(modified: int, since: int) -> None:
    fields = [format_http_date(since)]
    assert not_modified_since(fields, format_http_date(modified), 0, NOW) is (modified <= since)


TAG_PARTS = st.sampled_from([b'"', b",", b" ", b"W/", b"a", b"*", b"\\", b"\n", b"\xff"])
tag_like = st.lists(TAG_PARTS, max_size=20).map(b"".join)


@given(st.lists(st.binary() | tag_like, max_size=4), st.none() | st.binary() | tag_like)
def test_any_bytes_compare(lines: list[bytes], etag: bytes | None) -> None:
    matches = if_none_match(lines, etag)
    not_modified_since(lines, etag, 0.0, NOW)
    if matches and etag is not None:
        field = b",".join(lines)
        assert field.strip(b" \t") == b"*" or etag.removeprefix(b"W/") in field


@pytest.mark.parametrize("lines", [[b'"x"', b"*"], [b"*", b"*"], [b"*,"], [b'"a', b'"']])
def test_lines_are_read_as_one_field(lines: list[bytes]) -> None:
    assert not if_none_match(lines, b'"a"')
    assert not if_none_match([b",".join(lines)], b'"a"')


@pytest.mark.parametrize("pattern", [b",", b'"', b'"",', b'",', b" ", b", ", b"W/", b'"b",'])
@pytest.mark.parametrize("etag", [b'"a"', b'"', b"zz", b'W/"a,"', b'"c"'])
def test_large_hostile_fields_complete(pattern: bytes, etag: bytes) -> None:
    value = pattern * (65536 // len(pattern))
    assert not if_none_match([value], etag)
    assert not if_none_match([value, b"x" + value + b"x"], etag)
    assert not if_none_match([value[:8]] * 8192, etag)


@pytest.mark.parametrize("pattern", [b",", b'"",', b", ", b'"b",', b'W/"b" , '])
def test_the_last_of_many_tags_matches(pattern: bytes) -> None:
    value = pattern * (65536 // len(pattern))
    assert if_none_match([value + b'"a"'], b'"a"')
    assert not if_none_match([value + b'x"a"'], b'"a"')
