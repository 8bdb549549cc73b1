"""The fronts before a shell of either kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.wire import as_text
from apsperf_mw.http.status import STATUS_LINES
from apsperf_mw.ops.fronts import Asked
from apsperf_mw.profiling.requests import FIELD, PARAMETER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.asgi import ASGIShell, Receive, Scope, Send
    from apsperf_mw.ops.fronts import Fronts
    from apsperf_mw.profiling.requests import Profiles
    from apsperf_mw.wsgi import Environ, StartResponse, WSGIShell


class FrontedASGI:
    """An ASGI shell with the fronts before it."""

    def __init__(self, shell: ASGIShell, fronts: Fronts) -> None:
        self.app = shell
        self._fronts = fronts
        self._paths = fronts.paths
        self._profiles = fronts.profiles

    async def _profiled(self, profiles: Profiles, scope: Scope, receive: Receive) -> Any:
        """The profile of a request that asks for it with the token, or None."""
        wish = None
        for name, value in scope["headers"]:
            if name == FIELD:
                wish = wish or profiles.wish(value)
        if PARAMETER in scope["query_string"]:
            found, query = profiles.asked(scope["query_string"])
            wish, scope = wish or found, {**scope, "query_string": query}
        if wish is None:
            return None
        return await profiles.asgi(self.app.app, scope, receive, wish)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "lifespan":
            self._fronts.begin()  # the server has set its own handlers of signals by now
        elif kind == "http":
            if self._profiles is not None:
                answer = await self._profiled(self._profiles, scope, receive)
                if answer is not None:
                    await _send(answer, scope["method"], send)
                    return
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if path in self._paths:
                self._fronts.begin()
                asked = Asked(scope["method"], lambda name: _field(scope, name.encode("ascii")))
                answer = await self._fronts.aanswer(path, asked)
                if answer is not None:
                    await _send(answer, scope["method"], send)
                    return
        await self.app(scope, receive, send)


class FrontedWSGI:
    """A WSGI shell with the fronts before it."""

    def __init__(self, shell: WSGIShell, fronts: Fronts) -> None:
        self.app = shell
        self._fronts = fronts
        self._paths = fronts.paths
        self._profiles = fronts.profiles
        fronts.begin()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        wish = None if self._profiles is None else self._profiles.wish_in(environ)
        if self._profiles is not None and wish is not None:
            page = self._profiles.wsgi(self.app.app, environ, wish)
            start_response(STATUS_LINES[page.status], list(as_text(tuple(page.headers))))
            return [page.body]
        path = environ.get("PATH_INFO", "")
        if path in self._paths:
            self._fronts.begin()
            method = environ.get("REQUEST_METHOD", "")
            asked = Asked(method, lambda name: environ.get(f"HTTP_{name.upper()}", ""))
            answer = self._fronts.answer(path, asked)
            if answer is not None:
                start_response(STATUS_LINES[answer.status], list(as_text(tuple(answer.headers))))
                return [b"" if method == "HEAD" else answer.body]
        return self.app(environ, start_response)


def _field(scope: Scope, name: bytes) -> str:
    lines = [value for field, value in scope["headers"] if field == name]
    return b", ".join(lines).decode("latin-1")


async def _send(answer: Any, method: str, send: Send) -> None:
    body = b"" if method == "HEAD" else answer.body
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": body})
