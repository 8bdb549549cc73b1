"""A reply from a stored response: 200 or what it is, 304, a part (RFC 9111 §4.3.2, RFC 9110)."""

from __future__ import annotations

from tests.model.grammar import names_tag
from tests.model.lifetimes import Rules
from tests.model.messages import Fields, Reply, Request
from tests.model.parts import OWN, Part
from tests.model.spans import Span, parse_ranges, range_counts
from tests.model.storing import Stored, told
from tests.model.times import parse_date


def served(held: Stored, request: Request, now: float, rules: Rules) -> Reply:
    """What the client gets; preconditions go before ranges (RFC 9110 §13.2.2)."""
    fields = fields_now(held, now, rules)
    if not_modified(held, request, now, rules):
        return Reply("not-modified", 304, fields)
    spans = selected_spans(held, request, now, rules)
    if spans is None:
        body = b"" if request.method == "HEAD" else held.response.body
        return Reply("served", held.response.status, fields, body)
    return cut(held.response.body, spans, fields)


def served_part(part: Part, request: Request, now: float, rules: Rules) -> Reply:
    """What the client gets of a stored part that covers what it asks for."""
    fields = fields_now(part.stored, now, rules)
    if not_modified(part.stored, request, now, rules):
        return Reply("not-modified", 304, fields)
    whole = bytes(part.first) + part.stored.response.body  # zeros stand for what is not here
    if request.method == "HEAD":
        return Reply("served", 206, fields)
    spans = parse_ranges(request.lines("range"), part.size) or []
    return cut(whole, spans, fields, part.size)


def fields_now(held: Stored, now: float, rules: Rules) -> Fields:
    """The stored fields that are for the client, and the age (RFC 9111 §5.1)."""
    return (*told(held.response.fields, rules.can), ("Age", str(int(held.age_s(now)))))


def not_modified(held: Stored, request: Request, now: float, rules: Rules) -> bool:
    """Whether the client has it already (RFC 9110 §13.2.1, §13.2.2)."""
    if not 200 <= held.response.status < 300:
        return False
    tags = request.lines("if-none-match")
    if tags:  # §13.1.3: then the date is not looked at
        return names_tag(tags, held.response.first("etag"))
    dates = request.lines("if-modified-since")
    since = parse_date(dates[0], now) if len(dates) == 1 else None
    modified = modified_at(held, now, rules)
    return since is not None and modified is not None and modified <= since


def modified_at(held: Stored, now: float, rules: Rules) -> float | None:
    """When it was last modified, or else made, or else received (RFC 9111 §4.3.2)."""
    line = held.response.first("last-modified")
    if line is not None:
        return parse_date(line, now)
    return held.made_at()


def selected_spans(held: Stored, request: Request, now: float, rules: Rules) -> list[Span] | None:
    """The parts that the client wants; None for the whole (RFC 9110 §14.2: GET alone has any)."""
    response = held.response
    lines = request.lines("range")
    if not rules.can.ranges or request.method != "GET" or response.status != 200 or not lines:
        return None
    etag, modified = response.first("etag"), response.first("last-modified")
    if not range_counts(request.lines("if-range"), etag, modified, response.first("date"), now):
        return None
    return parse_ranges(lines, len(response.body))


def cut(whole: bytes, spans: list[Span], fields: Fields, size: int | None = None) -> Reply:
    """206 with one part or several, or 416 with none (RFC 9110 §15.3.7, §15.5.17)."""
    size = len(whole) if size is None else size
    fields = tuple(field for field in fields if field[0].lower() not in OWN)
    if not spans:
        return Reply("unsatisfiable", 416, (("Content-Range", f"bytes */{size}"),))
    body = b"".join(whole[first : last + 1] for first, last in spans)
    if len(spans) == 1:
        first, last = spans[0]
        fields = (*fields, ("Content-Range", f"bytes {first}-{last}/{size}"))
    return Reply("part", 206, fields, body, whole=whole, size=size)
