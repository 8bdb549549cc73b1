"""What a WSGI app answers, passed on as the server pulls it; the cache records what passes."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.cache.entry import Entry
from apsperf_mw.cache.flights import Outcome
from apsperf_mw.cache.revival import CONDITIONS, PERSONAL, in_doubt
from apsperf_mw.cache.rules.reuse import STALE_STATUSES
from apsperf_mw.cache.screen import environ_name
from apsperf_mw.runtime.step import step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from apsperf_mw.exchange import Header
    from apsperf_mw.wsgi import Environ, StartResponse, Write, WSGIShell
    from apsperf_mw.wsgi_gate import WSGIExchange


class Head(Struct, eq=False):
    """The `start_response` that the app gets.

    `instead` is the body of the entry that answers in place of the app; all that the app gives
    is dropped then.
    """

    _shell: WSGIShell
    _x: WSGIExchange
    _start: StartResponse
    _write: Write | None = None
    started: bool = False
    instead: bytes | None = None

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Write:
        """Pass the head on with our fields; an error page in place of a head is not stored."""
        shell, x = self._shell, self._x
        if type(headers) is not list:
            headers = list(headers)  # they are read more than once
        try:
            if self.started:
                shell.begin_again(x)
            # What comes first may be a failure that a stale entry stands in for.
            elif exc_info is not None and int(status[:3]) not in STALE_STATUSES:
                shell.cache.drop(x, Outcome.UNCACHEABLE)
            out = shell.begin(x, status, headers)
        except Exception as fault:
            shell.note(x, "the cache's reading of a response", fault)
            out = in_doubt(x) or list(headers)
        if isinstance(out, Entry):
            self.give(out)
            return _drop
        self.started = True
        if exc_info is None:
            self._write = self._start(status, out)
        else:
            self.instead = None
            self._write = self._start(status, out, exc_info)
        return self.write

    def write(self, chunk: bytes) -> object:
        """Record what the app writes by itself (PEP 3333), and pass it on."""
        assert self._write is not None
        self._shell.record(self._x, chunk)
        return self._write(chunk)

    def give(self, entry: Entry) -> None:
        """Have the entry answer in place of the app."""
        shell, x = self._shell, self._x
        line, out, self.instead = shell.reply(x, entry)
        self.started = True
        shell.finish_now(x, shell.land(x, entry))
        self._start(line, out)

    def rescues(self, error: BaseException) -> bool:
        """Whether a stale entry stands in for an exception; only where nothing is out yet."""
        entry = None if self.started else self._shell.stand_in(self._x, error)
        if entry is None:
            return False
        self.give(entry)
        return True

    def take_instead(self) -> bytes:
        """The body in place of the app's, which ends the response."""
        assert self.instead is not None
        self._shell.hooks.end(self._x)
        return self.instead


class Pull:
    """The app's body as the server pulls it; nothing is read ahead."""

    __slots__ = ("_body", "_head", "_next", "_over", "_shell", "_x")

    def __init__(
        self, shell: WSGIShell, x: WSGIExchange, head: Head, body: Iterable[bytes]
    ) -> None:
        self._shell = shell
        self._x = x
        self._head = head
        self._body = body
        self._next: Callable[[], bytes] | None = None
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._replaced():
            return self._instead()
        shell, x = self._shell, self._x
        entered = shell.hooks.enter(x)
        try:
            chunk = self._advance()
        except StopIteration:
            if self._replaced():  # the head came with the body's end
                return self._instead()
            shell.settle(x)
            shell.hooks.end(x)
            shell.let_go_now()
            raise
        except BaseException as error:
            if self._head.rescues(error):
                return self._instead()
            shell.fail(x, error)
            raise
        finally:
            shell.hooks.leave(x, entered)
        if self._replaced():  # the head came with the first chunk
            return self._instead()
        if shell.record(x, chunk):
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
        if x.voids:
            step(shell.void_again(x))
        shell.hooks.end(x)
        shell.let_go_now()

    def _replaced(self) -> bool:
        return self._head.instead is not None

    def _instead(self) -> bytes:
        if self._over:
            raise StopIteration
        self._over = True
        return self._head.take_instead()

    def _advance(self) -> bytes:
        if self._next is None:
            self._next = iter(self._body).__next__
        return self._next()


def asking_environ(environ: Environ, asked: Iterable[Header]) -> Environ:
    """The environ with our conditional fields in place of the client's."""
    ours = {environ_name(name.decode("latin-1")): value.decode("latin-1") for name, value in asked}
    theirs = {environ_name(name.decode("latin-1")) for name in CONDITIONS}
    return {name: value for name, value in environ.items() if name not in theirs} | ours


# What a request of our own takes over from the one that it follows (PEP 3333).
RENEWED_KEYS = (
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "RAW_URI",
    "REQUEST_URI",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "SERVER_SOFTWARE",
    "wsgi.version",
    "wsgi.url_scheme",
    "wsgi.errors",
    "wsgi.multiprocess",
)


def renewing_environ(x: WSGIExchange, entry: Entry, trusted: frozenset[bytes]) -> Environ:
    """An environ of our own: the URL and what selects the variant, nothing of the client."""
    names = ({*entry.vary} - PERSONAL) | {b"host"} | trusted
    selecting = [environ_name(name.decode("latin-1")) for name in names]
    environ = {name: x.raw[name] for name in (*RENEWED_KEYS, *selecting) if name in x.raw}
    return {
        **environ,
        "REQUEST_METHOD": "GET",
        "REMOTE_ADDR": "",
        "wsgi.input": BytesIO(b""),
        "wsgi.multithread": True,
        "wsgi.run_once": False,
    }


def swallow(status: str, headers: object, exc_info: object = None) -> Write:  # noqa: ARG001
    """The start_response of a request of our own."""
    return _drop


def _drop(chunk: bytes) -> None:
    """What is written is for nobody."""
