"""What the package may not do otherwise than the reference."""

from __future__ import annotations

import re

from tests.model.messages import Fields, Reply, Request, lines_of
from tests.model.world import Trace

# RFC 9110 §15.4.5: what a 304 has to repeat. Age: RFC 9111 §5.1.
IN_304 = ("cache-control", "content-location", "date", "etag", "expires", "vary", "age")
# RFC 9110 §15.4.5, §8: what speaks of a body that a 304 does not have.
NOT_IN_304 = ("content-length", "content-type", "content-language", "content-range")


def differences(request: Request, expected: Trace, got: Trace) -> list[str]:
    """What differs, in words; empty where nothing does."""
    found = []
    if got.seen != expected.seen:
        found.append(f"the app saw {got.seen}, not {expected.seen}")
    want, have = ((source(reply), reply.status) for reply in (expected.reply, got.reply))
    if have != want:
        return [*found, f"reply {have}, not {want}"]
    if got.reply.kind == "app" and got.reply.stored != expected.reply.stored:
        found.append(f"stored: {got.reply.stored}, not {expected.reply.stored}")
    compare = {"not-modified": not_modified, "part": part, "unsatisfiable": unsatisfiable}
    return found + compare.get(expected.reply.kind, whole)(request, expected.reply, got.reply)


def source(reply: Reply) -> str:
    """Whence the reply came: the app, the store, or neither."""
    stored = {"served", "not-modified", "part", "unsatisfiable"}
    return "store" if reply.kind in stored else reply.kind


def whole(request: Request, expected: Reply, got: Reply) -> list[str]:
    """Body and all fields, duplicates included; a length that we add must be right."""
    found = []
    if got.body != expected.body:
        found.append(f"body {got.body!r}, not {expected.body!r}")
    if plain(got.fields) != plain(expected.fields):
        found.append(f"fields {plain(got.fields)}, not {plain(expected.fields)}")
    lengths = lines_of(got.fields, "content-length")
    right: tuple[list[str], ...] = (
        [],
        [str(len(got.body))],
        lines_of(expected.fields, "content-length"),
    )
    if source(got) == "store" and request.method == "GET" and lengths not in right:
        found.append(f"Content-Length {lengths} of {len(got.body)} bytes")
    return found


def plain(fields: Fields) -> list[tuple[str, str]]:
    """The fields to compare."""
    return sorted((n.lower(), v) for n, v in fields if n.lower() != "content-length")


def not_modified(_request: Request, expected: Reply, got: Reply) -> list[str]:
    """No body, what must be there, and nothing that speaks of a body."""
    found = [f"a 304 with a body: {got.body!r}"] if got.body else []
    for name in IN_304:
        want, have = lines_of(expected.fields, name), lines_of(got.fields, name)
        if want != have:
            found.append(f"{name} {have}, not {want}")
    return found + [f"a 304 with {name}" for name in NOT_IN_304 if lines_of(got.fields, name)]


def unsatisfiable(_request: Request, expected: Reply, got: Reply) -> list[str]:
    """RFC 9110 §15.5.17."""
    want, have = (lines_of(reply.fields, "content-range") for reply in (expected, got))
    return [] if want == have else [f"Content-Range {have}, not {want}"]


def part(_request: Request, expected: Reply, got: Reply) -> list[str]:
    """One part as it is; of several each is what its Content-Range says, and none is missing."""
    kind = (lines_of(got.fields, "content-type") or [""])[0]
    if lines_of(expected.fields, "content-range"):
        return whole(Request(), expected, got)
    if not kind.lower().startswith("multipart/byteranges"):
        return [f"several parts as {kind}"]
    found = []
    body = b""
    for head, content in split_parts(kind, got.body):
        span = re.search(rb"(?i)content-range: *bytes (\d+)-(\d+)/(\d+)", head)
        if span is None:
            return [f"a part without Content-Range: {head!r}"]
        first, last, size = map(int, span.groups())
        if content != expected.whole[first : last + 1] or size != expected.size:
            found.append(f"bytes {first}-{last}/{size} are {content!r}")
        body += content
    return found if body == expected.body else [*found, f"parts {body!r}, not {expected.body!r}"]


def split_parts(kind: str, body: bytes) -> list[tuple[bytes, bytes]]:
    """Heads and contents of a multipart body (RFC 2046 §5.1.1)."""
    match = re.search(r'boundary="?([^";]+)"?', kind)
    boundary = b"--" + match[1].encode() if match else b"--"
    pieces = (b"\r\n" + body).split(b"\r\n" + boundary)[1:-1]
    heads = [piece.removeprefix(b"\r\n").partition(b"\r\n\r\n") for piece in pieces]
    return [(head, content) for head, _, content in heads]
