"""A request in the forms of both interfaces, and back."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from apsperf_mw.testing.messages import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apsperf_mw.asgi import Receive, Scope
    from apsperf_mw.exchange import Header

HOST = "shop.test"
# Where a WSGI app finds its exchange's plan.
PLAN_KEY = "apsperf.plan"


def as_bytes(headers: Iterable[tuple[str, str]]) -> list[Header]:
    """Fields as bytes of Latin-1."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def lowered(headers: Iterable[tuple[str, str]]) -> list[Header]:
    """Fields as ASGI wants them: names in lower case."""
    return [(name.lower(), value) for name, value in as_bytes(headers)]


def scope_of(request: Request) -> dict[str, Any]:
    """The ASGI scope of a request."""
    path, _, query = request.target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": lowered(request.headers),
        "client": ("192.0.2.1", 50000),
        "server": (HOST, 80),
        "state": {},
    }


def environ_of(request: Request) -> dict[str, Any]:
    """The WSGI environ of a request."""
    path, _, query = request.target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": HOST,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": BytesIO(request.body),
        "wsgi.errors": StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        if key not in {"CONTENT_LENGTH", "CONTENT_TYPE"}:
            key = "HTTP_" + key
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


async def request_of_scope(scope: Scope, receive: Receive) -> Request:
    """The request that an ASGI app sees."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    headers = tuple((name.decode(), value.decode("latin-1")) for name, value in scope["headers"])
    return Request(scope["method"], target.decode("latin-1"), headers, body, scope["scheme"])


def request_of_environ(environ: dict[str, Any]) -> Request:
    """The request that a WSGI app sees; without a raw target the decoded path stands for it."""
    query = environ["QUERY_STRING"]
    target = environ.get("RAW_URI") or environ["PATH_INFO"] + ("?" + query if query else "")
    headers = tuple(
        (key.removeprefix("HTTP_").replace("_", "-").lower(), value)
        for key, value in environ.items()
        if key.startswith("HTTP_") or key in {"CONTENT_LENGTH", "CONTENT_TYPE"}
    )
    body = environ["wsgi.input"].read(-1)
    return Request(environ["REQUEST_METHOD"], target, headers, body, environ["wsgi.url_scheme"])


def make_request(
    target: str = "/",
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    *,
    method: str = "GET",
    body: bytes = b"",
    scheme: str = "http",
) -> Request:
    """A request with a Host, unless one is given, and with the Content-Length of its body."""
    fields = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower() for name, _ in fields}
    if "host" not in names:
        fields.insert(0, ("Host", HOST))
    if body and not names & {"content-length", "transfer-encoding"}:
        fields.append(("Content-Length", str(len(body))))
    return Request(method, target, tuple(fields), body, scheme)
