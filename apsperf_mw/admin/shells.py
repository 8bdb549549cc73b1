"""The two shells with the admin endpoint in front of them."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from apsperf_mw.admin.api import MOST_BODY_BYTES, Reply, Request, answer
from apsperf_mw.admin.forms import environ_like, scope_like
from apsperf_mw.admin.gates import NAME, TELLING, ExplainingASGIGate, ExplainingWSGIGate, Telling
from apsperf_mw.admin.purging import purge_url
from apsperf_mw.asgi import ASGIShell
from apsperf_mw.asgi_gate import ASGIExchange
from apsperf_mw.cache.entry import Entry
from apsperf_mw.cache.wire import as_bytes, as_text
from apsperf_mw.data.reach import task_reach, thread_reach
from apsperf_mw.explain.requests import foreseen
from apsperf_mw.explain.steps import Explanation
from apsperf_mw.http.status import STATUS_LINES, status_line
from apsperf_mw.pull import swallow as swallow_head
from apsperf_mw.push import silent, swallow
from apsperf_mw.runtime.loop import hop
from apsperf_mw.runtime.step import step
from apsperf_mw.wsgi import WSGIShell
from apsperf_mw.wsgi_gate import WSGIExchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.admin.questions import Question
    from apsperf_mw.asgi import Message, Receive, Scope, Send
    from apsperf_mw.cache.tags import Purge
    from apsperf_mw.data.reach import AnyDriver, Reach
    from apsperf_mw.wsgi import Environ, StartResponse

T = TypeVar("T")

# On the way of every request `super()` is spared: it costs as much as the rest of what is added.

# A response that is made to be explained is read for so long at most.
FETCH_S = 30.0


class AdminASGIShell(ExplainingASGIGate, ASGIShell):
    """The ASGI shell of a suite with an admin endpoint."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection: an admin request here, any other as ever."""
        if scope["type"] == "http" and (
            self.door.path in scope["path"] or scope["method"] == "PURGE"
        ):
            reply = await self._admit(scope, receive)
            if reply is not None:
                await _send(reply, send)
                return
        await ASGIShell.__call__(self, scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive) -> Reply | None:
        """The answer to a request with the token; None for one that is the app's."""
        name = self.door.name(scope["path"].removeprefix(scope.get("root_path", "")))
        if name is None and not (self.door.http_purge and scope["method"] == "PURGE"):
            return None
        headers = scope["headers"]
        if not self.door.opens([value for field, value in headers if field == b"authorization"]):
            return None
        house = ASGIHouse(self, scope)
        if name is None:
            x = ASGIExchange(scope, "GET", monotonic())  # type: ignore[arg-type]
            return await purge_url(house, self, x)
        query = scope.get("query_string", b"")
        body = await _read(receive)
        return await answer(house, Request(scope["method"], name, query, body, headers))

    def reply(self, x: ASGIExchange, entry: Entry) -> tuple[Message, bytes]:
        """As the shell does, with an explanation where one is asked for."""
        start, body = ASGIShell.reply(self, x, entry)
        if TELLING in x.raw and (line := self.tell_served(x, entry)) is not None:
            start["headers"].append((NAME, line))
        return start, body

    def begin(self, x: ASGIExchange, scope: Scope, message: Message) -> Message | Entry:
        """As the shell does, with an explanation where one is asked for."""
        head = super().begin(x, scope, message)
        if TELLING in x.raw and not isinstance(head, Entry):
            line = self.tell_answered(x, message.get("headers") or ())
            if line is not None:
                head["headers"].append((NAME, line))
        return head

    async def fetch(self, scope: Scope) -> None:
        """Have the suite serve a request of our own."""
        from anyio import move_on_after

        with move_on_after(FETCH_S):
            await super().__call__(scope, silent(), swallow)


class ASGIHouse:
    """The endpoint of an ASGI app, for one request."""

    def __init__(self, shell: AdminASGIShell, scope: Scope) -> None:
        self.suite = shell._suite
        self._shell = shell
        self._scope = scope

    def reach(self, driver: AnyDriver) -> Reach:
        """A driver, as a task may wait for it."""
        return task_reach(driver)

    async def purge(self, what: Purge) -> None:
        """Purge, and tell the other workers."""
        await self.suite.apurge(*what.tags, **named(what))

    async def run(self, work: Callable[[], T]) -> T:
        """In a thread."""
        return await hop(work)

    async def explain(self, question: Question) -> Explanation:
        """Explain what becomes of a request, or, of one that is made, what became of it."""
        scope = scope_like(self._scope, question.target, question.headers)
        if not question.fetch:
            x = ASGIExchange(scope, "GET", monotonic())
            return await foreseen(self._shell, x, question.url)
        telling = scope[TELLING] = Telling(aloud=False)
        try:
            await self._shell.fetch(scope)
        except Exception as error:
            return told(telling, question, error)
        return told(telling, question)


class AdminWSGIShell(ExplainingWSGIGate, WSGIShell):
    """The WSGI shell of a suite with an admin endpoint."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request: an admin request here, any other as ever."""
        path = environ.get("PATH_INFO", "")
        if self.door.path in path or environ["REQUEST_METHOD"] == "PURGE":
            reply = self._admit(environ, path)
            if reply is not None:
                line = STATUS_LINES.get(reply.status) or status_line(reply.status)
                start_response(line, list(as_text(reply.headers)))
                return [reply.body]
        return WSGIShell.__call__(self, environ, start_response)

    def _admit(self, environ: Environ, path: str) -> Reply | None:
        """The answer to a request with the token; None for one that is the app's."""
        method, name = environ["REQUEST_METHOD"], self.door.name(path)
        if name is None and not (self.door.http_purge and method == "PURGE"):
            return None
        x = WSGIExchange(environ, "GET", monotonic())
        if not self.door.opens(x.fields(b"authorization")):
            return None
        house = WSGIHouse(self, environ)
        if name is None:
            return step(purge_url(house, self, x))
        return step(answer(house, Request(method, name, x.query, read_input(environ))))

    def reply(self, x: WSGIExchange, entry: Entry) -> tuple[str, list[tuple[str, str]], bytes]:
        """As the shell does, with an explanation where one is asked for."""
        line, out, body = WSGIShell.reply(self, x, entry)
        if TELLING in x.raw and (told := self.tell_served(x, entry)) is not None:
            out += as_text(((NAME, told),))
        return line, out, body

    def begin(
        self, x: WSGIExchange, status: str, headers: list[tuple[str, str]]
    ) -> list[tuple[str, str]] | Entry:
        """As the shell does, with an explanation where one is asked for."""
        out = super().begin(x, status, headers)
        if TELLING in x.raw and not isinstance(out, Entry):
            told = self.tell_answered(x, as_bytes(headers))
            if told is not None:
                out += as_text(((NAME, told),))
        return out

    def fetch(self, environ: Environ) -> None:
        """Have the suite serve a request of our own."""
        deadline = monotonic() + FETCH_S
        body = super().__call__(environ, swallow_head)
        try:
            for _ in body:
                if monotonic() >= deadline:
                    break
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()


class WSGIHouse:
    """The endpoint of a WSGI app, for one request."""

    def __init__(self, shell: AdminWSGIShell, environ: Environ) -> None:
        self.suite = shell._suite
        self._shell = shell
        self._environ = environ

    def reach(self, driver: AnyDriver) -> Reach:
        """A driver, as a thread may wait for it."""
        return thread_reach(driver)

    async def purge(self, what: Purge) -> None:
        """Purge, and tell the other workers."""
        self.suite.purge(*what.tags, **named(what))

    async def run(self, work: Callable[[], T]) -> T:
        """In this thread, which is the request's own."""
        return work()

    async def explain(self, question: Question) -> Explanation:
        """Explain what becomes of a request, or, of one that is made, what became of it."""
        environ = environ_like(self._environ, question.target, question.headers)
        if not question.fetch:
            x = WSGIExchange(environ, "GET", monotonic())
            return await foreseen(self._shell, x, question.url)
        telling = environ[TELLING] = Telling(aloud=False)
        try:
            self._shell.fetch(environ)
        except Exception as error:
            return told(telling, question, error)
        return told(telling, question)


def named(what: Purge) -> dict[str, Any]:
    """All but the tags, as `Suite.purge` takes it."""
    return {name: value for name, value in what._asdict().items() if name != "tags"}


def told(telling: Telling, question: Question, error: Exception | None = None) -> Explanation:
    """What a request of our own was told, or that there was no response."""
    if telling.explanation is None:
        raised = f"the app raised {type(error).__name__}" if error is not None else "no response"
        return Explanation(question.url, f"not stored: {raised}", [])
    telling.explanation.url = question.url
    return telling.explanation


def read_input(environ: Environ) -> bytes:
    """The request's body, and no more than one byte over what is accepted."""
    length = str(environ.get("CONTENT_LENGTH") or "")
    if length.isascii() and length.isdigit():
        wanted = min(int(length[:10]), MOST_BODY_BYTES + 1)
    else:
        wanted = MOST_BODY_BYTES + 1 if environ.get("wsgi.input_terminated") else 0
    body = b""
    while len(body) < wanted and (chunk := environ["wsgi.input"].read(wanted - len(body))):
        body += chunk
    return body


async def _read(receive: Receive) -> bytes:
    """As `read_input`."""
    body = b""
    while len(body) <= MOST_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
    return body[: MOST_BODY_BYTES + 1]


async def _send(reply: Reply, send: Send) -> None:
    headers = [*reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
