from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.http.fields import (
    HOP_BY_HOP,
    MAX_SECONDS,
    MAX_VARY_NAMES,
    clean_header,
    connection_names,
    delta_seconds,
    parse_age,
    parse_content_length,
    parse_vary,
)

TOKEN_CHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
tokens = st.text(TOKEN_CHARS, min_size=1, max_size=12).map(str.encode)
any_lines = st.lists(st.binary(), max_size=5)


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ([], ()),
        ([b""], ()),
        ([b" , ,"], ()),
        ([b"Accept-Encoding"], (b"accept-encoding",)),
        ([b"B, a\t,b"], (b"a", b"b")),
        ([b"Cookie", b"", b"accept,cookie"], (b"accept", b"cookie")),
    ],
)
def test_vary_is_the_union_of_its_lines(lines: list[bytes], names: tuple[bytes, ...]) -> None:
    assert parse_vary(lines) == names


@pytest.mark.parametrize(
    "lines",
    [
        *([b"*"], [b"*, *"], [b"*", b"*"], [b", *"], [b"", b"*"], [b"*, Foo"], [b"Foo, *"]),
        *([b"foo", b"bar,*"], [b"a b"], [b'"a"'], [b"a\x00"], [b"\xff"], [b"a;q=1"], [b"a:"]),
        [b",".join(b"x%d" % number for number in range(MAX_VARY_NAMES + 1))],
        [b"x" * 9000],
    ],
)
def test_vary_that_nothing_can_match(lines: list[bytes]) -> None:
    assert parse_vary(lines) is None


def test_vary_at_its_limit_is_kept_and_repetition_does_not_count() -> None:
    names = tuple(sorted(b"x%d" % number for number in range(MAX_VARY_NAMES)))
    assert parse_vary([b",".join(names * 3)]) == names


@given(st.lists(tokens.filter(lambda name: name != b"*"), max_size=MAX_VARY_NAMES))
def test_vary_reads_back_in_any_case(names: list[bytes]) -> None:
    expected = tuple(sorted({name.lower() for name in names}))
    assert parse_vary([b", ".join(names)]) == expected
    assert parse_vary([name.swapcase() for name in names]) == expected


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([], 0),
        ([b"120"], 120),
        ([b"0120"], 120),
        ([b" 120\t"], 120),
        ([b""], MAX_SECONDS),
        ([b"7200, 0"], MAX_SECONDS),
        ([b"0, 7200"], MAX_SECONDS),
        ([b"7200", b"0"], MAX_SECONDS),
        ([b"0", b"0"], MAX_SECONDS),
        ([b", 0"], MAX_SECONDS),
        ([b"", b"0"], MAX_SECONDS),
        ([b"abc"], MAX_SECONDS),
        ([b"-1"], MAX_SECONDS),
        ([b"0.0"], MAX_SECONDS),
        ([b"0;foo=bar"], MAX_SECONDS),
        ([b"\xb2"], MAX_SECONDS),
        ([b"2147483647"], 2**31 - 1),
        ([b"2147483648"], MAX_SECONDS),
        ([b"2147483649"], MAX_SECONDS),
        ([b"9" * 6000], MAX_SECONDS),
    ],
)
def test_age_is_one_number_or_as_old_as_can_be(lines: list[bytes], seconds: int) -> None:
    assert parse_age(lines) == seconds


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ([], None),
        ([b"0"], 0),
        ([b"42"], 42),
        ([b" 42\t"], 42),
        ([b"42, 42"], 42),
        ([b"42", b"42"], 42),
        ([b"42, 43"], -1),
        ([b"42", b"43"], -1),
        ([b""], -1),
        ([b"42,"], -1),
        ([b"-42"], -1),
        ([b"+42"], -1),
        ([b"4_2"], -1),
        ([b"0x2a"], -1),
        ([b"42.0"], -1),
        ([b"4 2"], -1),
        (["٤".encode()], -1),
        ([b"9" * 18], 10**18 - 1),
        ([b"9" * 19], -1),
        ([b"9" * 6000], -1),
    ],
)
def test_content_length_is_digits_without_contradiction(
    lines: list[bytes], length: int | None
) -> None:
    assert parse_content_length(lines) == length


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ([], set()),
        ([b"close"], {b"close"}),
        ([b"Keep-Alive, X-Name"], {b"keep-alive", b"x-name"}),
        ([b"a", b",b ,\tC"], {b"a", b"b", b"c"}),
        ([b'"a"; b'], {b"a", b"b"}),
    ],
)
def test_connection_names_every_field_listed(lines: list[bytes], names: set[bytes]) -> None:
    assert connection_names(lines) == names


def test_hop_by_hop_names_are_lower_case() -> None:
    assert {b"connection", b"transfer-encoding", b"te", b"upgrade"} <= HOP_BY_HOP
    assert all(name == name.lower() for name in HOP_BY_HOP)


@pytest.mark.parametrize(
    ("name", "value", "clean"),
    [
        (b"content-type", b"text/html; charset=utf-8", True),
        (b"x", b"", True),
        (b"x", b"\xff\t\x01", True),
        (b"", b"a", False),
        (b"a b", b"", False),
        (b"a:", b"", False),
        (b":path", b"", False),
        (b"a\n", b"", False),
        (b"x", b"a\r\nset-cookie: b=c", False),
        (b"x", b"a\n", False),
        (b"x", b"a\r", False),
        (b"x", b"\x00", False),
    ],
)
def test_a_header_is_clean_when_it_forges_no_other(name: bytes, value: bytes, clean: bool) -> None:
    assert clean_header(name, value) is clean


@given(st.binary())
def test_delta_seconds_stay_in_range(value: bytes) -> None:
    assert 0 <= delta_seconds(value) <= MAX_SECONDS


@given(st.integers(0, MAX_SECONDS), st.integers(0, 30))
def test_delta_seconds_read_back(seconds: int, zeros: int) -> None:
    assert delta_seconds(b"0" * zeros + b"%d" % seconds) == seconds


@given(any_lines)
def test_any_bytes_parse(lines: list[bytes]) -> None:
    names = parse_vary(lines)
    assert names is None or list(names) == sorted(set(names))
    assert 0 <= parse_age(lines) <= MAX_SECONDS
    length = parse_content_length(lines)
    assert length is None if not lines else length is not None and length >= -1
    assert all(clean_header(name, b"") for name in connection_names(lines))


@given(st.binary(), st.binary())
def test_a_clean_header_is_one_line(name: bytes, value: bytes) -> None:
    if clean_header(name, value):
        assert (name + b": " + value).splitlines() == [name + b": " + value] or b"\x0b" in value
        assert not set(b"\r\n\0") & set(name + value)


@pytest.mark.parametrize("pattern", [b",", b"a,", b"1,", b" ", b"\t,", b"0", b"x ", b"\xff"])
def test_large_hostile_fields_complete(pattern: bytes) -> None:
    value = pattern * (65536 // len(pattern))
    assert parse_vary([value]) is None
    assert parse_age([value]) in (0, MAX_SECONDS)
    assert parse_content_length([value]) == -1
    assert len(connection_names([value])) <= 1
    assert not clean_header(value, value + b"\n")
