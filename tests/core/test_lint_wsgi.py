"""The strict readers of WSGI find faults, and do not show in what they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from apsperf_mw.testing.forms import environ_of, make_request
from apsperf_mw.testing.lint_wsgi import lint_wsgi

if TYPE_CHECKING:
    from collections.abc import Iterable

LENGTH = ("Content-Length", "1")
TYPED = ("Content-Type", "text/html")


def ask(app: Any, method: str = "GET") -> tuple[str, list[tuple[str, str]], Any]:
    heard: list[Any] = []
    linted: Any = lint_wsgi(app)
    body = linted(environ_of(make_request(method=method)), lambda *said: heard.extend(said[:2]))
    close = getattr(body, "close", lambda: None)
    try:
        return heard[0], heard[1], body if type(body) is list else b"".join(body)
    finally:
        close()


def app_of(status: Any, headers: Any, body: Any) -> Any:
    def app(_: Any, start_response: Any) -> Iterable[bytes]:
        start_response(status, headers)
        return body  # type: ignore[no-any-return]

    return app


@pytest.mark.filterwarnings("ignore::werkzeug.middleware.lint.HTTPWarning")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("headers", [[], [TYPED]])
def test_what_is_said_goes_on_as_it_was(method: str, status: str, headers: Any) -> None:
    headers = [*headers, LENGTH] if method == "HEAD" else headers
    assert ask(app_of(status, headers, []), method) == (status, headers, [])


@pytest.mark.parametrize(("body", "seen"), [([b"a"], [b"a"]), (iter([b"a", b"b"]), b"ab")])
def test_a_list_stays_a_list(body: Any, seen: Any) -> None:
    assert ask(app_of("200 OK", [], body))[2] == seen


WRONG: list[tuple[Any, Any, Any]] = [
    (200, [], []),
    ("20 OK", [], []),
    ("200 OK", (), []),
    ("200 OK", [["X-A", "b"]], []),
    ("200 OK", [("X-A", b"b")], []),
    ("200 OK", [("X-A", "b\n")], []),
    ("200 OK", [LENGTH], [b"ab"]),
    ("200 OK", [], ["text"]),
    ("200 OK", [], "text"),
]


@pytest.mark.parametrize(("status", "headers", "body"), WRONG)
def test_what_is_wrong_is_found(status: Any, headers: Any, body: Any) -> None:
    with pytest.raises((AssertionError, TypeError, ValueError, Warning)):
        ask(app_of(status, headers, body))


def test_an_input_is_read_by_its_lines_too() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return environ["wsgi.input"].readlines()  # type: ignore[no-any-return]

    linted: Any = lint_wsgi(lint_wsgi(app))
    environ = environ_of(make_request(method="POST", body=b"a\nb"))
    assert linted(environ, lambda *_: None) == [b"a\n", b"b"]


def test_an_app_that_starts_no_response_is_found() -> None:
    with pytest.raises((AssertionError, Warning)):
        ask(lambda *_: [b"x"])
