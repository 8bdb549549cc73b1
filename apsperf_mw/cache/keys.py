"""Cache keys: what an app can see of a URL, as a tuple.

A tuple compares part by part, so no two URLs share a key by concatenation. Both shells make the
same key for the same URL wherever their servers show the same things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import MutableMapping

Key: TypeAlias = tuple["str | bytes | int | Key | None", ...]

# A longer path and query are kept as a digest, so that a key's size is bounded.
LONGEST = 2048

DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# Hosts as they came and as they are compared; all forgotten when there are too many.
MOST_HOSTS = 1024
LONGEST_HOST = 255
_folded: dict[tuple[str, bytes | str], str] = {}


def fold_host(host: bytes | str, scheme: str) -> str:
    """The host in lower case without the scheme's default port (RFC 9110 §4.2.3)."""
    raw = host.encode("latin-1") if isinstance(host, str) else host
    # As bytes, for letters beyond ASCII have no case in a host.
    folded = raw.lower().decode("latin-1").removesuffix(DEFAULT_PORTS.get(scheme, ":"))
    if len(host) <= LONGEST_HOST:
        if len(_folded) >= MOST_HOSTS:
            _folded.clear()
        _folded[scheme, host] = folded
    return folded


def scope_key(scope: MutableMapping[str, Any], host: bytes) -> Key:
    """The key of an ASGI request: scheme, host, mount point, path, raw path, query.

    Where a server gives no raw path the decoded one stands in: the app sees no more either.
    """
    get = scope.get
    scheme = get("scheme", "http")
    path = scope["path"]
    raw = get("raw_path")
    raw = path if raw is None else raw.decode("latin-1")
    query = get("query_string", b"").decode("latin-1")
    folded = _folded.get((scheme, host)) or fold_host(host, scheme)
    if len(raw) + len(query) > LONGEST:
        return (scheme, folded, *digest(get("root_path", ""), path, raw, query))
    return (scheme, folded, get("root_path", ""), path, raw, query)


def environ_key(environ: dict[str, Any]) -> Key:
    """The key of a WSGI request, the same as the ASGI one for the same URL."""
    try:
        scheme = environ["wsgi.url_scheme"]
        host = environ["HTTP_HOST"]
        root = environ["SCRIPT_NAME"]
        path = environ["PATH_INFO"]
        query = environ["QUERY_STRING"]
    except KeyError:
        return environ_key(completed(environ))
    uri = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    raw = uri.partition("?")[0] if uri else path
    if not path.isascii():
        path = path.encode("latin-1").decode("utf-8", "surrogateescape")
    folded = _folded.get((scheme, host)) or fold_host(host, scheme)
    if len(raw) + len(query) > LONGEST:
        return (scheme, folded, *digest(root, path, raw, query))
    return (scheme, folded, root, path, raw, query)


def completed(environ: dict[str, Any]) -> dict[str, Any]:
    """The environ with what PEP 3333 lets a server leave out where it is empty."""
    server = f"{environ.get('SERVER_NAME', '')}:{environ.get('SERVER_PORT', '')}"
    return {"HTTP_HOST": server, "SCRIPT_NAME": "", "PATH_INFO": "", "QUERY_STRING": "", **environ}


def digest(*parts: str | bytes) -> tuple[bytes, int]:
    """A long URL's stand-in: its BLAKE2b and its length."""
    from hashlib import blake2b

    framed = frame(parts)
    return blake2b(framed, digest_size=32).digest(), len(framed)


def frame(key: Key) -> bytes:
    """The key as bytes for drivers that hold bytes: each part behind its type and length."""
    return b"".join(map(_frame_part, key))


def _frame_part(part: str | bytes | int | Key | None) -> bytes:
    if isinstance(part, tuple):
        mark, raw = b"t", frame(part)
    elif isinstance(part, str):
        mark, raw = b"s", part.encode("utf-8", "surrogatepass")
    elif part is None:
        mark, raw = b"n", b""
    elif isinstance(part, int):
        mark, raw = b"i", b"%d" % part
    else:
        mark, raw = b"b", part
    return b"%b%d:%b" % (mark, len(raw), raw)
