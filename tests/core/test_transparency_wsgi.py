"""Behind the WSGI shell an app behaves as it does bare (PEP 3333)."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from io import BytesIO, StringIO
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from apsperf_mw import Suite
from apsperf_mw.testing.forms import PLAN_KEY, environ_of, make_request

HEAD = [("Cache-Control", "max-age=60"), ("Content-Type", "text/plain")]


class Server:
    """Serves one request by hand and notes what the app did."""

    def __init__(self, app: Any, suite: Suite | None = None) -> None:
        self.suite = suite or Suite()
        self.shell = self.suite.wsgi(app)
        self.heads: list[tuple[str, list[tuple[str, str]], Any]] = []
        self.written: list[bytes] = []

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Any:
        if exc_info is not None and self.written:
            raise exc_info[1].with_traceback(exc_info[2])
        self.heads.append((status, headers, exc_info))
        return self.written.append

    def call(self, target: str = "/", extra: dict[str, Any] | None = None) -> Any:
        environ = environ_of(make_request(target)) | {"wsgi.errors": StringIO()} | (extra or {})
        return self.shell(environ, self.start_response)

    def serve(self, target: str = "/") -> bytes:
        body = self.call(target)
        try:
            self.written.extend(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        out = b"".join(self.written)
        self.written.clear()
        return out


def status_of(server: Server) -> str:
    return {name.lower(): value for name, value in server.heads[-1][1]}["cache-status"]


def test_start_response_may_come_with_the_first_chunk() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 Fine", list(HEAD))
        yield b"late"

    server = Server(app)
    body = server.call()
    assert server.heads == []
    assert next(body) == b"late"
    assert server.heads[0][0] == "200 Fine"
    assert list(body) == []
    body.close()
    assert server.serve() == b"late"
    assert "hit" in status_of(server)


@pytest.mark.parametrize("returned", [[], [b" and returned"], iter([b" and returned"])])
def test_what_is_written_goes_out_and_is_stored(returned: Any) -> None:
    parts = list(returned) if not isinstance(returned, list) else returned

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", list(HEAD))
        write(b"written")
        write(b" twice")
        return list(parts) if isinstance(returned, list) else iter(parts)

    server = Server(app)
    first = server.serve()
    assert first == b"written twice" + b"".join(parts)
    assert server.serve() == first
    assert "hit" in status_of(server)


def test_an_error_page_in_place_of_the_head_is_passed_on_and_not_stored() -> None:
    failing = [True]

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HEAD))
        if not failing[0]:
            return [b"page"]
        try:
            raise ValueError("broken")
        except ValueError:
            import sys

            start_response("500 Oops", list(HEAD), sys.exc_info())
        return [b"oops"]

    server = Server(app)
    assert server.serve() == b"oops"
    assert [status for status, _, _ in server.heads] == ["200 OK", "500 Oops"]
    assert isinstance(server.heads[1][2][1], ValueError)
    failing[0] = False
    assert server.serve() == b"page"
    assert "stored" in status_of(server)
    assert len(server.suite.responses.flights) == 0


def test_an_error_after_the_head_is_out_is_raised_by_the_server() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", list(HEAD))
        yield b"half"
        try:
            raise ValueError("broken")
        except ValueError:
            import sys

            start_response("500 Oops", list(HEAD), sys.exc_info())
        yield b"oops"

    server = Server(app)
    with pytest.raises(ValueError, match="broken"):
        server.serve()
    assert len(server.suite.responses.flights) == 0
    server.written.clear()
    with pytest.raises(ValueError, match="broken"):
        server.serve()


class Body:
    """An iterable with a close, as frameworks return it."""

    def __init__(self, parts: Iterable[bytes], closes: bool = True) -> None:
        self.parts = parts
        self.closed = 0
        self.iterated = 0
        if not closes:
            self.close = None  # type: ignore[assignment, method-assign]

    def __iter__(self) -> Iterator[bytes]:
        self.iterated += 1
        return iter(self.parts)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("take", [0, 1, 2, 3])
def test_close_is_called_once_however_far_the_body_was_read(take: int) -> None:
    bodies = [Body([b"a", b"b"])]

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HEAD))
        return bodies[-1]

    server = Server(app)
    body = server.call()
    iterator = iter(body)
    for _ in range(take):
        next(iterator, None)
    assert bodies[0].closed == 0
    body.close()
    assert (bodies[0].closed, bodies[0].iterated) == (1, min(take, 1))
    assert len(server.suite.responses.flights) == 0
    bodies.append(Body([b"a", b"b"]))
    assert server.serve() == b"ab"
    assert ("hit" in status_of(server)) is (take == 3)


def test_close_is_called_when_the_body_raises() -> None:
    def parts() -> Iterator[bytes]:
        yield b"a"
        raise LookupError

    body = Body(parts())

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HEAD))
        return body

    server = Server(app)
    with pytest.raises(LookupError):
        server.serve()
    assert body.closed == 1
    assert len(server.suite.responses.flights) == 0


def test_what_close_raises_goes_through() -> None:
    class Failing(Body):
        def close(self) -> None:
            super().close()
            raise LookupError

    body = Failing([b"a"])

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HEAD))
        return body

    with pytest.raises(LookupError):
        Server(app).serve()
    assert body.closed == 1


def test_a_generator_is_closed_where_it_stands() -> None:
    ended: list[str] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", list(HEAD))
        try:
            yield b"a"
            yield b"b"
        finally:
            ended.append("closed")

    server = Server(app)
    body = server.call()
    assert next(body) == b"a"
    body.close()
    assert ended == ["closed"]


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_body_that_is_whole_stays_so(kind: Any) -> None:
    """Servers take the Content-Length from a body of one piece."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HEAD))
        return returned

    returned: Iterable[bytes] = kind([b"page"])
    server = Server(app)
    assert server.call() is returned
    hit = server.call()
    assert (type(hit), hit) == (list, [b"page"])


def test_a_file_gets_back_to_the_server_that_made_its_wrapper() -> None:
    opened: list[BytesIO] = []

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HEAD))
        opened.append(BytesIO(b"file"))
        body: Iterable[bytes] = environ["wsgi.file_wrapper"](opened[-1])
        return body

    server = Server(app)
    for _ in range(2):
        body = server.call(extra={"wsgi.file_wrapper": FileWrapper})
        assert type(body) is FileWrapper
        assert list(body) == [b"file"]
        body.close()
        assert opened[-1].closed
    assert "hit" not in status_of(server)
    assert len(opened) == 2
    assert len(server.suite.responses.flights) == 0


def test_an_empty_chunk_is_passed_on() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HEAD))
        return iter([b"", b"a", b"", b"b", b""])

    server = Server(app)
    assert list(server.call()) == [b"", b"a", b"", b"b", b""]


def test_a_reused_buffer_does_not_change_what_is_stored() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[Any]:
        start_response("200 OK", list(HEAD))
        buffer = bytearray(b"aa")
        yield buffer
        buffer[:] = b"bb"
        yield buffer

    server = Server(app)
    assert [bytes(part) for part in server.call()] == [b"aa", b"bb"]
    assert server.serve() == b"aabb"
    assert "hit" in status_of(server)


@pytest.mark.parametrize("target", ["/", "/?a=1"])
def test_the_validator_finds_no_fault_on_either_side(target: str) -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        assert environ[PLAN_KEY] is not None
        write = start_response("200 OK", list(HEAD))
        assert write is not None
        return iter([b"a", b"b"])

    suite = Suite()
    shell: Any = validator(suite.wsgi(validator(app)))
    for method, headers in [
        ("GET", {}),
        ("GET", {}),
        ("HEAD", {}),
        ("POST", {}),
        ("GET", {}),
        ("GET", {"Range": "bytes=0-1"}),
        ("HEAD", {"If-None-Match": "*"}),
    ]:
        seen: list[str] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            seen.append(status)  # noqa: B023
            return lambda _: None

        environ = environ_of(make_request(target, headers, method=method))
        environ |= {"wsgi.errors": StringIO()}
        body = shell(environ, start_response)
        try:
            b"".join(body)
        finally:
            body.close()
        assert seen[0][:3] in {"200", "206", "304"}
    assert not suite.faults.counts


def test_the_environ_is_the_apps_own() -> None:
    """The very object that the server made: frameworks keep things in it."""
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        seen.append(environ)
        start_response("200 OK", list(HEAD))
        return [b"page"]

    environ = environ_of(make_request())
    suite = Suite()
    suite.wsgi(app)(environ, lambda *_: lambda _: None)
    assert seen[0] is environ


def test_context_variables_of_the_app_are_seen_in_its_body() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", list(HEAD))
        variable.set("set by the app")
        yield b"a"
        yield variable.get().encode()

    assert Server(app).serve() == b"aset by the app"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, LookupError])
def test_every_kind_of_exception_goes_through(error: type[BaseException]) -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        raise error

    server = Server(app)
    with pytest.raises(error):
        server.serve()
    assert len(server.suite.responses.flights) == 0


BROKEN: list[tuple[str, Callable[[Any], Any]]] = [
    ("no head", lambda start_response: [b"page"]),
    ("text", lambda start_response: start_response("200 OK", list(HEAD)) and ["page"]),
    ("none", lambda start_response: start_response("200 OK", list(HEAD)) and [None]),
    ("nothing", lambda start_response: start_response("200 OK", list(HEAD)) and None),
    ("no head, streamed", lambda start_response: iter([b"page"])),
    (
        "text, streamed",
        lambda start_response: start_response("200 OK", list(HEAD)) and iter(["page"]),
    ),
]


@pytest.mark.parametrize(("name", "broken"), BROKEN, ids=[name for name, _ in BROKEN])
def test_an_app_that_breaks_the_protocol_leaves_no_flight(
    name: str, broken: Callable[[Any], Any]
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        return broken(start_response)

    server = Server(app)
    for _ in range(2):
        with suppress(TypeError, AssertionError):
            server.serve()
        assert len(server.suite.responses.flights) == 0


def test_a_status_line_that_cannot_be_read_is_passed_on() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("OK", [("X-A", "snow \N{SNOWMAN}")])
        return [b"page"]

    server = Server(app)
    assert server.serve() == b"page"
    assert server.heads[0][:2] == ("OK", [("X-A", "snow \N{SNOWMAN}")])
    assert server.suite.faults.counts.total() == 1
    assert len(server.suite.responses.flights) == 0


def test_what_the_server_does_to_a_list_of_headers_reaches_no_entry() -> None:
    given = list(HEAD)

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", given)
        return [b"page"]

    server = Server(app)
    server.serve()
    assert given == HEAD
    for _ in range(3):
        server.serve()
        _, headers, _ = server.heads[-1]
        assert [name for name, _ in headers][:2] == ["Cache-Control", "Content-Type"]
        headers.clear()
        headers.append(("X-Evil", "1"))
        given.append(("X-Evil", "2"))


def test_what_is_done_to_a_returned_body_reaches_no_entry() -> None:
    returned = [b"page"]

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HEAD))
        return returned

    server = Server(app)
    for _ in range(3):
        body = server.call()
        assert body == [b"page"]
        body[0] = b"evil"
        returned = [b"page"]


def test_a_plan_that_turns_private_while_the_body_is_made_is_heeded() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HEAD))
        yield b"pa"
        environ[PLAN_KEY].private = environ["PATH_INFO"] == "/session"
        yield b"ge"

    server = Server(app)
    for path, hits in (("/session", False), ("/other", True)):
        for _ in range(2):
            assert server.serve(path) == b"page"
        assert ("hit" in status_of(server)) is hits


def test_what_is_done_to_the_environ_reaches_no_entry() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(HEAD))
        environ[PLAN_KEY] = None
        environ["PATH_INFO"] = "/evil"
        environ["HTTP_HOST"] = "evil.test"
        environ.pop("QUERY_STRING")
        return [b"page"]

    server = Server(app)
    server.serve("/a")
    assert server.serve("/a") == b"page"
    assert "hit" in status_of(server)
    assert server.serve("/evil") == b"page"
    assert "hit" not in status_of(server)
