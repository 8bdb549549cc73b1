"""The WSGI shell (PEP 3333)."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.conditional import not_modified
from apsperf_mw.cache.faces import thread_face
from apsperf_mw.cache.flights import Outcome
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.revival import questions, revive
from apsperf_mw.cache.screen import ADAPTED, RANGE
from apsperf_mw.cache.serving import reply
from apsperf_mw.cache.wire import as_bytes, as_text, environ_head, said, shown, slim
from apsperf_mw.guards import certified
from apsperf_mw.http.status import STATUS_LINES, status_line
from apsperf_mw.observe.timing import REQUEST_ID
from apsperf_mw.pull import Head, Pull, asking_environ, renewing_environ, swallow
from apsperf_mw.runtime.step import step
from apsperf_mw.wsgi_gate import WSGIExchange, WSGIGate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.flow import Later
    from apsperf_mw.exchange import Header
    from apsperf_mw.suite import Suite

    Environ = dict[str, Any]
    Write = Callable[[bytes], object]
    StartResponse = Callable[..., Write]
    WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

ID_NAME = REQUEST_ID.decode("ascii")


class WSGIShell(WSGIGate):
    """A WSGI app with the suite round it."""

    def __init__(self, suite: Suite, app: WSGIApp) -> None:
        super().__init__(suite, suite.face(thread_face))
        self.app = app
        self._suite = suite

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        x = WSGIExchange(environ, environ.get("REQUEST_METHOD", ""), monotonic())
        return self.go_on(x, self.look(x), environ, start_response)

    def go_on(
        self, x: WSGIExchange, entry: Entry | None, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve a request for which the entry, or none, was found at once."""
        if entry is None and x.result == "miss" and x.flight is None:
            entry = step(self.wait(x))
        if entry is None:
            return self._run(x, environ, start_response)
        if x.renewal is not None:
            self._renew(x, entry)
        line, out, body = self.reply(x, entry)
        start_response(line, out)
        if self.hooks.ends:
            self.hooks.end(x)
        return [body]

    def reply(self, x: WSGIExchange, entry: Entry) -> tuple[str, list[tuple[str, str]], bytes]:
        """Status line, head and body for a response from the entry."""
        flags = x.flags & ADAPTED
        if x.result != "hit" or flags & RANGE or x.method != "GET":
            now = x.head_at = monotonic()
            status, fields, body = reply(x, entry, now, say=self.say)
            out = list(as_text(tuple(fields)))
        else:
            now = x.head_at = x.started
            until, headers = entry.environ_wire
            if now >= until:
                headers = environ_head(entry, now, say=self.say)
            if flags and not_modified(x, entry):
                status, out, body = 304, list(slim(entry, headers)), b""
            else:
                status, out, body = entry.status, list(headers), entry.body
        x.status = status
        x.sent_bytes = len(body)
        x.chunks = 1
        if self.says_key and x.key is not None:
            out[-1] = (out[-1][0], out[-1][1] + shown(x.key).decode("ascii"))
        if self.hooks.look_on:
            self.add(x, out)
        return STATUS_LINES.get(status) or status_line(status), out, body

    def _run(
        self, x: WSGIExchange, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Run the app; its body passes through as the server pulls it."""
        asked = questions(x) if x.stale is not None else ()
        if asked:
            environ = asking_environ(environ, asked)
        # A dot in its name marks an extension (PEP 3333).
        x.plan = environ["apsperf.plan"] = Plan()
        x.raw = dict(x.raw)  # what it was asked with: an app may change its own environ
        head = Head(self, x, start_response)
        entered = self.hooks.enter(x)
        try:
            body = self.app(environ, head)
        except BaseException as error:
            if head.rescues(error):
                return [head.take_instead()]
            self.fail(x, error)
            raise
        finally:
            self.hooks.leave(x, entered)
        if x.voids:
            step(self.void_again(x))
        if type(body) in {list, tuple}:
            return self._whole(x, head, body)  # type: ignore[arg-type]
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper) and head.instead is None:
            return self._file(x, body)
        return Pull(self, x, head, body)

    def _whole(self, x: WSGIExchange, head: Head, body: Sequence[bytes]) -> Iterable[bytes]:
        """A body that is here already; servers read its length, so it stays what it is."""
        if head.instead is not None:
            return [head.take_instead()]
        if len(body) == 1:
            self._take(x, body[0])
        else:
            for chunk in body:
                self.record(x, chunk)
            self.settle(x)
        if x.flight is not None:
            self.cache.drop(x, Outcome.UNCACHEABLE)  # there was no head to read
        self.hooks.end(x)
        self.let_go_now()
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

    def begin(
        self, x: WSGIExchange, status: str, headers: list[tuple[str, str]]
    ) -> list[tuple[str, str]] | Entry:
        """The head to send in place of the app's: its own with what we add, or an entry."""
        x.status = int(status[:3])
        x.head_at = monotonic()
        if x.plan is not None and certified(x.raw):
            x.plan.private = True
        form = self.forms.text_form(headers) if self.enabled and x.method == "GET" else None
        if form is not None and x.stale is None:
            values = [value.encode("latin-1") for _, value in headers]
            pairs = list(zip(form.names, values, strict=True)) if self.ruled else ()
            out = [*headers, *said(self.hear(x, pairs, form, values))]
        else:
            fields = as_bytes(headers)
            entry = revive(self.cache, x, fields) if x.stale is not None else None
            if entry is not None:
                return entry
            out = list(as_text(tuple(self.told(x, fields) if self.enabled else self.bare(fields))))
            self.finish_now(x, self.heed(x, fields))
        self.let_go_now()
        if self.hooks.look_on:
            self.add(x, out)
        return out

    def add(self, x: WSGIExchange, headers: list[tuple[str, str]]) -> None:
        """Let the observers add fields, and see what has come of it."""
        added: list[Header] = []
        self.hooks.head(x, added)
        theirs = {name.lower() for name, _ in headers}
        added = [each for each in added if each[0] != REQUEST_ID or ID_NAME not in theirs]
        headers.extend(as_text(tuple(added)))
        if self.hooks.reads:
            self.hooks.read(x, headers)

    def record(self, x: WSGIExchange, chunk: bytes) -> bool:
        """Record a chunk as it passes: whether it is known to be the last one.

        Whether it is one at all is for the server to say.
        """
        try:
            x.sent_bytes += len(chunk)
            x.chunks += 1
            return self.cache.record(x, chunk)
        except Exception as fault:
            self.note(x, "the cache's recording", fault)
        return False

    def settle(self, x: WSGIExchange) -> None:
        """Store before the last byte goes out, so that the next request finds it."""
        if x.answer is not None:
            try:
                later = self.cache.settle(x, self.face)
            except Exception as fault:
                self.note(x, "the cache's store", fault)
            else:
                self.finish_now(x, later)

    def _take(self, x: WSGIExchange, body: bytes) -> None:
        """As `record` and `settle`, of a body in one piece."""
        try:
            x.sent_bytes += len(body)
            x.chunks += 1
            later = self.cache.take(x, body, self.face)
        except Exception as fault:
            self.note(x, "the cache's store", fault)
        else:
            self.finish_now(x, later)

    def fail(self, x: WSGIExchange, error: BaseException) -> None:
        """The app raised: each follower asks for itself, as bare."""
        self.cache.drop(x, Outcome.UNCACHEABLE)
        self.hooks.end(x, error)
        self.let_go_now()

    def let_go_now(self) -> None:
        """As `let_go`."""
        if self.cache.flights.over:
            step(self.let_go())

    def finish_now(self, x: WSGIExchange, later: Later) -> None:
        """As `finish`, by this thread."""
        if later is not None:
            step(self.finish(x, later))

    def _renew(self, x: WSGIExchange, entry: Entry) -> None:
        """Fetch anew, behind the request, what was served stale."""
        environ = renewing_environ(x, entry, self.trusted)
        behind = WSGIExchange(environ, "GET", monotonic())
        if not self.take_over(x, behind, entry):
            return
        if not self._suite.background.spawn_thread(partial(self._refresh, x, behind, environ)):
            self.give_up(behind)

    def _refresh(self, x: WSGIExchange, behind: WSGIExchange, environ: Environ) -> None:
        started = monotonic()
        try:
            self._drain(behind, environ)
        finally:
            self.children.refreshed(x, started, behind.error)

    def _drain(self, x: WSGIExchange, environ: Environ) -> None:
        """Run the app for nobody."""
        body = self._run(x, environ, swallow)
        try:
            for _ in body:
                pass
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()
