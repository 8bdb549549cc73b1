"""What admin requests ask, read and checked; what is wrong names the field and what is accepted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from msgspec import DecodeError, Struct, ValidationError, json

from apsperf_mw.cache.tags import Purge
from apsperf_mw.errors import APSPerfError, SettingError
from apsperf_mw.http.fields import clean_header

if TYPE_CHECKING:
    from apsperf_mw.exchange import Header

MOST_URL_CHARS = 8192
MOST_HEADERS = 64
ACCEPTED: dict[str, str] = {
    "tags": "a list of non-empty strings",
    "urls": "a list of URLs: http://host/path or /path",
    "prefixes": "a list of URLs: http://host/path or /path",
    "everything": "true or false",
    "hard": "true or false",
}
MOST_BUDGET_S = 300.0
ACCEPTED_WISH = f"engine, budget_s (seconds, {MOST_BUDGET_S:.0f} at most) and max_indexes (0 on)"
ACCEPTED_BODY = f"a JSON object of {', '.join(ACCEPTED)}"
ACCEPTED_QUERY = "url, header (NAME:VALUE, may be repeated) and fetch"

_AT = re.compile(r"`\$\.(\w+)")
_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)
_URL = re.compile(r"[!-~]+")
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_YES = frozenset({"1", "true", "yes", "on"})


class Refused(APSPerfError):
    """The request cannot be understood; the text is for whoever sent it."""


class PurgeBody(Struct, forbid_unknown_fields=True):
    """The body of a purge."""

    tags: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    everything: bool = False
    hard: bool = False


class Target(NamedTuple):
    """A URL in parts; an empty scheme and host stand for those of the request that asks."""

    scheme: str
    host: str
    path: str
    query: str


class Question(NamedTuple):
    """What `explain` is to explain: a GET of this URL with these fields; `fetch` has it made."""

    url: str
    target: Target
    headers: tuple[Header, ...]
    fetch: bool


class Wish(NamedTuple):
    """Which advice is wanted: of which database, within how many seconds, how many indexes."""

    engine: str | None
    budget_s: float
    max_indexes: int


def read_purge(body: bytes) -> Purge:
    """The purge that a body asks for."""
    try:
        asked = json.decode(body or b"{}", type=PurgeBody)
    except ValidationError as error:
        raise Refused(_told(str(error))) from None
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"body: {error}; accepted: {ACCEPTED_BODY}") from None
    try:
        return Purge(*(getattr(asked, name) for name in Purge._fields)).check()
    except SettingError as error:
        raise Refused(str(error)) from None


def _told(error: str) -> str:
    unknown, at = _UNKNOWN.search(error), _AT.search(error)
    if unknown is not None:
        return f"{unknown[1]!r}: not a field; accepted: {ACCEPTED_BODY}"
    if at is not None:
        return f"{at[1]}: {error.partition(' - at')[0]}; accepted: {ACCEPTED[at[1]]}"
    return f"body: {error}; accepted: {ACCEPTED_BODY}"


def read_question(query: bytes) -> Question:
    """The question in a query."""
    try:
        pairs = parse_qsl(
            query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_HEADERS
        )
    except ValueError:
        raise Refused(f"query: more than {MOST_HEADERS} parameters") from None
    urls = [value for name, value in pairs if name == "url"]
    if len(urls) != 1 or {name for name, _ in pairs} - {"url", "header", "fetch"}:
        raise Refused(f"query: accepted: {ACCEPTED_QUERY}, with one url")
    headers = tuple(read_header(value) for name, value in pairs if name == "header")
    fetch = any(value.lower() in _YES for name, value in pairs if name == "fetch")
    return Question(urls[0], read_target(urls[0]), headers, fetch)


def read_wish(query: bytes) -> Wish:
    """What advice is asked for in a query."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=8)
    if {name for name, _ in pairs} - {"engine", "budget_s", "max_indexes"}:
        raise Refused(f"query: accepted: {ACCEPTED_WISH}")
    told = dict(pairs)
    try:
        budget_s, most = float(told.get("budget_s", "30")), int(told.get("max_indexes", "10"))
    except ValueError:
        raise Refused(f"query: accepted: {ACCEPTED_WISH}") from None
    if not 0 < budget_s <= MOST_BUDGET_S or most < 0:
        raise Refused(f"query: accepted: {ACCEPTED_WISH}")
    return Wish(told.get("engine") or None, budget_s, most)


def read_target(url: str) -> Target:
    """The parts of an absolute URL or of a path."""
    accepted = "accepted: http://host/path or /path, of visible ASCII"
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    clean = _URL.fullmatch(url) and len(url) <= MOST_URL_CHARS and "#" not in url
    path = parts.path or ("/" if parts.netloc else "")
    if not clean or not path.startswith("/") or not _is_origin(parts.scheme, parts.netloc):
        raise Refused(f"url: {url[:100]!r} given; {accepted}")
    return Target(parts.scheme, parts.netloc, path, parts.query)


def _is_origin(scheme: str, host: str) -> bool:
    if not scheme and not host:
        return True
    return scheme in {"http", "https"} and _HOST.fullmatch(host) is not None


def read_header(text: str) -> Header:
    """The field in `NAME:VALUE`; names come out in lower case."""
    name, colon, value = text.partition(":")
    try:
        field = name.strip().lower().encode("ascii"), value.strip().encode("latin-1")
    except UnicodeEncodeError:
        field = b"", b""
    if not colon or not clean_header(*field):
        raise Refused(f"header: {text[:100]!r} given; accepted: NAME:VALUE of Latin-1")
    return field
