"""Strict readers of WSGI: wsgiref's validator and werkzeug's lint, both round one app.

Both hold an app to more than PEP 3333 asks: a Content-Type on every response with a body and none
on the others, and a Content-Length that is that of the body, on the response to a HEAD too. Here
they are shown such fields, and what the app said goes on as it was.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

BODILESS = ("204", "304")


def lint_wsgi(app: WSGIApp) -> WSGIApp:
    """The app between both readers; what is said wrongly raises `AssertionError`, or warns."""
    from werkzeug.middleware.lint import LintMiddleware

    def serve(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        said: list[Any] = []
        whole = False

        def within(environ: Environ, start: StartResponse) -> Iterable[bytes]:
            def start_shown(status: str, headers: Any, *error: Any) -> Any:
                said.append(headers)
                return start(status, shown(environ["REQUEST_METHOD"], status, headers), *error)

            nonlocal whole
            environ["wsgi.input"] = WithLines(environ["wsgi.input"])
            body = app(environ, start_shown)
            whole = type(body) is list
            return body

        def start_said(status: str, _: Any, *error: Any) -> Any:
            return start_response(status, said[-1], *error)

        linted: Any = validator(LintMiddleware(within))
        body = linted(environ, start_said)
        return drained(body) if whole else body

    return serve


def drained(body: Any) -> list[bytes]:
    """A list stays one: who reads its length sees it as without the readers."""
    try:
        return list(body)
    finally:
        body.close()


class WithLines:
    """An input with the method that werkzeug's has not and wsgiref's wants."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def readlines(self, *hint: int) -> list[bytes]:
        """The lines of all that is left; the hint may be taken for it."""
        return BytesIO(self._stream.read(-1)).readlines(*hint)


def shown(method: str, status: str, headers: Any) -> Any:
    """The fields that the readers see of a response."""
    if type(headers) is not list or type(status) is not str:
        return headers
    if method == "HEAD":
        headers = [field for field in headers if not is_of("content-length", field)]
    others = [field for field in headers if not is_of("content-type", field)]
    if status.startswith(BODILESS):
        return others
    return [*headers, ("Content-Type", "text/plain")] if len(others) == len(headers) else headers


def is_of(name: str, field: Any) -> bool:
    """Whether it is a field of this name."""
    return type(field) is tuple and str(field[0]).lower() == name
