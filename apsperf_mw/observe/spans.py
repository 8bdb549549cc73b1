"""Server spans: what they say, and the suite's own form of one until it is exported. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.observe.ids import random_bits
from apsperf_mw.observe.series import METHODS, VERSIONS, bounded_method, error_type

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from apsperf_mw.exchange import Exchange
    from apsperf_mw.exchange import Facts as Raw
    from apsperf_mw.observe.series import Attributes

    # Names of query parameters whose values may be told.
    Shown = AbstractSet[str]
    # Attributes of header fields, each with its lines.
    Fields = tuple[tuple[str, tuple[str, ...]], ...]

NONE: Shown = frozenset()

# Characters or bytes of one attribute at most; what waits for export holds no more.
MOST_PATH = 1024
MOST_TEXT = 256
MOST_QUERY = 4096
MOST_QUERY_NAMES = 64

REDACTED = "REDACTED"
# In place of a header field's value, as OpenTelemetry's own instrumentations have it.
UNTOLD = "[REDACTED]"
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
# RFC 9110 §7.2: what a client asked for, so its form is checked; a literal of IPv6 or a name.
_AUTHORITY = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._~-]{1,253}))(?::([0-9]{1,5}))?"
)
# A key, a digest, a signed value: long, of letters and digits, and no words. A UUID names things.
_LONG = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z]).{20}", re.DOTALL)
_RUN = re.compile(r"[A-Za-z0-9_~+.%]{20}")
_MIXED = re.compile(r"(?=.*[0-9])(?=.*[a-z]).*[A-Z]", re.DOTALL)
_WORDS = re.compile(r"(?:[A-Z]?[a-z]*|[A-Z]*)[0-9]*(?:[-_.+](?:[A-Z]?[a-z]*|[A-Z]*)[0-9]*)*")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
# What stands between the parts of a field's value, of which each may be a URL, and their words.
_APART = re.compile(r"([\s\"<>]+)")
_BETWEEN = re.compile(r"([,;'(){}=|&]+)")
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{0,255}")
_PORTS = {"http": 80, "https": 443}


class OwnSpan(Struct, eq=False, gc=False):
    """The identity of a span that the suite makes itself; `parent_id` is 0 for a root.

    `link` is the trace and span of a caller that is not trusted, `around` the context that a
    trusted one sent.
    """

    trace_id: int
    span_id: int
    parent_id: int
    state: str
    sampled: bool
    link: tuple[int, int] | None = None
    around: Any = None


def root(low: int) -> OwnSpan:
    """A sampled trace; its id ends in the bits that decided, so that others decide alike."""
    return OwnSpan(random_bits(64) << 64 | low or 1, random_bits(64) or 1, 0, "", True)


class Asked(Struct, gc=False, eq=False):
    """What a span says of a request, as scalars of bounded size.

    Host is believed, as the conventions want it; forwarding headers are the server's to judge.
    """

    path: str
    query: bytes
    host: bytes
    server: str
    port: int
    client: str
    agent: bytes


class SpanRecord(Struct, eq=False, gc=False):
    """A span that waits for export; `started` and `ended` are monotonic seconds."""

    span: OwnSpan
    asked: Asked
    raw: Raw
    sent_bytes: int
    started: float
    ended: float
    fields: Fields = ()


class ChildRecord(Struct, eq=False, gc=False):
    """A span within a request that waits for export; its id is that of `span`."""

    span: OwnSpan
    name: str
    kind: str
    attributes: Attributes
    started: float
    ended: float
    error: str = ""


def asked(x: Exchange) -> Asked:
    """What is known of the request."""
    return bounded(x.path, x.query, x.host_and_agent(), x.server, x.client)


def bounded(
    path: str,
    query: bytes,
    host_and_agent: tuple[bytes, bytes],
    server: tuple[str, int | None],
    client: str,
) -> Asked:
    """What is known of a request, cut short."""
    host, agent = host_and_agent
    name, port = server
    return Asked(
        path[:MOST_PATH],
        query[:MOST_QUERY],
        host[:MOST_TEXT],
        name[:MOST_TEXT],
        port or 0,
        client[:MOST_TEXT],
        agent[:MOST_TEXT],
    )


def client_bytes(x: Exchange) -> int:
    """The length that the client has given its body, or 0."""
    lines = x.fields(b"content-length")
    digits = lines[0] if len(lines) == 1 else b""
    return int(digits) if digits.isdigit() and len(digits) < 16 else 0


def authority(asked: Asked, scheme: str) -> tuple[str, int]:
    """The host and port that the client asked for, else those that the server listens on."""
    match = _AUTHORITY.fullmatch(asked.host)
    if match is None:
        return asked.server, asked.port
    literal, name, digits = match.groups()
    port = int(digits) if digits else _PORTS.get(scheme, 0)
    return (literal or name).decode("ascii"), port if port < 65536 else 0


def span_name(method: str, route: str) -> str:
    """`{method} {route}`, or the method alone where no route is known."""
    method = method if method in METHODS else "HTTP"
    return f"{method} {route}" if route else method


def first_attributes(asked: Asked, raw: Raw, shown: Shown = NONE) -> Attributes:
    """What is known when the span begins, and what samplers decide by."""
    method, scheme, version = bounded_method(raw[0]), raw[1][:MOST_TEXT], raw[4]
    attributes: Attributes = {
        "http.request.method": method,
        "url.scheme": clean(scheme),
        "url.path": told_path(asked.path),
    }
    if method != raw[0]:
        attributes["http.request.method_original"] = clean(raw[0][:MOST_TEXT])
    if asked.query:
        attributes["url.query"] = redacted(asked.query, shown)
    if known := VERSIONS.get(version):
        attributes["network.protocol.version"] = known
    server, port = authority(asked, scheme)
    if server:
        attributes["server.address"] = clean(server)
    if port:
        attributes["server.port"] = port
    if asked.client:
        attributes["client.address"] = attributes["network.peer.address"] = clean(asked.client)
    if asked.agent:
        attributes["user_agent.original"] = asked.agent.decode("latin-1")
    return attributes


def last_attributes(raw: Raw, sent_bytes: int) -> Attributes:
    """What is known when the request is over; `result` is empty where no cache was asked."""
    _, _, route, status, _, error, result = raw
    hit = result in {"hit", "collapsed"}
    attributes: Attributes = {"apsperf.cache.result": result, "cache.hit": hit} if result else {}
    if hit and sent_bytes:
        attributes["cache.item_size"] = sent_bytes
    if status:
        attributes["http.response.status_code"] = status
    if route:
        attributes["http.route"] = route
    if kind := error_type(status, error):
        attributes["error.type"] = kind
    return attributes


def told_path(path: str) -> str:
    """The path, without segments that look like keys or addresses, or give a parameter a value."""
    if len(path) < 20 and "@" not in path and "=" not in path:
        return clean(path)
    return clean("/".join([_segment(each) for each in path.split("/")]))


def _segment(segment: str) -> str:
    if "=" in segment:
        return segment.partition("=")[0] + "=" + REDACTED
    return REDACTED if "@" in segment or looks_like_a_key(segment) else segment


def looks_like_a_key(text: str) -> bool:
    """Whether a text may be a secret, by its form."""
    return (
        _LONG.match(text) is not None
        and (_RUN.search(text) is not None or _MIXED.match(text) is not None)
        and _WORDS.fullmatch(text) is None
        and _UUID.fullmatch(text) is None
    )


def redacted(query: bytes, shown: Shown = NONE) -> str:
    """The query with the names of its parameters, and the values of those alone that are shown."""
    pairs = query.decode("latin-1").split("&", MOST_QUERY_NAMES)[:MOST_QUERY_NAMES]
    return "&".join([_redacted_pair(pair, shown) for pair in pairs])[:MOST_PATH]


def _redacted_pair(pair: str, shown: Shown) -> str:
    name, equals, value = pair.partition("=")
    if equals and _NAME.fullmatch(name) and not looks_like_a_key(name):
        told = name in shown and value.isascii() and value.isprintable()
        return f"{name}={value if told else REDACTED}"
    return REDACTED if pair else ""


def told_fields(fields: Fields) -> dict[str, tuple[str, ...]]:
    """The attributes of header fields, without what looks like a key."""
    return {name: tuple([told_value(each) for each in lines]) for name, lines in fields}


def told_value(line: str) -> str:
    """A field's value, whose words that look like keys or hold a password are not told."""
    if line == UNTOLD:
        return line
    parts = _APART.split(line)
    parts[::2] = [_part(each) for each in parts[::2]]
    return clean("".join(parts))[:MOST_TEXT]


def _part(part: str) -> str:
    scheme, separator, rest = part.partition("://")
    if separator:
        host, slash, path = rest.partition("/")
        if not (_HOST.fullmatch(host) and scheme.isalpha()):  # a user and a password, it may be
            return REDACTED
        host = ".".join([_segment(each) for each in host.split(".")])
        return f"{scheme}://{host}{_reference(slash + path)}"
    if part.startswith("/"):
        return _reference(part)
    words = _BETWEEN.split(part)
    words[::2] = [REDACTED if looks_like_a_key(each) else each for each in words[::2]]
    return "".join(words)


def _reference(reference: str) -> str:
    """A path and its query, of which the names alone are told."""
    path, mark, query = reference.partition("?")
    told = "/".join([_segment(each) for each in path.split("/")])
    return f"{told}?{redacted(query.encode('latin-1', 'replace'))}" if mark else told


def clean(text: str) -> str:
    """The text, if need be without what cannot be encoded."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
