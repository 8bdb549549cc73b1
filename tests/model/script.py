"""One step of a program, and the app that plays its part in it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.messages import Fields, House, Request, Response
from tests.model.spans import parse_ranges
from tests.model.times import write_date

START = 1_800_000_000
Value = str | int
"""A field's value, or a date as an offset in seconds to the moment of the answer."""
Draft = tuple[tuple[str, Value], ...]
LETTERS = b"abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Answer:
    """What the app does in one step. Where it is asked with conditions or a range it may agree.

    `length` is what Content-Length says: nothing, the right number once or twice, or a wrong one.
    """

    status: int = 200
    fields: Draft = ()
    length: str = ""
    takes_s: float = 0
    fails: bool = False
    says_304: bool = False
    says_206: bool = False
    rule_s: float | None = None
    shared: bool = False
    size: int = 12


@dataclass(frozen=True)
class Step:
    """Time passes, a client asks, and the app answers so if it is asked."""

    wait_s: float
    request: Request
    answer: Answer


@dataclass(frozen=True)
class Scenario:
    """A cache with these settings, and what happens to it."""

    house: House
    steps: list[Step]


def written(fields: Draft, now: float) -> Fields:
    """The fields with their dates."""
    return tuple(
        (name, value if isinstance(value, str) else write_date(now + value))
        for name, value in fields
    )


def answer_to(request: Request, answer: Answer, serial: int, now: float) -> Response:
    """The app's response; its body tells which call of the app made it."""
    fields = written(answer.fields, now)
    status = answer.status
    conditions = request.has("if-none-match", "if-modified-since")
    if answer.says_304 and conditions and status == 200:
        return Response(304, fields, b"", answer.rule_s, answer.shared)
    body = (mark(answer, serial) + LETTERS)[: answer.size]
    if answer.says_206 and request.has("range") and status == 200:
        first, last = (parse_ranges(request.lines("range"), len(body)) or [(0, 3)])[0]
        status, fields = 206, (*fields, ("Content-Range", f"bytes {first}-{last}/{len(body)}"))
        body = body[first : last + 1]
    if status in {204, 304}:
        body = b""
    elif answer.length:
        fields = (*fields, ("Content-Length", announced(answer.length, len(body))))
    if request.method == "HEAD":
        body = b""
    return Response(status, fields, body, answer.rule_s, answer.shared)


def mark(answer: Answer, serial: int) -> bytes:
    """What a body begins with: the call's number, but parts of one strong tag are of one body."""
    tags = [value for name, value in answer.fields if name == "ETag" and isinstance(value, str)]
    return tags[0].encode() + b"-" if answer.says_206 and tags else b"%03d-" % serial


def announced(length: str, size: int) -> str:
    """What Content-Length says of so many bytes."""
    return {"right": f"{size}", "twice": f"{size}, {size}"}.get(length, length)
