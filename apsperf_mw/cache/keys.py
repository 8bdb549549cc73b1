"""Cache keys: what an app can see of a URL, as a tuple.

A tuple compares part by part, so no two URLs share a key by concatenation. Both shells make the
same key for the same URL wherever their servers show the same things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from apsperf_mw.http.queries import QueryForm

Key: TypeAlias = tuple["str | bytes | int | Key | None", ...]

# A longer path and query are kept as a digest, so that a key's size is bounded.
LONGEST = 2048

# What an ASGI server may leave out of a scope.
SPARSE: dict[str, Any] = {"scheme": "http", "root_path": "", "raw_path": None, "query_string": b""}

DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# Hosts as they came and as they are compared; all forgotten when there are too many.
MOST_HOSTS = 1024
LONGEST_HOST = 255
_folded: dict[str, dict[bytes, str]] = {scheme: {} for scheme in DEFAULT_PORTS}
_folded_text: dict[str, dict[str, str]] = {scheme: {} for scheme in DEFAULT_PORTS}


def fold_host(host: bytes | str, scheme: str) -> str:
    """The host in lower case without the scheme's default port (RFC 9110 §4.2.3)."""
    raw = host.encode("latin-1") if isinstance(host, str) else host
    # As bytes, for letters beyond ASCII have no case in a host.
    folded = raw.lower().decode("latin-1").removesuffix(DEFAULT_PORTS.get(scheme, ":"))
    if len(raw) <= LONGEST_HOST and scheme in _folded:
        known, known_text = _folded[scheme], _folded_text[scheme]
        if len(known) >= MOST_HOSTS:
            known.clear()
            known_text.clear()
        known[raw] = known_text[raw.decode("latin-1")] = folded
    return folded


def scope_key(scope: MutableMapping[str, Any], host: bytes) -> Key:
    """The key of an ASGI request: scheme, host, mount point, path, raw path, query.

    Where a server gives no raw path the decoded one stands in: the app sees no more either.
    """
    try:
        scheme = scope["scheme"]
        root = scope["root_path"]
        path = scope["path"]
        raw = scope["raw_path"]
        query = scope["query_string"]
    except KeyError:
        return scope_key({**SPARSE, **scope}, host)
    raw = path if raw is None else raw.decode("latin-1")
    query = query.decode("latin-1") if query else ""
    try:
        folded = _folded[scheme][host]
    except KeyError:
        folded = fold_host(host, scheme)
    if len(raw) > LONGEST or (query and len(raw) + len(query) > LONGEST):
        return (scheme, folded, *digest(root, path, raw, query))
    return (scheme, folded, root, path, raw, query)


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
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or path
    if "?" in raw and raw is not path:
        raw = raw.partition("?")[0]
    if not path.isascii():
        path = path.encode("latin-1").decode("utf-8", "surrogateescape")
    try:
        folded = _folded_text[scheme][host]
    except KeyError:
        folded = fold_host(host, scheme)
    if len(raw) > LONGEST or (query and len(raw) + len(query) > LONGEST):
        return (scheme, folded, *digest(root, path, raw, query))
    return (scheme, folded, root, path, raw, query)


def neighbours(key: Key, reference: bytes, form: QueryForm | None = None) -> list[Key]:
    """The keys of the URL that a reference (RFC 3986 §4.1) in a response under `key` points to.

    None where it is of another origin or cannot be read. More than one where it is not known
    how the server shows a mount point or a raw path.
    """
    from urllib.parse import unquote, urljoin, urlsplit

    if len(key) != 6 or len(reference) > LONGEST:
        return []
    scheme, host, root, _, raw, _ = (str(part) for part in key)
    base_path = raw if raw.startswith("/") else "/"
    try:
        url = urlsplit(urljoin(f"{scheme}://{host}{base_path}", reference.decode("latin-1")))
        authority = fold_host(url.netloc, url.scheme)
    except ValueError:
        return []
    # Of either scheme: behind a proxy the app sees another one than the client.
    if url.scheme not in DEFAULT_PORTS or authority != host:
        return []
    query = url.query
    if form:
        query = form(query.encode("latin-1")).decode("latin-1")
    plain = unquote(url.path, errors="replace")
    found: list[Key] = []
    for path in {plain, plain.removeprefix(root)}:
        # As escaped, as decoded, and as a WSGI server decodes it.
        wsgi = path.encode("utf-8", "surrogateescape").decode("latin-1")
        found += [(scheme, host, root, path, shown, query) for shown in {url.path, path, wsgi}]
    return found


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
