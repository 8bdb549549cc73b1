"""Both shells round one app, in-process: write a scenario once and run it through each.

An app is a function from `Request` to `Response`; `ASGIClient(Suite(), app)` and
`WSGIClient(Suite(), app)` each put a suite's shell round it, and `ask("/")` gives a `Reply`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

from apsperf_mw.runtime.step import step
from apsperf_mw.testing.forms import (
    PLAN_KEY,
    as_bytes,
    environ_of,
    lowered,
    make_request,
    request_of_environ,
    request_of_scope,
    scope_of,
)
from apsperf_mw.testing.lint import Lint
from apsperf_mw.testing.lint_wsgi import lint_wsgi
from apsperf_mw.testing.messages import Gate, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from apsperf_mw.asgi import Receive, Scope, Send
    from apsperf_mw.suite import Suite
    from apsperf_mw.testing.messages import Response

    App = Callable[[Request], Response]
    Seen = Callable[[bytes], None]
    Outcome = Reply | BaseException

# A gate that is never opened fails the test, it does not hang it.
GATE_TIMEOUT_S = 30.0

# Whether both sides of each shell are held to their specification; for tests that break it not.
LINTS = os.environ.get("LINT") == "1"


class Left(Exception):
    """The client went away before the end, as it was told to."""


class Client(ABC):
    """A client of one app behind one shell. `calls` counts what reached the app."""

    def __init__(self, suite: Suite, app: App) -> None:
        self.suite = suite
        self.calls = 0
        self._app = app

    def ask(
        self,
        target: str = "/",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        method: str = "GET",
        body: bytes = b"",
        scheme: str = "http",
        seen: Seen | None = None,
        leave_after: int | None = None,
    ) -> Reply:
        """One request and its reply; what the app raises is raised here.

        `seen` gets each chunk as it arrives. `leave_after` chunks the client goes away: `Left`.
        """
        request = make_request(target, headers, method=method, body=body, scheme=scheme)
        return self.send(request, seen, leave_after)

    @abstractmethod
    def send(
        self, request: Request, seen: Seen | None = None, leave_after: int | None = None
    ) -> Reply:
        """As `ask`, for a request that is made already."""

    @abstractmethod
    def send_all(
        self, requests: Sequence[Request], *, meanwhile: Callable[[], bool] = lambda: True
    ) -> list[Outcome]:
        """Send all at once; each one's reply, or what it raised.

        `meanwhile` is called again and again beside them until it returns True.
        """

    def answer(self, request: Request) -> Response:
        """Call the app, and count the call."""
        self.calls += 1
        return self._app(request)


class ASGIClient(Client):
    """The app behind `suite.asgi`, under asyncio or trio."""

    def __init__(self, suite: Suite, app: App, backend: str = "asyncio") -> None:
        super().__init__(suite, app)
        self.backend = backend
        within: Any = Lint(self.serve, "inside, ") if LINTS else self.serve
        shell = suite.asgi(within)
        self.shell: Any = Lint(shell, "outside, ") if LINTS else shell

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app in its ASGI form."""
        response = self.answer(await request_of_scope(scope, receive))
        response.fill(scope["state"]["apsperf"])
        await _task_passes(response.hold)
        if response.error is not None:
            raise response.error
        head = lowered(response.headers)
        await send({"type": "http.response.start", "status": response.status, "headers": head})
        if is_whole(response.body):
            await send({"type": "http.response.body", "body": b"".join(response.body)})
            return
        for part in response.body:
            if isinstance(part, Gate):
                await _task_passes(part)
            else:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def send(
        self, request: Request, seen: Seen | None = None, leave_after: int | None = None
    ) -> Reply:
        """One request in an event loop of its own."""
        from anyio import run

        reply = run(partial(self.asend, request, seen, leave_after), backend=self.backend)
        if reply is None:
            raise Left
        return reply

    def send_all(
        self, requests: Sequence[Request], *, meanwhile: Callable[[], bool] = lambda: True
    ) -> list[Outcome]:
        """All requests as tasks of one event loop."""
        from anyio import run

        return run(self.asend_all, requests, meanwhile, backend=self.backend)

    async def asend(
        self, request: Request, seen: Seen | None = None, leave_after: int | None = None
    ) -> Reply | None:
        """One request in the running loop; None where the client left."""
        from anyio import CancelScope
        from anyio.lowlevel import checkpoint

        reply = Reply(0, [], [])
        with CancelScope() as connection:

            async def take(message: Any) -> None:
                if message["type"] == "http.response.start":
                    reply.status, reply.headers = message["status"], list(message["headers"])
                    return
                if body := message.get("body", b""):
                    reply.chunks.append(body)
                    if seen is not None:
                        seen(body)
                if len(reply.chunks) == leave_after:
                    connection.cancel()
                    await checkpoint()

            await self.shell(scope_of(request), _receive_of(request), take)
        return None if connection.cancelled_caught else reply

    async def asend_all(
        self, requests: Sequence[Request], meanwhile: Callable[[], bool] = lambda: True
    ) -> list[Outcome]:
        """All requests as tasks of the running loop."""
        from anyio import create_task_group, sleep

        outcomes: list[Outcome] = [Left()] * len(requests)

        async def one(index: int, request: Request) -> None:
            try:
                outcomes[index] = await self.asend(request) or Left()
            except Exception as error:
                outcomes[index] = error

        async with create_task_group() as tasks:
            for index, request in enumerate(requests):
                tasks.start_soon(one, index, request)
            while not meanwhile():  # noqa: ASYNC110 - it may look at other loops and threads
                await sleep(0.001)
        return outcomes


class WSGIClient(Client):
    """The app behind `suite.wsgi`."""

    def __init__(self, suite: Suite, app: App, raw_uri: str = "RAW_URI") -> None:
        super().__init__(suite, app)
        within: Any = lint_wsgi(self.serve) if LINTS else self.serve
        shell = suite.wsgi(within)
        self.shell: Any = lint_wsgi(shell) if LINTS else shell
        self._raw_uri = raw_uri

    def serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The app in its WSGI form."""
        response = self.answer(request_of_environ(environ))
        response.fill(environ[PLAN_KEY])
        _thread_passes(response.hold)
        if response.error is not None:
            raise response.error
        start_response(f"{response.status} Status", list(response.headers))
        return response.body if is_whole(response.body) else _walk(response.body)

    def send(
        self, request: Request, seen: Seen | None = None, leave_after: int | None = None
    ) -> Reply:
        """One request, served in this thread as a server does it."""
        reply = Reply(0, [], [])
        chunks = reply.chunks

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            reply.status, reply.headers = int(status[:3]), as_bytes(headers)
            return chunks.append

        body = self.shell(self.environ(request), start_response)
        try:
            for chunk in body:
                if chunk:
                    chunks.append(chunk)
                    if seen is not None:
                        seen(chunk)
                if len(chunks) == leave_after:
                    raise Left
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()
        return reply

    def send_all(
        self, requests: Sequence[Request], *, meanwhile: Callable[[], bool] = lambda: True
    ) -> list[Outcome]:
        """Each request in a thread of its own."""
        from concurrent.futures import ThreadPoolExecutor
        from time import sleep

        with ThreadPoolExecutor(len(requests)) as threads:
            futures = [threads.submit(self.send, request) for request in requests]
            while not meanwhile():
                sleep(0.001)
            return [future.exception() or future.result() for future in futures]

    def environ(self, request: Request) -> dict[str, Any]:
        """The environ of a request, with its raw target as `raw_uri` (empty: without)."""
        return environ_of(request) | ({self._raw_uri: request.target} if self._raw_uri else {})


def is_whole(body: Iterable[bytes | Gate]) -> TypeGuard[list[bytes]]:
    """Whether the body is a list of bytes, sent in one piece."""
    return isinstance(body, list) and all(isinstance(part, bytes) for part in body)


def _receive_of(request: Request) -> Receive:
    messages = iter([{"type": "http.request", "body": request.body, "more_body": False}])

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    return receive


async def _task_passes(gate: Gate | None) -> None:
    from apsperf_mw.runtime.loop import Waits

    if gate is not None and not await Waits().wait(gate.join, GATE_TIMEOUT_S):
        raise TimeoutError("the gate was never opened")


def _thread_passes(gate: Gate | None) -> None:
    from apsperf_mw.runtime.threads import Waits

    if gate is not None and not step(Waits().wait(gate.join, GATE_TIMEOUT_S)):
        raise TimeoutError("the gate was never opened")


def _walk(body: Iterable[bytes | Gate]) -> Iterator[bytes]:
    for part in body:
        if isinstance(part, Gate):
            _thread_passes(part)
        else:
            yield part
