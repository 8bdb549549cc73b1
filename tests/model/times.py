"""HTTP dates (RFC 9110 §5.6.7), read character by character."""

from __future__ import annotations

from datetime import UTC, datetime

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DIGITS = "0123456789"


class Unreadable(Exception):
    """Not what the grammar says."""


class Reader:
    """Takes a text apart from its start; RFC 9111 §4.2: caches read dates without regard to case.

    Only letters of ASCII have a case here.
    """

    def __init__(self, text: str) -> None:
        if not text.isascii():
            raise Unreadable
        self.rest = text.lower()

    def literal(self, text: str) -> None:
        """Just this text."""
        if not self.rest.startswith(text):
            raise Unreadable
        self.rest = self.rest[len(text) :]

    def one_of(self, names: tuple[str, ...]) -> int:
        """One of these names, as its number."""
        for number, name in enumerate(names):
            if self.rest.startswith(name):
                self.rest = self.rest[len(name) :]
                return number
        raise Unreadable

    def digits(self, count: int) -> int:
        """Exactly so many digits."""
        taken = self.rest[:count]
        if len(taken) < count or any(digit not in DIGITS for digit in taken):
            raise Unreadable
        self.rest = self.rest[count:]
        return int(taken)

    def time(self) -> tuple[int, int, int]:
        """hour ":" minute ":" second; a 60th second is a leap second."""
        hour = self.digits(2)
        self.literal(":")
        minute = self.digits(2)
        self.literal(":")
        second = self.digits(2)
        if hour > 23 or minute > 59 or second > 60:
            raise Unreadable
        return hour, minute, second

    def end(self) -> None:
        """Nothing is left."""
        if self.rest:
            raise Unreadable


def imf_fixdate(text: str, _now: float) -> int:
    """`Sun, 06 Nov 1994 08:49:37 GMT`."""
    reader = Reader(text)
    reader.one_of(DAYS)
    reader.literal(", ")
    day = reader.digits(2)
    reader.literal(" ")
    month = reader.one_of(MONTHS) + 1
    reader.literal(" ")
    year = reader.digits(4)
    reader.literal(" ")
    time = reader.time()
    reader.literal(" gmt")  # RFC 9111 §4.2: no other zone
    reader.end()
    return seconds(year, month, day, time)


def rfc850_date(text: str, now: float) -> int:
    """`Sunday, 06-Nov-94 08:49:37 GMT`: the century is the one that puts it near to now."""
    reader = Reader(text)
    reader.one_of(LONG_DAYS)
    reader.literal(", ")
    day = reader.digits(2)
    reader.literal("-")
    month = reader.one_of(MONTHS) + 1
    reader.literal("-")
    digits = reader.digits(2)
    reader.literal(" ")
    time = reader.time()
    reader.literal(" gmt")
    reader.end()
    present = datetime.fromtimestamp(now, UTC)
    # The last year with these digits that is not more than 50 years ahead.
    year = max(y for y in range(present.year - 60, present.year + 51) if y % 100 == digits)
    return seconds(year, month, day, time)


def asctime_date(text: str, _now: float) -> int:
    """`Sun Nov  6 08:49:37 1994`."""
    reader = Reader(text)
    reader.one_of(DAYS)
    reader.literal(" ")
    month = reader.one_of(MONTHS) + 1
    reader.literal(" ")
    if reader.rest.startswith(" "):
        reader.literal(" ")
        day = reader.digits(1)
    else:
        day = reader.digits(2)
    reader.literal(" ")
    time = reader.time()
    reader.literal(" ")
    year = reader.digits(4)
    reader.end()
    return seconds(year, month, day, time)


def seconds(year: int, month: int, day: int, time: tuple[int, int, int]) -> int:
    """Seconds since 1970."""
    hour, minute, second = time
    try:
        midnight = datetime(year, month, day, tzinfo=UTC)
    except ValueError as no_such_day:
        raise Unreadable from no_such_day
    return int(midnight.timestamp()) + hour * 3600 + minute * 60 + second


def parse_date(value: str, now: float) -> int | None:
    """The moment that the value names, or None where it is none of the three forms."""
    for form in (imf_fixdate, rfc850_date, asctime_date):
        try:
            return form(value.strip(" \t"), now)
        except Unreadable:
            continue
    return None


def write_date(moment: float) -> str:
    """The preferred form."""
    when = datetime.fromtimestamp(int(moment), UTC)
    day, month = DAYS[when.weekday()].title(), MONTHS[when.month - 1].title()
    return f"{day}, {when.day:02} {month} {when.year:04} {when:%H:%M:%S} GMT"
