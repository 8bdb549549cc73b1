"""Server spans: what they say, and the suite's own form of one until it is exported. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.observe.series import METHODS, VERSIONS, bounded_method, error_type

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.observe.series import Attributes

# Characters or bytes of one attribute at most; what waits for export holds no more.
MOST_PATH = 1024
MOST_TEXT = 256
MOST_QUERY = 4096
MOST_QUERY_NAMES = 64

REDACTED = "REDACTED"
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
# RFC 9110 §7.2: what a client asked for, so its form is checked; a literal of IPv6 or a name.
_AUTHORITY = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._~-]{1,253}))(?::([0-9]{1,5}))?"
)
_PORTS = {"http": 80, "https": 443}


class OwnSpan(Struct, eq=False):
    """The identity of a span that the suite makes itself; `parent_id` is 0 for a root.

    Ids of 0 are not drawn yet: of a span that is not sampled they may never be asked for.
    """

    trace_id: int
    span_id: int
    parent_id: int
    state: str
    sampled: bool


class Asked(Struct, gc=False, eq=False):
    """What a span says of a request, as scalars of bounded size."""

    method: str
    scheme: str
    path: str
    query: bytes
    version: str
    server: str
    port: int
    client: str
    agent: bytes


class Answered(Struct, gc=False, eq=False):
    """What a span says of a response."""

    route: str
    status: int
    error: str
    result: str
    sent_bytes: int


class FinishedSpan(Struct, gc=False, eq=False):
    """A span that waits for export; it holds scalars only."""

    span: OwnSpan
    asked: Asked
    answered: Answered
    start_ns: int
    end_ns: int


def asked(x: Exchange) -> Asked:
    """What is known of the request."""
    agents = x.fields(b"user-agent")
    server, port = authority(x)
    return Asked(
        x.method[:MOST_TEXT],
        x.scheme[:MOST_TEXT],
        x.path[:MOST_PATH],
        x.query[:MOST_QUERY],
        x.http_version,
        server,
        port,
        x.client[:MOST_TEXT],
        agents[0][:MOST_TEXT] if agents else b"",
    )


def answered(x: Exchange) -> Answered:
    """What is known of the response."""
    return Answered(x.route, x.status, x.error, x.result, x.sent_bytes)


def authority(x: Exchange) -> tuple[str, int]:
    """The host and port that the client asked for, else those that the server listens on.

    Host is believed, as the conventions want it; forwarding headers are the server's to judge.
    """
    hosts = x.fields(b"host")
    match = _AUTHORITY.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if match is None:
        host, port = x.server
        return host[:MOST_TEXT], port or 0
    literal, name, digits = match.groups()
    port = int(digits) if digits else _PORTS.get(x.scheme, 0)
    return (literal or name).decode("ascii"), port if port < 65536 else 0


def span_name(method: str, route: str) -> str:
    """`{method} {route}`, or the method alone where no route is known."""
    method = method if method in METHODS else "HTTP"
    return f"{method} {route}" if route else method


def first_attributes(asked: Asked) -> Attributes:
    """What is known when the span begins, and what samplers decide by."""
    method = bounded_method(asked.method)
    attributes: Attributes = {
        "http.request.method": method,
        "url.scheme": clean(asked.scheme),
        "url.path": clean(asked.path),
    }
    if method != asked.method:
        attributes["http.request.method_original"] = clean(asked.method)
    if asked.query:
        attributes["url.query"] = redacted(asked.query)
    if version := VERSIONS.get(asked.version):
        attributes["network.protocol.version"] = version
    if asked.server:
        attributes["server.address"] = clean(asked.server)
    if asked.port:
        attributes["server.port"] = asked.port
    if asked.client:
        attributes["client.address"] = attributes["network.peer.address"] = clean(asked.client)
    if asked.agent:
        attributes["user_agent.original"] = asked.agent.decode("latin-1")
    return attributes


def last_attributes(answered: Answered) -> Attributes:
    """What is known when the request is over."""
    hit = answered.result in {"hit", "collapsed"}
    attributes: Attributes = {"apsperf.cache.result": answered.result, "cache.hit": hit}
    if hit and answered.sent_bytes:
        attributes["cache.item_size"] = answered.sent_bytes
    if answered.status:
        attributes["http.response.status_code"] = answered.status
    if answered.route:
        attributes["http.route"] = answered.route
    if error := error_type(answered.status, answered.error):
        attributes["error.type"] = error
    return attributes


def redacted(query: bytes) -> str:
    """The query with the names of its parameters, and without anything that may be a value."""
    pairs = query.decode("latin-1").split("&", MOST_QUERY_NAMES)[:MOST_QUERY_NAMES]
    return "&".join(map(_redacted_pair, pairs))[:MOST_PATH]


def _redacted_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    if equals and _NAME.fullmatch(name):
        return f"{name}={REDACTED}"
    return REDACTED if pair else ""


def clean(text: str) -> str:
    """The text, if need be without what cannot be encoded."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
