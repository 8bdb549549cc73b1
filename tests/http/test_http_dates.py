from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.http.dates import format_http_date, parse_http_date

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 7, 1, tzinfo=UTC).timestamp()
FIRST, LAST = -62135596800, 253402300799
seconds_of_four_digit_years = st.integers(FIRST, LAST)


def moment(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        (b"Sun Nov  6 08:49:37 1994", 784111777),
        (b"Wed Nov 16 08:49:37 1994", moment(1994, 11, 16, 8, 49, 37)),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0),
        (b"Wed, 31 Dec 1969 23:59:59 GMT", -1),
        (b"Tue, 19 Jan 2038 14:14:08 GMT", moment(2038, 1, 19, 14, 14, 8)),
        (b"Sun, 21 Nov 2286 04:46:39 GMT", moment(2286, 11, 21, 4, 46, 39)),
        (b"Thursday, 18-Aug-50 02:01:18 GMT", moment(2050, 8, 18, 2, 1, 18)),
        (b"Wednesday, 09-Nov-94 08:49:37 GMT", moment(1994, 11, 9, 8, 49, 37)),
        (b"Thu Aug  8 02:01:18 2050", moment(2050, 8, 8, 2, 1, 18)),
        (b"THU, 18 Aug 2050 02:01:18 GMT", moment(2050, 8, 18, 2, 1, 18)),
        (b"Thu, 18 AUG 2050 02:01:18 gMT", moment(2050, 8, 18, 2, 1, 18)),
        (b"Thu, 29 Feb 2024 00:00:00 GMT", moment(2024, 2, 29)),
        (b" Thu, 29 Feb 2024 00:00:00 GMT\t", moment(2024, 2, 29)),
        (b"Sat, 31 Dec 2016 23:59:60 GMT", moment(2017, 1, 1)),
    ],
)
def test_the_three_forms(value: bytes, seconds: int) -> None:
    assert parse_http_date(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0",
        b"-1",
        b"foo",
        b"Thu, 18 Aug 2050 02:01:18 UTC",
        b"Thu, 18 Aug 2050 02:01:18 AEST",
        b"Thu, 18 Aug 2050 02:01:18 +00",
        b"Thu, 18 Aug 2050 02:01:18",
        b"Thu, 18 Aug 50 02:01:18 GMT",
        b"Thu 18 Aug 2050 02:01:18 GMT",
        b"Thu, 18  Aug  2050 02:01:18 GMT",
        b"Thu,  8 Aug 2050 02:01:18 GMT",
        b"Thu, 8 Aug 2050 02:01:18 GMT",
        b"Thu, 18-Aug-2050 02:01:18 GMT",
        b"Thu, 18 Aug 2050 02.01.18 GMT",
        b"Thu, 18 Aug 2050 2:01:18 GMT",
        b"Thu, 18 Aug 2050 02:01 GMT",
        b"Thu, 18 Aug 2050 02:01:18 GMT,",
        b"Thu, 18 Aug 2050 02:01:18 GMT\n",
        b"Thu, 18 Aug 2050 24:00:00 GMT",
        b"Thu, 18 Aug 2050 23:60:00 GMT",
        b"Thu, 18 Aug 2050 23:00:61 GMT",
        b"Thu, 31 Feb 2050 02:01:18 GMT",
        b"Wed, 29 Feb 2023 00:00:00 GMT",
        b"Thu, 00 Jan 2050 00:00:00 GMT",
        b"Thu, 18 Foo 2050 02:01:18 GMT",
        b"Foo, 18 Aug 2050 02:01:18 GMT",
        b"Sat, 01 Jan 0000 00:00:00 GMT",
        b"Thursday, 18-Aug-2050 02:01:18 GMT",
        b"Thursday, 18 Aug 50 02:01:18 GMT",
        b"Thu, 18-Aug-50 02:01:18 GMT",
        b"Thu Aug 8 02:01:18 2050",
        b"Thu Aug  8 02:01:18 2050 GMT",
        b"Thu Aug 08 02:01:18 50",
        "Thu, 1٨ Aug 2050 02:01:18 GMT".encode(),
    ],
)
def test_anything_else_is_no_date(value: bytes) -> None:
    assert parse_http_date(value, NOW) is None


@pytest.mark.parametrize(
    ("digits", "year", "meant"),
    [
        (b"76", 2026, 2076),
        (b"77", 2026, 1977),
        (b"94", 2026, 1994),
        (b"26", 2026, 2026),
        (b"25", 2026, 2025),
        (b"05", 2080, 2105),
        (b"31", 2080, 2031),
        (b"00", 1999, 2000),
    ],
)
def test_two_digit_years_lie_within_fifty_years(digits: bytes, year: int, meant: int) -> None:
    value = b"Monday, 01-Mar-%b 00:00:00 GMT" % digits
    assert parse_http_date(value, moment(year, 7, 1)) == moment(meant, 3, 1)


@given(seconds_of_four_digit_years)
def test_what_is_formatted_is_read_back(seconds: int) -> None:
    value = format_http_date(seconds)
    assert parse_http_date(value, NOW) == seconds
    assert parse_http_date(value.swapcase(), NOW) == seconds
    assert len(value) == 29


@given(seconds_of_four_digit_years)
def test_format_agrees_with_the_calendar(seconds: int) -> None:
    written = (EPOCH + timedelta(seconds=seconds)).strftime("%d %H:%M:%S GMT").encode()
    value = format_http_date(seconds)
    assert value[5:7] + value[16:] == written[:2] + written[2:]


def test_known_dates_are_formatted_with_their_weekday() -> None:
    assert format_http_date(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_http_date(0) == b"Thu, 01 Jan 1970 00:00:00 GMT"
    assert format_http_date(-1) == b"Wed, 31 Dec 1969 23:59:59 GMT"


def test_moments_beyond_the_calendar_are_clamped() -> None:
    assert format_http_date(10**15) == b"Fri, 31 Dec 9999 23:59:59 GMT"
    assert format_http_date(-(10**15)) == b"Mon, 01 Jan 0001 00:00:00 GMT"


@given(st.integers(moment(1977, 1, 1), moment(2076, 12, 31)))
def test_the_obsolete_forms_mean_the_same(seconds: int) -> None:
    then = EPOCH + timedelta(seconds=seconds)
    assert parse_http_date(then.strftime("%A, %d-%b-%y %H:%M:%S GMT").encode(), NOW) == seconds
    assert parse_http_date(then.strftime("%a %b %e %H:%M:%S %Y").encode(), NOW) == seconds


@given(st.binary(max_size=40) | st.binary(min_size=24, max_size=33))
def test_any_bytes_parse(value: bytes) -> None:
    assert parse_http_date(value, NOW) is None


@given(seconds_of_four_digit_years, st.integers(0, 28), st.integers(0, 255))
def test_a_changed_byte_is_another_date_or_none(seconds: int, at: int, byte: int) -> None:
    value = bytearray(format_http_date(seconds))
    value[at] = byte
    parsed = parse_http_date(bytes(value), NOW)
    assert parsed is None or FIRST <= parsed <= LAST + 1


@pytest.mark.parametrize("pattern", [b" ", b"0", b"Sun, ", b"\xff"])
def test_large_hostile_fields_complete(pattern: bytes) -> None:
    assert parse_http_date(pattern * 65536, NOW) is None
