"""Byte ranges (RFC 9110 §14) and the precondition that goes with them (§13.1.5)."""

from __future__ import annotations

from tests.model.grammar import DIGITS, OWS, lower, parse_etag
from tests.model.times import parse_date

MOST_SPANS = 16  # house bound; RFC 9110 §14.2 warns of many
MOST_CHARS = 1024
ENOUGH_S = 60  # between Last-Modified and Date, so that the first is strong (§8.8.2.2)

Span = tuple[int, int]


def parse_content_range(lines: list[str]) -> tuple[int, int, int] | None:
    """First and last byte and the size of the whole; None where one is not told (§14.4)."""
    value = lines[0].strip(OWS) if len(lines) == 1 else ""
    unit, space, told = value.partition(" ")
    span, slash, size = told.partition("/")
    first, dash, last = span.partition("-")
    signs = space and slash and dash
    if lower(unit) != "bytes" or not signs or not all(map(is_number, (first, last, size))):
        return None
    found = int(first), int(last), int(size)
    return found if found[0] <= found[1] < found[2] else None


def is_number(text: str) -> bool:
    """1*DIGIT, short enough to be a position."""
    return 0 < len(text) <= 18 and all(char in DIGITS for char in text)


def parse_ranges(lines: list[str], size: int) -> list[Span] | None:
    """The satisfiable ranges, both ends included; None where the field is ignored.

    The RFC lets a server ignore any Range. The house ignores what is malformed or in another
    unit, what has too many ranges, and ranges that overlap.
    """
    value = ",".join(lines)  # RFC 9110 §5.3: lines are one field
    if len(value) > MOST_CHARS or "=" not in value:
        return None
    unit, _, ranges = value.partition("=")
    if lower(unit.strip(OWS)) != "bytes":  # §14.1: units have no case
        return None
    specs = [spec.strip(OWS) for spec in ranges.split(",") if spec.strip(OWS)]
    if not specs or len(specs) > MOST_SPANS or not all(map(is_spec, specs)):
        return None
    spans = [span for spec in specs if (span := span_of(spec, size)) is not None]
    return None if overlap(spans) else spans


def is_spec(spec: str) -> bool:
    """first "-" [ last ], or "-" suffix (§14.1.1); a last before its first is invalid."""
    first, dash, last = spec.partition("-")
    if not dash:
        return False
    if not first:
        return is_number(last)
    return is_number(first) and (not last or (is_number(last) and int(first) <= int(last)))


def span_of(spec: str, size: int) -> Span | None:
    """What the spec selects of a body of this size, or None where that is nothing (§14.1.2)."""
    first, _, last = spec.partition("-")
    if not first:
        length = min(int(last), size)
        return (size - length, size - 1) if length else None
    if int(first) >= size:
        return None
    return int(first), min(int(last), size - 1) if last else size - 1


def overlap(spans: list[Span]) -> bool:
    """Whether two of them have a byte in common."""
    seen: set[int] = set()
    for first, last in spans:
        covered = set(range(first, last + 1))
        if seen & covered:
            return True
        seen |= covered
    return False


def range_counts(
    lines: list[str], etag: str | None, modified: str | None, date: str | None, now: float
) -> bool:
    """Whether If-Range lets the Range count: absent, or strongly the stored validator."""
    if not lines:
        return True
    if len(lines) != 1:
        return False
    value = lines[0].strip(OWS)
    tag = parse_etag(value)
    if tag is not None:
        return not tag[0] and value == etag
    if value != modified:  # §13.1.5: exactly
        return False
    changed, made = parse_date(value, now), parse_date(date or "", now)
    return changed is not None and made is not None and made - changed >= ENOUGH_S
