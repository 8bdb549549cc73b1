"""HTTP dates in their three forms (RFC 9110 §5.6.7), as seconds since the epoch."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from apsperf_mw.http.fields import OWS

_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = (
    *(b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun"),
    *(b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"),
)
_MONTH_NUMBERS = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}

_DAY = b"(?:" + b"|".join(_DAYS) + b")"
_LONG_DAY = rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = b"(" + b"|".join(_MONTHS) + b")"
_TIME = rb"([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)"
_IMF_FIXDATE = re.compile(rb"%b, (\d\d) %b (\d{4}) %b GMT" % (_DAY, _MONTH, _TIME), re.IGNORECASE)
_RFC850 = re.compile(rb"%b, (\d\d)-%b-(\d\d) %b GMT" % (_LONG_DAY, _MONTH, _TIME), re.IGNORECASE)
_ASCTIME = re.compile(rb"%b %b ([ \d]\d) %b (\d{4})" % (_DAY, _MONTH, _TIME), re.IGNORECASE)

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_SECONDS = 86_400
_FIRST_SECOND = (date.min.toordinal() - _EPOCH_DAY) * _DAY_SECONDS
_LAST_SECOND = (date.max.toordinal() - _EPOCH_DAY + 1) * _DAY_SECONDS - 1
_ASCTIME_BYTES = 24
_IMF_FIXDATE_BYTES = 29
_LONGEST_BYTES = 33  # RFC 850 on a Wednesday
_YEARS_AHEAD = 50


def parse_http_date(value: bytes, now: float) -> int | None:
    """Seconds since the epoch, or None for what is not exactly one of the three forms.

    Names in any case, the weekday unchecked against the date. `now` is the present moment: a
    two-digit year means the one from 49 years before its year to 50 after it.
    """
    value = value.strip(OWS)
    if not _ASCTIME_BYTES <= len(value) <= _LONGEST_BYTES:
        return None
    return _recall(value, year_of(now) if len(value) > _IMF_FIXDATE_BYTES else 0)


def year_of(now: float) -> int:
    """The year of a moment."""
    return date.fromordinal(int(now // _DAY_SECONDS) + _EPOCH_DAY).year


@lru_cache(maxsize=512)
def _recall(value: bytes, year: int) -> int | None:
    if len(value) == _IMF_FIXDATE_BYTES:
        return _imf_fixdate(value)
    return _asctime(value) if len(value) == _ASCTIME_BYTES else _rfc850(value, year)


def _imf_fixdate(value: bytes) -> int | None:
    match = _IMF_FIXDATE.fullmatch(value)
    if match is None:
        return None
    day, month, year, *time = match.groups()
    return _seconds(int(year), month, day, time)


def _rfc850(value: bytes, now_year: int) -> int | None:
    match = _RFC850.fullmatch(value)
    if match is None:
        return None
    day, month, digits, *time = match.groups()
    ahead = (int(digits) - now_year) % 100
    return _seconds(now_year + ahead - (100 if ahead > _YEARS_AHEAD else 0), month, day, time)


def _asctime(value: bytes) -> int | None:
    match = _ASCTIME.fullmatch(value)
    if match is None:
        return None
    month, day, *time, year = match.groups()
    return _seconds(int(year), month, day, time)


def _seconds(year: int, month: bytes, day: bytes, time: list[bytes]) -> int | None:
    try:
        days = date(year, _MONTH_NUMBERS[month.lower()], int(day)).toordinal() - _EPOCH_DAY
    except ValueError:  # no such day
        return None
    hour, minute, second = map(int, time)
    return days * _DAY_SECONDS + hour * 3600 + minute * 60 + second


def format_http_date(seconds: int) -> bytes:
    """The IMF-fixdate of a moment, which is clamped to the years 1 to 9999."""
    days, rest = divmod(min(max(seconds, _FIRST_SECOND), _LAST_SECOND), _DAY_SECONDS)
    day = date.fromordinal(days + _EPOCH_DAY)
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        *(_DAYS[day.weekday()], day.day, _MONTHS[day.month - 1], day.year),
        *(rest // 3600, rest // 60 % 60, rest % 60),
    )
