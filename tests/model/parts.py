"""Parts of bodies that are stored, and what becomes of them (RFC 9111 §3.3, §3.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.model.grammar import parse_etag
from tests.model.messages import Request
from tests.model.shelf import Key, key_of
from tests.model.spans import parse_content_range, parse_ranges, range_counts
from tests.model.storing import Stored


@dataclass(frozen=True)
class Part:
    """A stored 206: its bytes are `first` to `last` of a body of `size`."""

    stored: Stored
    first: int
    last: int
    size: int

    def bytes_by_place(self) -> dict[int, int]:
        """Each byte by its place in the whole."""
        body = self.stored.response.body
        return {self.first + place: byte for place, byte in enumerate(body)}

    def covers(self, request: Request, now: float) -> bool:
        """Whether all that the request asks for is here, of the body that it is to be of."""
        spans = parse_ranges(request.lines("range"), self.size)
        response = self.stored.response
        etag, modified = response.first("etag"), response.first("last-modified")
        conditions = request.lines("if-range")
        counts = range_counts(conditions, etag, modified, response.first("date"), now)
        inside = all(self.first <= a and b <= self.last for a, b in spans or ())
        return bool(spans) and counts and inside


class Parts:
    """One part of each URL: the youngest, joined with the one before where they fit."""

    def __init__(self) -> None:
        self._parts: dict[Key, Part] = {}

    def find(self, request: Request) -> Part | None:
        """The part that is stored of this URL."""
        return self._parts.get(key_of(request))

    def erase(self, key: Key) -> None:
        """Keep no part of this URL."""
        self._parts.pop(key, None)

    def put(self, new: Stored) -> Stored | None:
        """Keep a part; what is whole by it is returned and not kept here."""
        span = parse_content_range(new.response.lines("content-range"))
        assert span is not None
        part = part_of(new, *span)
        key = key_of(new.request)
        if part is None:
            return None
        old = self._parts.get(key)
        joined = part if old is None else join(old, part)
        if len(joined.stored.response.body) == joined.size:
            return renamed(joined.stored, joined.stored.response.body, 0, joined.size)
        self._parts[key] = joined
        return None


def part_of(new: Stored, first: int, last: int, size: int) -> Part | None:
    """The part as far as it came (RFC 9111 §3.3); None where it is longer than it says."""
    came = len(new.response.body)
    return Part(new, first, first + came - 1, size) if 0 < came <= last - first + 1 else None


def join(old: Part, new: Part) -> Part:
    """Both as one where they are surely of one body and leave no gap (§3.4); else the new one."""
    tags = [part.stored.response.first("etag") for part in (old, new)]
    tag = parse_etag(tags[0] or "")
    same = tag is not None and not tag[0] and tags[0] == tags[1] and old.size == new.size
    places = old.bytes_by_place() | new.bytes_by_place()
    first, last = min(places), max(places)
    if not same or len(places) != last - first + 1:
        return new
    body = bytes(places[place] for place in range(first, last + 1))
    return Part(renamed(new.stored, body, first, new.size), first, last, new.size)


OWN = ("content-length", "content-range")


def renamed(stored: Stored, body: bytes, first: int, size: int) -> Stored:
    """The stored response as of this part of a body; the whole of it is a 200."""
    fields = tuple(f for f in stored.response.fields if f[0].lower() not in OWN)
    status = 200 if len(body) == size else 206
    last = first + len(body) - 1
    mine = (("Content-Range", f"bytes {first}-{last}/{size}"),) if status == 206 else ()
    response = replace(stored.response, status=status, body=body, fields=(*fields, *mine))
    return replace(stored, response=response)
