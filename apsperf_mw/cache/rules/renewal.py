"""Bringing a stored response up to date from a 304 or from a HEAD's answer (RFC 9111 §4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from apsperf_mw.cache.rules.answer import Head, read
from apsperf_mw.http.fields import connection_names

if TYPE_CHECKING:
    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.exchange import Header

# They describe the stored bytes, which stay (RFC 9111 §3.2).
NOT_UPDATED = frozenset(
    {
        b"content-encoding",
        b"content-length",
        b"content-md5",
        b"content-range",
        b"etag",
    }
)


def validators(entry: Entry) -> list[Header]:
    """The fields that ask whether the entry is still good (RFC 9111 §4.3.1)."""
    asked = []
    if entry.etag is not None:
        asked.append((b"if-none-match", entry.etag))
    if entry.last_modified is not None:
        asked.append((b"if-modified-since", entry.last_modified))
    return asked


def matches(entry: Entry, said: Head) -> bool:
    """Whether a HEAD's answer tells of the same body, by what it has (RFC 9111 §4.3.5)."""
    known = {b"etag": entry.etag, b"last-modified": entry.last_modified}
    if any(said.first(name) not in {None, value} for name, value in known.items()):
        return False
    length = said.first(b"content-length")
    return length is None or length == b"%d" % len(entry.body)


def outdated(entry: Entry) -> Entry:
    """The entry as one that has been stale from the start (RFC 9111 §4.3.5)."""
    over_s = max(entry.fresh_until - entry.born, 0.0)
    return replace(
        entry,
        fresh_until=entry.fresh_until - over_s,
        stale_until=entry.stale_until - over_s,
        error_until=entry.error_until - over_s,
    )


def merged(entry: Entry, said: Head) -> Head:
    """The stored head with the fields of the newer one in place of its own (RFC 9111 §3.2).

    A 304 answers the one question that was asked, so it cannot speak of another response, and
    the tag that it was asked about stays.
    """
    hop = connection_names([value for name, value in said.policy if name == b"connection"])
    newer = [field for field in said.kept if field[0].lower() not in NOT_UPDATED | hop]
    names = {name.lower() for name, _ in newer}
    return read([*(field for field in entry.headers if field[0].lower() not in names), *newer])
