"""What a request carries that decides whether the cache may answer it.

One pass over the header names gives a set of flags; the names come from a table that is made
once from the settings.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.exchange import Header
    from apsperf_mw.settings import CacheSettings

COOKIE = 1
AUTHORIZATION = 2
CONDITIONAL = 4
HOST = 8
LENGTH = 16
BODY = 32
RANGE = 64
PRECONDITION = 128
CREDENTIAL = 256
FORWARDED = 512
MALFORMED = 1024
TRACED = 2048
DIRECTIVES = 4096
ORIGIN = 8192

# What changes the form of a response that is served from an entry.
ADAPTED = CONDITIONAL | RANGE
# What keeps a request from being answered at a glance, unless the entry is open to it.
UNPLAIN = COOKIE | AUTHORIZATION | ORIGIN | DIRECTIVES
# An entry must allow each of these before it is served or stored under it.
GUARDED = COOKIE | AUTHORIZATION | ORIGIN

# A request with one of these goes round the cache; the words appear in Cache-Status.
DETOURS: dict[int, str] = {
    BODY: "body",
    PRECONDITION: "precondition",
    CREDENTIAL: "credential",
    FORWARDED: "forwarded",
    MALFORMED: "host",
}
DETOUR = BODY | PRECONDITION | CREDENTIAL | FORWARDED | MALFORMED

# What brings the caller's trace context.
TRACING = ("traceparent", "b3", "x-b3-traceid", "baggage")

FIELDS: dict[str, int] = {
    "host": HOST,
    "cookie": COOKIE,
    "authorization": AUTHORIZATION,
    "origin": ORIGIN,
    "if-none-match": CONDITIONAL,
    "if-modified-since": CONDITIONAL,
    "if-match": PRECONDITION,
    "if-unmodified-since": PRECONDITION,
    "range": RANGE,
    "if-range": RANGE,
    "content-length": LENGTH,
    "transfer-encoding": BODY,
} | dict.fromkeys(TRACING, TRACED)

# Fields by which a client may tell an app another URL, host or method than the key shows.
FORWARDING = (
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-scheme",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-ssl",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-url-scheme",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-script-name",
    "front-end-https",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
)

# What a WSGI server or an outer middleware says of a user whom it has let in.
ENVIRON_CREDENTIALS = ("REMOTE_USER", "AUTH_TYPE", "SSL_CLIENT_VERIFY", "SSL_CLIENT_S_DN")


# How servers and clients of WSGI say that there is none.
ABSENT = frozenset({None, "", "NONE"})


def table(settings: CacheSettings) -> dict[str, int]:
    """Field name to flag, by the settings: credentials, trusted and keyed fields."""
    names = FIELDS | dict.fromkeys(map(str.lower, settings.credential_headers), CREDENTIAL)
    if settings.request_directives == "honour":
        names |= dict.fromkeys(("cache-control", "pragma"), DIRECTIVES)
    known = {name.lower() for name in (*settings.trusted_headers, *settings.key_headers)}
    return names | {name: FORWARDED for name in FORWARDING if name not in known}


def scope_table(settings: CacheSettings) -> dict[bytes, int]:
    """The table by the names of an ASGI scope.

    With underscores a name passes for another one in a WSGI app below.
    """
    names = table(settings)
    posing = {name.replace("-", "_"): MALFORMED for name in names if "-" in name}
    return {name.encode("latin-1"): flag for name, flag in (posing | names).items()}


def environ_table(settings: CacheSettings) -> dict[str, int]:
    """The table by the names of a WSGI environ."""
    names = {environ_name(name): flag for name, flag in table(settings).items() if flag != HOST}
    return names | dict.fromkeys(ENVIRON_CREDENTIALS, CREDENTIAL)


def environ_name(field: str) -> str:
    """The environ's name of a request field (PEP 3333, after RFC 3875 §4.1.18)."""
    name = field.upper().replace("-", "_")
    return name if name in {"CONTENT_LENGTH", "CONTENT_TYPE"} else "HTTP_" + name


@lru_cache(maxsize=256)
def environ_name_of(field: bytes) -> str:
    """As `environ_name`, of the name as bytes."""
    return environ_name(field.decode("latin-1"))


def scan_scope(headers: list[Header], names: dict[bytes, int]) -> tuple[int, bytes, bytes | None]:
    """The flags of an ASGI request, its Host, and the last line of its If-None-Match."""
    flags = 0
    host = b""
    tag: bytes | None = None
    for name, value in headers:
        if name in names:
            flag = names[name]
            if flag == HOST:
                flag = MALFORMED if flags & HOST else HOST
                host = value
            elif flag == CONDITIONAL:
                if name == b"if-none-match":
                    tag = value
            elif flag == LENGTH:
                flag = 0 if value == b"0" else BODY
            elif flag == COOKIE and not value.strip():
                # The same as in an environ, where two empty lines are a comma.
                flag = COOKIE if sum(other == name for other, _ in headers) > 1 else 0
            flags |= flag
    return flags, host, tag


def scan_environ(environ: dict[str, Any], names: dict[str, int]) -> int:
    """The flags of a WSGI request."""
    flags = 0
    for name in names.keys() & environ.keys():
        flag, value = names[name], environ[name]
        if flag == LENGTH:
            flag = 0 if value in {"", "0"} else BODY
        elif flag == COOKIE:
            flag = COOKIE if value and value.strip() else 0
        elif value in ABSENT and name in ENVIRON_CREDENTIALS:
            flag = 0
        flags |= flag
    return flags


def only_ignored(cookies: Iterable[bytes], ignored: frozenset[bytes]) -> bool:
    """Whether every cookie of these Cookie lines bears an ignored name.

    A comma may be where a WSGI server has joined two lines.
    """
    return all(
        pair.partition(b"=")[0].strip() in ignored
        for pair in b";".join(cookies).replace(b",", b";").split(b";")
        if pair.strip()
    )


def detour(flags: int) -> str:
    """The reason, for Cache-Status, why the request goes round the cache."""
    return next(word for flag, word in DETOURS.items() if flags & flag)
