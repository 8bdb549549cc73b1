"""One small site in five stacks, and a client for each kind of server interface."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

from msgspec import Struct, field
from werkzeug.middleware.lint import LintMiddleware

from apsperf_mw.testing.forms import as_bytes, environ_of, make_request, scope_of
from apsperf_mw.testing.harness import LINTS
from apsperf_mw.testing.lint import Lint
from apsperf_mw.testing.messages import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from apsperf_mw import Suite
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.testing.messages import Request

    Seen = Callable[[bytes], None]

# A response that only a session in use may keep out of the cache.
FOR_ALL = {"Cache-Control": "public, max-age=60"}
ROOT = Path(__file__).resolve().parents[2]
CHUNKS = (b"one ", b"two ", b"three")


class Pages(Struct):
    """What the site's views do: count their calls, and say what happened in which order."""

    calls: Counter[str] = field(default_factory=Counter)
    events: list[str] = field(default_factory=list)

    def turn(self, name: str) -> str:
        """A page that tells one call of its view from the next."""
        self.calls[name] += 1
        return f"{name} {self.calls[name]}"

    def chunks(self) -> Iterator[bytes]:
        """A body that notes when each of its chunks is made."""
        self.calls["stream"] += 1
        for chunk in CHUNKS:
            self.events.append(f"made {chunk.decode()}")
            yield chunk

    async def achunks(self) -> AsyncIterator[bytes]:
        """The same for an event loop."""
        for chunk in self.chunks():
            await asyncio.sleep(0)
            yield chunk


class Site(ABC):
    """An app with or without a suite; `ended` holds the exchanges that the observers saw end."""

    def __init__(self, app: Any, pages: Pages, suite: Suite | None) -> None:
        self.app = app
        self.pages = pages
        self.ended: list[Exchange] = []
        self.raised: BaseException | None = None
        if suite is not None:
            self.suite = suite
            suite.hooks.ends = (*suite.hooks.ends, self.ended.append)

    @property
    def calls(self) -> Counter[str]:
        """How often each view has run."""
        return self.pages.calls

    def ask(
        self,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        body: bytes = b"",
        seen: Seen | None = None,
    ) -> Reply:
        """One request and its reply; what the app lets through is left in `raised`."""
        self.raised = None
        reply = Reply(0, [], [])
        try:
            self._send(make_request(target, headers or {}, method=method, body=body), reply, seen)
        except Exception as error:
            self.raised = error
        return reply

    @abstractmethod
    def _send(self, request: Request, reply: Reply, seen: Seen | None) -> None: ...


class ASGISite(Site):
    """A site as an ASGI server sees it."""

    def _send(self, request: Request, reply: Reply, seen: Seen | None) -> None:
        asyncio.run(self._converse(request, reply, seen))

    async def _converse(self, request: Request, reply: Reply, seen: Seen | None) -> None:
        messages = iter([{"type": "http.request", "body": request.body, "more_body": False}])
        over = asyncio.Event()

        async def receive() -> dict[str, Any]:
            for message in messages:
                return message
            await over.wait()  # a server says so of a response that has ended
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                reply.status, reply.headers = message["status"], list(message["headers"])
                return
            if chunk := message.get("body", b""):
                take(chunk, reply, seen)
            if not message.get("more_body"):
                over.set()

        lower = "django" not in type(self.app).__module__
        app = Lint(self.app, lower=lower) if LINTS else self.app
        await app(scope_of(request), receive, send)


class WSGISite(Site):
    """A site as a WSGI server sees it."""

    def _send(self, request: Request, reply: Reply, seen: Seen | None) -> None:
        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            reply.status, reply.headers = int(status[:3]), as_bytes(headers)
            return reply.chunks.append

        app = validator(LintMiddleware(self.app)) if LINTS else self.app
        body: Any = app(environ_of(request), start_response)
        try:
            for chunk in body:
                if chunk:
                    take(chunk, reply, seen)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()


def take(chunk: bytes, reply: Reply, seen: Seen | None) -> None:
    """One chunk has come to the client."""
    reply.chunks.append(chunk)
    if seen is not None:
        seen(chunk)


def cookies_of(reply: Reply) -> dict[str, str]:
    """The request header that sends the reply's cookies back."""
    pairs = [line.partition(";")[0] for line in reply.lines("set-cookie")]
    return {"Cookie": "; ".join(pairs)} if pairs else {}


def outward(reply: Reply) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """What the client sees of a reply, but for the field that we add."""
    headers = [(name.lower(), value) for name, value in reply.headers]
    return reply.status, [each for each in headers if each[0] != b"cache-status"], reply.body


def environ() -> dict[str, str]:
    """The environment of an interpreter that imports what this one does, with no settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("APSPERF_", "OTEL_"))}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def told_by(module: str, **more: str) -> Any:
    """What a module prints as JSON, run by itself with the settings of Django's shop."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", module],
        cwd=ROOT,
        env=environ() | {"DJANGO_SETTINGS_MODULE": "examples.django_shop.settings"} | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
