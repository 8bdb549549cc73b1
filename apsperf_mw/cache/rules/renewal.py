"""Bringing a stored response up to date from a 304 or from a HEAD's answer (RFC 9111 §4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    """Whether a HEAD's answer tells of the same body as the entry (RFC 9111 §4.3.5)."""
    if said.first(b"etag") != entry.etag or said.first(b"last-modified") != entry.last_modified:
        return False
    length = said.first(b"content-length")
    return length is None or length == b"%d" % len(entry.body)


def merged(entry: Entry, said: Head) -> Head:
    """The stored head with the fields of the newer one in place of its own (RFC 9111 §3.2).

    A 304 answers the one question that was asked, so it cannot speak of another response, and
    the tag that it was asked about stays.
    """
    hop = connection_names([value for name, value in said.policy if name == b"connection"])
    newer = [field for field in said.kept if field[0].lower() not in NOT_UPDATED | hop]
    names = {name.lower() for name, _ in newer}
    return read([*(field for field in entry.headers if field[0].lower() not in names), *newer])
