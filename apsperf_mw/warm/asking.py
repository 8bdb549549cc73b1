"""Asking an app in this process for a page, as a server would."""

from __future__ import annotations

import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping, Sequence

    from apsperf_mw.asgi import ASGIApp, Scope
    from apsperf_mw.warm.origin import Origin
    from apsperf_mw.wsgi import Environ, WSGIApp

    Field = tuple[str, str]

USER_AGENT = "apsperf-warm"


class Answer(Struct):
    """The head of a response, and as much of its body as was asked for."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""

    def lines(self, name: str) -> list[str]:
        """All field lines of this lower-case name, in order."""
        return [value for known, value in self.headers if known.lower() == name]


class Asker(Protocol):
    """Sends one GET and reads the response to its end.

    What goes wrong is raised as it comes. Whoever asks bounds the time by cancelling: a thread
    at work then goes on to the next chunk of the body, and no further.
    """

    async def ask(self, target: str, headers: Sequence[Field], keep: int = 0) -> Answer:
        """The answer, with up to `keep` bytes of its body."""
        ...


class NoResponse(Exception):
    """The app has returned without a response."""


class Taken:
    """What has come of a response; `gone` tells the one who sends it that nobody waits."""

    def __init__(self, keep: int) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.gone = False
        self._body = bytearray()
        self._keep = keep

    def chunk(self, data: bytes) -> None:
        """One part of the body."""
        room = self._keep - len(self._body)
        if room > 0:
            self._body += data[:room]

    def answer(self) -> Answer:
        """What it came to; `NoResponse` where there was no head."""
        if not self.status:
            raise NoResponse("the app sent no response")
        return Answer(self.status, self.headers, bytes(self._body))


class ASGIAsker:
    """Asks an ASGI app in the running loop; `state` is what its lifespan has left."""

    def __init__(self, app: ASGIApp, origin: Origin, state: MutableMapping[str, Any]) -> None:
        self._app = app
        self._origin = origin
        self._state = state

    async def ask(self, target: str, headers: Sequence[Field], keep: int = 0) -> Answer:
        """As `Asker` says; also the app's background tasks are waited for."""
        from anyio import Event
        from anyio.lowlevel import checkpoint

        taken, over = Taken(keep), Event()
        messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> MutableMapping[str, Any]:
            for message in messages:
                return message
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                taken.status = message["status"]
                taken.headers = [_text(field) for field in message.get("headers", ())]
            elif message["type"] == "http.response.body":
                taken.chunk(message.get("body", b""))
                if not message.get("more_body", False):
                    over.set()
                await checkpoint()  # lets the time run out for a body without an end

        await self._app(self.scope(target, headers), receive, send)
        return taken.answer()

    def scope(self, target: str, headers: Sequence[Field]) -> Scope:
        """The scope of a GET, in the form of the usual servers."""
        path, _, query = target.partition("?")
        fields = [("host", self._origin.host), ("user-agent", USER_AGENT), *headers]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": self._origin.scheme,
            "path": unquote_to_bytes(path).decode("utf-8", "replace"),
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in fields],
            "client": ("127.0.0.1", 0),
            "server": (self._origin.name, self._origin.port),
            "state": dict(self._state),
        }


class WSGIAsker:
    """Asks a WSGI app, each time in one of `threads` worker threads."""

    def __init__(self, app: WSGIApp, origin: Origin, threads: int) -> None:
        self._app = app
        self._origin = origin
        self._threads = threads
        self._limiter: Any = None

    async def ask(self, target: str, headers: Sequence[Field], keep: int = 0) -> Answer:
        """As `Asker` says."""
        from anyio import CapacityLimiter, to_thread

        self._limiter = self._limiter or CapacityLimiter(self._threads)
        taken = Taken(keep)
        environ = self.environ(target, headers)
        try:
            await to_thread.run_sync(
                self._serve, environ, taken, abandon_on_cancel=True, limiter=self._limiter
            )
        finally:
            taken.gone = True
        return taken.answer()

    def environ(self, target: str, headers: Sequence[Field]) -> Environ:
        """The environ of a GET, in the form of the usual servers."""
        path, _, query = target.partition("?")
        environ: Environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": target,
            "REQUEST_URI": target,
            "SERVER_NAME": self._origin.name,
            "SERVER_PORT": str(self._origin.port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": self._origin.host,
            "HTTP_USER_AGENT": USER_AGENT,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self._origin.scheme,
            "wsgi.input": BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        return environ | {f"HTTP_{n.upper().replace('-', '_')}": value for n, value in headers}

    def _serve(self, environ: Environ, taken: Taken) -> None:
        body = self._app(environ, _starts(taken))
        try:
            _pull(body, taken)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()


def _starts(taken: Taken) -> Callable[..., Callable[[bytes], object]]:
    def start_response(
        status: str, headers: list[tuple[str, str]], _: Any = None
    ) -> Callable[[bytes], object]:
        taken.status, taken.headers = int(status[:3]), list(headers)
        return taken.chunk

    return start_response


def _pull(body: Iterable[bytes], taken: Taken) -> None:
    for chunk in body:
        if taken.gone:
            return
        taken.chunk(chunk)


def _text(field: tuple[bytes, bytes]) -> tuple[str, str]:
    return bytes(field[0]).decode("latin-1"), bytes(field[1]).decode("latin-1")
