"""Plain reverse proxies in front of the tests' origin, with the suite round them.

Each passes a request on to the origin and its response back as they are. A body goes back
as it comes, chunk by chunk, so what is stored must be stored on the way.
"""

from __future__ import annotations

import asyncio
import os
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from apsperf_mw import Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Fields = list[tuple[str, str]]

ORIGIN_PORT = "CONFORMANCE_ORIGIN_PORT"
TIMEOUT_S = 20.0
CHUNK_BYTES = 65_536
PATH_SAFE = "/:@!$&'()*+,;=~-._"
# RFC 9110 §7.6.1: of one connection, never of the next one.
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}
)
# What the origin says of the connection to it. Other names that the field lists pass, with their
# fields, although a proxy drops them: to leave them out of what is stored is up to the cache.
OWN_OPTIONS = frozenset({"close", "keep-alive"})


def suite() -> Suite:
    """The suite as it is tested: four settings of the cache, and no default lifetime."""
    cache = {
        "stale_on_error": True,
        "heuristic": True,
        "store_set_cookie": True,
        "share_with_cookie": True,
    }
    return Suite(cache=cache, tracing={"enabled": False})


def asgi() -> Any:
    """The ASGI app that a server loads."""
    return suite().asgi(asgi_proxy)


def wsgi() -> Any:
    """The WSGI app that a server loads."""
    return suite().wsgi(wsgi_proxy)


async def asgi_proxy(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    path = scope.get("raw_path") or quote(scope["path"], PATH_SAFE).encode()
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    fields = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]
    ask = (scope["method"], (path + query).decode("latin-1"), fields, await read_all(receive))
    response = await asyncio.to_thread(fetch, *ask)
    headers = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in passed_on(response)]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    chunks = read_chunks(response)
    while chunk := await asyncio.to_thread(next, chunks, b""):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def read_all(receive: Any) -> bytes:
    """The whole body of a request."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def wsgi_proxy(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    target = quote(path.encode("latin-1"), PATH_SAFE)
    query = "?" + environ["QUERY_STRING"] if environ.get("QUERY_STRING") else ""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    response = fetch(environ["REQUEST_METHOD"], target + query, environ_fields(environ), body)
    start_response(f"{response.status} {response.reason or 'Unknown'}", passed_on(response))
    return read_chunks(response)


def environ_fields(environ: dict[str, Any]) -> Fields:
    """The request's fields as far as an environ has them."""
    names = [name for name in environ if name.startswith("HTTP_")]
    fields = [(name.removeprefix("HTTP_").replace("_", "-"), environ[name]) for name in names]
    if environ.get("CONTENT_TYPE"):
        fields.append(("Content-Type", environ["CONTENT_TYPE"]))
    return fields


class OriginGone(Exception):
    """The origin has hung up; a plain error, so that no server takes it for a client that left."""


def fetch(method: str, target: str, fields: Fields, body: bytes) -> HTTPResponse:
    """The origin's response, its body still unread."""
    connection = HTTPConnection("127.0.0.1", int(os.environ[ORIGIN_PORT]), timeout=TIMEOUT_S)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    dropped = HOP_BY_HOP | options(fields) | {"content-length"}
    for name, value in fields:
        if name.lower() not in dropped:
            connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.putheader("Connection", "close")
    connection.endheaders(body or None)
    try:
        return connection.getresponse()
    except ConnectionError as error:
        raise OriginGone from error


def read_chunks(response: HTTPResponse) -> Iterator[bytes]:
    """The body as it comes; one that ends too early is an error."""
    with response:
        while chunk := response.read1(CHUNK_BYTES):
            yield chunk
        if response.length:
            raise IncompleteRead(b"", response.length)


def passed_on(response: HTTPResponse) -> Fields:
    """The response's fields in order, without those of the connection that it came by."""
    fields = response.getheaders()
    others = sorted(options(fields) - OWN_OPTIONS)
    return [
        (name, ", ".join(others) if name.lower() == "connection" else value)
        for name, value in fields
        if name.lower() != "transfer-encoding" and (name.lower() != "connection" or others)
    ]


def options(fields: Fields) -> frozenset[str]:
    """What the Connection fields list, lower case."""
    values = [value for name, value in fields if name.lower() == "connection"]
    listed = (option.strip().lower() for value in values for option in value.split(","))
    return frozenset(option for option in listed if option)
