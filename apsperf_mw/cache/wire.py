"""The head of a response served from an entry, in both shells' forms.

A head holds for one second of age and is kept on the entry; nobody else ever gets the kept tuple
in a form that can be changed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from apsperf_mw.http.status import forward_status, hit_status

if TYPE_CHECKING:
    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.exchange import Exchange, Header

# What a 304 leaves out: fields that describe the body it does not have (RFC 9110 §15.4.5).
BODY_NAMES = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
)
BODY_FIELDS = frozenset({*BODY_NAMES, *map(str.encode, BODY_NAMES)})
T = TypeVar("T", bytes, str)
STATUS = b"cache-status"


def scope_head(entry: Entry, now: float, *, say: bool) -> tuple[Header, ...]:
    """Make the head for an ASGI response anew; with `say`, Cache-Status is its last field."""
    age = int(now - entry.born)
    head = tuple((name.lower(), value) for name, value in _head(entry, age, now, say=say))
    # One assignment, so that threads see a second with its head or the one before.
    entry.scope_wire = (entry.born + age + 1, head)
    return head


def environ_head(entry: Entry, now: float, *, say: bool) -> tuple[tuple[str, str], ...]:
    """Make the head for a WSGI response anew; with `say`, Cache-Status is its last field."""
    age = int(now - entry.born)
    head = as_text(_head(entry, age, now, say=say))
    entry.environ_wire = (entry.born + age + 1, head)
    return head


def as_text(headers: tuple[Header, ...]) -> tuple[tuple[str, str], ...]:
    """The fields as WSGI wants them (PEP 3333): text of Latin-1."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def without_body(headers: tuple[tuple[T, T], ...]) -> tuple[tuple[T, T], ...]:
    """The fields that a 304 bears, of either form of a head."""
    return tuple(field for field in headers if field[0].lower() not in BODY_FIELDS)


def collapsed_status(entry: Entry, now: float) -> Header:
    """The Cache-Status of a request that waited for another's fetch."""
    ttl_s = int(entry.fresh_until - now)
    return (STATUS, forward_status("uri-miss", ttl_s=ttl_s, collapsed=True))


def app_status(x: Exchange, *, stored: bool) -> Header:
    """The Cache-Status of a response that the app made."""
    return (STATUS, _app_status(x.result, x.detail, stored))


def _head(entry: Entry, age: int, now: float, *, say: bool) -> tuple[Header, ...]:
    told = (*entry.headers, (b"age", b"%d" % max(age, 0)))  # RFC 9111 §5.1
    return (*told, (STATUS, hit_status(int(entry.fresh_until - now)))) if say else told


@lru_cache(maxsize=256)
def _app_status(result: str, detail: str, stored: bool) -> bytes:
    if result == "bypass":
        if detail == "method":
            return forward_status("method")
        return forward_status("bypass", detail=detail)
    if detail == "collapsed":
        return forward_status("uri-miss") + b"; collapsed=?0"  # RFC 9211 §2.7: waited in vain
    return forward_status("uri-miss", stored=stored, detail=detail)
