"""The WSGI shell (PEP 3333)."""

from __future__ import annotations

from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.flights import Outcome
from apsperf_mw.cache.keys import environ_key
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.rules import SAFE_METHODS
from apsperf_mw.cache.screen import environ_name, environ_table, scan_environ
from apsperf_mw.cache.wire import (
    app_status,
    as_text,
    collapsed_status,
    environ_head,
    without_body,
)
from apsperf_mw.drivers.faces import thread_face
from apsperf_mw.exchange import Exchange
from apsperf_mw.runtime.step import step
from apsperf_mw.shell import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.drivers.faces import Face
    from apsperf_mw.exchange import Header
    from apsperf_mw.suite import Suite

    Environ = dict[str, Any]
    Write = Callable[[bytes], object]
    StartResponse = Callable[..., Write]
    WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class WSGIExchange(Exchange, eq=False):
    """An exchange over a WSGI environ."""

    def fields(self, name: bytes) -> Sequence[bytes]:
        """The request field of this lower-case name; the server has joined its lines."""
        value = self.raw.get(environ_name(name.decode("latin-1")))
        return () if value is None else (value.encode("latin-1"),)

    @property
    def scheme(self) -> str:
        """The URL scheme, lower case."""
        scheme: str = self.raw["wsgi.url_scheme"]
        return scheme

    @property
    def path(self) -> str:
        """The decoded path that the app sees, with its mount point."""
        path: str = self.raw.get("SCRIPT_NAME", "") + self.raw.get("PATH_INFO", "")
        return path.encode("latin-1").decode("utf-8", "replace")

    @property
    def query(self) -> bytes:
        """The raw query without its question mark."""
        query: str = self.raw.get("QUERY_STRING", "")
        return query.encode("latin-1")

    @property
    def http_version(self) -> str:
        """`1.0`, `1.1`, `2` or `3`."""
        protocol: str = self.raw.get("SERVER_PROTOCOL", "HTTP/1.1")
        return protocol.removeprefix("HTTP/")

    @property
    def client(self) -> str:
        """The peer's address as the server gave it, or an empty string."""
        client: str = self.raw.get("REMOTE_ADDR", "")
        return client

    @property
    def server(self) -> tuple[str, int | None]:
        """The host and port that the server listens on, as it gave them."""
        port = str(self.raw.get("SERVER_PORT", ""))
        return self.raw.get("SERVER_NAME", ""), int(port) if port.isdecimal() else None


class WSGIGate(Gate):
    """Screens requests by their environ."""

    def __init__(self, suite: Suite, face: Face) -> None:
        super().__init__(suite, face)
        self._names = environ_table(suite.settings.cache)
        self._noted = frozenset(self._names)

    def admit(self, x: Exchange) -> bool:
        """Give the request its flags and its key; False sends it round the cache."""
        environ = x.raw
        plain = x.method == "GET" and self.enabled and self._noted.isdisjoint(environ)
        if not plain and not self.weigh(x, scan_environ(environ, self._names)):
            if x.detail == "method" and x.method not in SAFE_METHODS:
                x.key = environ_key(environ)  # what its success makes void
            return False
        x.key = environ_key(environ)
        return True


class WSGIShell(WSGIGate):
    """A WSGI app with the suite round it."""

    def __init__(self, suite: Suite, app: WSGIApp) -> None:
        super().__init__(suite, thread_face(suite.driver("cache"), suite.faults))
        self.app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        x = WSGIExchange(environ, environ["REQUEST_METHOD"], monotonic())
        hooks = self.hooks
        entry = None
        try:
            admitted = self.admit(x)
            if hooks.starts:
                hooks.start(x)
            if admitted:
                entry = self.cache.glance(x) or step(self.cache.arrive(x, self.face))
        except Exception as fault:
            hooks.faults.note("the cache's look-up", fault)
        if entry is None:
            return self._run(x, environ, start_response)
        return self._serve(x, entry, start_response)

    def _serve(
        self, x: WSGIExchange, entry: Entry, start_response: StartResponse
    ) -> Iterable[bytes]:
        now = x.started if x.result == "hit" else monotonic()
        until, headers = entry.environ_wire
        if now >= until:
            headers = environ_head(entry, now, say=self.say)
        status, body, out = entry.status, entry.body, list(headers)
        if x.flags or x.method == "HEAD" or x.result == "collapsed":
            status, body, out = self._adapt(x, entry, now, headers)
        hooks = self.hooks
        if hooks.ends:
            x.status, x.head_at, x.sent_bytes = status, now, len(body)
            if hooks.heads:
                self.add(x, out)
        start_response(STATUS_LINES.get(status) or status_line(status), out)
        if hooks.ends:
            hooks.end(x)
        return [body]

    def _adapt(
        self, x: WSGIExchange, entry: Entry, now: float, headers: tuple[tuple[str, str], ...]
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        """Status, body and head for a request that is not the plainest one."""
        status, body = entry.status, entry.body
        if self.cache.not_modified(x, entry):
            status, body, headers = 304, b"", without_body(headers)
        elif x.method == "HEAD":
            body = b""
        out = list(headers)
        if self.say and x.result == "collapsed":
            out[-1:] = as_text((collapsed_status(entry, now),))
        return status, body, out

    def _run(
        self, x: WSGIExchange, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Run the app; its body passes through as the server pulls it."""
        # A dot in its name marks an extension (PEP 3333).
        x.plan = environ["apsperf.plan"] = Plan()
        entered = self.hooks.enter(x)
        try:
            body = self.app(environ, Head(self, x, start_response))
        except BaseException as error:
            self.fail(x, error)
            raise
        finally:
            self.hooks.leave(x, entered)
        if type(body) in {list, tuple}:
            return self._whole(x, body)
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            return self._file(x, body)
        return Pull(self, x, body)

    def _whole(self, x: WSGIExchange, body: Iterable[bytes]) -> Iterable[bytes]:
        """A body that is here already; servers read its length, so it stays what it is."""
        for chunk in body:
            self.record(x, chunk)
        self.settle(x)
        self.cache.drop(x, Outcome.UNCACHEABLE)  # where there was no head to read
        self.hooks.end(x)
        return body

    def _file(self, x: WSGIExchange, body: Any) -> Iterable[bytes]:
        """A file that the server may send by itself: it must get its own wrapper back."""
        self.cache.drop(x, Outcome.UNCACHEABLE)
        close = getattr(body, "close", None)

        def close_and_end() -> None:
            try:
                if close is not None:
                    close()
            finally:
                self.hooks.end(x)

        try:
            body.close = close_and_end
        except AttributeError:  # a wrapper of fixed form; its sending is not timed
            self.hooks.end(x)
        return body  # type: ignore[no-any-return]

    def begin(self, x: WSGIExchange, status: str, headers: list[tuple[str, str]]) -> None:
        """Read the app's head, and add our fields to it."""
        x.status = int(status[:3])
        x.head_at = monotonic()
        if self.enabled:
            stored = False
            if x.key is not None:
                if x.detail == "method":
                    step(self.cache.invalidate(x, self.face))
                stored = self.cache.begin(x, as_bytes(headers))
            if self.say:
                headers.extend(as_text((app_status(x, stored=stored),)))
        if self.hooks.heads:
            self.add(x, headers)

    def add(self, x: WSGIExchange, headers: list[tuple[str, str]]) -> None:
        """Let the observers add fields."""
        added: list[Header] = []
        self.hooks.head(x, added)
        headers.extend(as_text(tuple(added)))

    def record(self, x: WSGIExchange, chunk: bytes) -> None:
        """Record a chunk as it passes; whether it is one is for the server to say."""
        try:
            x.sent_bytes += len(chunk)
            self.cache.record(x, chunk)
        except Exception as fault:
            self.hooks.faults.note("the cache's recording", fault)
            self.cache.drop(x, Outcome.UNCACHEABLE)

    def settle(self, x: WSGIExchange) -> None:
        """Store before the last byte goes out, so that the next request finds it."""
        if x.tape is None:
            return
        try:
            later = self.cache.settle(x, self.face)
            if later is not None:
                step(later)
        except Exception as fault:
            self.hooks.faults.note("the cache's store", fault)

    def fail(self, x: WSGIExchange, error: BaseException) -> None:
        """The app raised: each follower asks for itself, as bare."""
        self.cache.drop(x, Outcome.UNCACHEABLE)
        self.hooks.end(x, error)


class Head:
    """The `start_response` that the app gets."""

    __slots__ = ("_shell", "_start", "_x")

    def __init__(self, shell: WSGIShell, x: WSGIExchange, start_response: StartResponse) -> None:
        self._shell = shell
        self._x = x
        self._start = start_response

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Write:
        """Pass the head on with our fields; an error page in place of a head is not stored."""
        shell, x = self._shell, self._x
        out = list(headers)
        try:
            if exc_info is not None:
                shell.cache.drop(x, Outcome.UNCACHEABLE)
            shell.begin(x, status, out)
        except Exception as fault:
            shell.hooks.faults.note("the cache's reading of a response", fault)
            shell.cache.drop(x, Outcome.UNCACHEABLE)
            out = list(headers)
        if exc_info is None:
            write = self._start(status, out)
        else:
            write = self._start(status, out, exc_info)

        def record_and_write(chunk: bytes) -> object:
            shell.record(x, chunk)
            return write(chunk)

        return record_and_write


class Pull:
    """The app's body as the server pulls it; nothing is read ahead."""

    __slots__ = ("_body", "_next", "_shell", "_x")

    def __init__(self, shell: WSGIShell, x: WSGIExchange, body: Iterable[bytes]) -> None:
        self._shell = shell
        self._x = x
        self._body = body
        self._next: Callable[[], bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        shell, x = self._shell, self._x
        entered = shell.hooks.enter(x)
        try:
            chunk = self._advance()
        except StopIteration:
            shell.settle(x)
            shell.hooks.end(x)
            raise
        except BaseException as error:
            shell.fail(x, error)
            raise
        finally:
            shell.hooks.leave(x, entered)
        shell.record(x, chunk)
        if x.tape is not None and x.tape.full:
            shell.settle(x)
        return chunk

    def close(self) -> None:
        """Close the app's body; a body closed before its end is not stored."""
        shell, x = self._shell, self._x
        shell.cache.drop(x, Outcome.FAILED)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            shell.hooks.end(x, error)
            raise
        shell.hooks.end(x)

    def _advance(self) -> bytes:
        if self._next is None:
            self._next = iter(self._body).__next__
        return self._next()


def as_bytes(headers: Iterable[tuple[str, str]]) -> list[Header]:
    """The fields as the cache reads them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def status_line(code: int) -> str:
    """The status line for a code that has no phrase of its own."""
    return f"{code} Unknown"


STATUS_LINES = {code.value: f"{code.value} {code.phrase}" for code in HTTPStatus}
