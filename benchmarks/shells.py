"""Both kinds of app behind one form: making requests, driving an app with them, asking once.

Every request is made of objects of its own, as a server makes them: a string that is used twice
brings its hash along and flatters whoever looks it up.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import DictASGI, DictWSGI, asgi_app, wsgi_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw import Suite
    from benchmarks.contenders import DictCache

    App = Callable[..., Any]
    Request = dict[str, Any]
    Fields = tuple[tuple[str, str], ...]

PATH = "/albums/23"
FIELDS: Fields = (
    ("host", "shop.example:8000"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("connection", "keep-alive"),
    ("referer", "http://shop.example:8000/charts"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("priority", "u=0, i"),
)
_numbers = count()


@dataclass(frozen=True)
class Reply:
    """A response's status and its fields by lower-case name."""

    status: int
    fields: dict[str, str]


@dataclass(frozen=True)
class Shell:
    """One kind of app, made of its Cache-Control and more fields.

    `request` makes one of a path and its fields, from fresh objects.
    """

    name: str
    app: Callable[[str, Fields], App]
    in_dict: Callable[[App, int], DictCache]
    wrap: Callable[[Suite, App], App]
    request: Callable[[str, Fields], Request]
    drive: Callable[[App, Iterable[Request]], None]
    ask: Callable[[App, Request], Reply]


def fresh_path() -> str:
    """A path that was not asked for before."""
    return f"/tracks/{next(_numbers)}"


def scope_of(path: str, fields: Fields) -> Request:
    """A scope as uvicorn makes it, but for the app's state and the addresses."""
    raw = path.encode()
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50_000),
        "scheme": "http",
        "root_path": "",
        "method": "GET",
        "path": raw.decode(),
        "raw_path": raw,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in fields],
        "state": {},
    }


def environ_of(path: str, fields: Fields) -> Request:
    """An environ as gunicorn makes it."""
    named = {"HTTP_" + name.upper().replace("-", "_"): _copy(value) for name, value in fields}
    return {
        "wsgi.errors": None,
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input": None,
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
        "SERVER_SOFTWARE": "gunicorn",
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "",
        "RAW_URI": _copy(path),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "PATH_INFO": _copy(path),
        "SCRIPT_NAME": "",
        **named,
    }


def _copy(text: str) -> str:
    return text.encode().decode()


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_message: object) -> None:
    pass


def _start(_status: str, _headers: object, _exc_info: object = None) -> None:
    pass


def drive_asgi(app: App, scopes: Iterable[Request]) -> None:
    """Run the app once a scope, without an event loop: nothing in these apps suspends."""
    for scope in scopes:
        try:
            app(scope, _receive, _send).send(None)
        except StopIteration:
            continue
        raise RuntimeError("the app suspended where nothing should")


def drive_wsgi(app: App, environs: Iterable[Request]) -> None:
    """Run the app once an environ; the bodies are lists of one chunk."""
    for environ in environs:
        app(environ, _start)


def ask_asgi(app: App, scope: Request) -> Reply:
    """The app's response to one request."""
    starts: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            starts.append(message)

    drive_asgi(lambda *channel: app(*channel[:2], send), [scope])
    headers = starts[0]["headers"]
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    return Reply(starts[0]["status"], fields)


def ask_wsgi(app: App, environ: Request) -> Reply:
    """The app's response to one request."""
    heads: list[tuple[str, list[tuple[str, str]]]] = []
    app(environ, lambda *head: heads.append(head[:2]))
    status, headers = heads[0]
    return Reply(int(status[:3]), {name.lower(): value for name, value in headers})


ASGI = Shell(
    "asgi",
    asgi_app,
    lambda app, most: DictASGI(app, most=most),
    lambda suite, app: suite.asgi(app),
    scope_of,
    drive_asgi,
    ask_asgi,
)
WSGI = Shell(
    "wsgi",
    wsgi_app,
    lambda app, most: DictWSGI(app, most=most),
    lambda suite, app: suite.wsgi(app),
    environ_of,
    drive_wsgi,
    ask_wsgi,
)
SHELLS = (ASGI, WSGI)
