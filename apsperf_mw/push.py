"""What an ASGI app sends, pushed on at once; the cache records what passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.cache.entry import Entry
from apsperf_mw.cache.flights import Outcome
from apsperf_mw.cache.revival import CONDITIONS, PERSONAL, in_doubt
from apsperf_mw.runtime.loop import never

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from apsperf_mw.asgi import ASGIShell, Message, Receive, Scope, Send
    from apsperf_mw.asgi_gate import ASGIExchange
    from apsperf_mw.exchange import Header

# Ways to send a body that does not pass through us as bytes.
FILE_MESSAGES = frozenset({"http.response.pathsend", "http.response.zerocopysend"})


PLAIN_HEADERS = (list, tuple)


class Push(Struct, eq=False):
    """Takes the app's messages; where a stored entry answers in its place, the rest is dropped."""

    _shell: ASGIShell
    _x: ASGIExchange
    _scope: Scope
    _out: Send
    _trailers: bool = False
    _started: bool = False
    _instead: bool = False

    async def send(self, message: Message) -> None:
        """Take one message from the app."""
        kind = message["type"]
        if self._instead:
            return
        if kind == "http.response.body":
            last = not message.get("more_body", False)
            later = self._record(message.get("body", b""), last=last)
            if later is not None:
                await self._shell.finish(self._x, later)
            await self._out(message)
            if last and not self._trailers and not self._x.done:
                self._shell.hooks.end(self._x)
        elif kind == "http.response.start":
            head = self._begin(message)
            if isinstance(head, Entry):
                await self._give(head)
                return
            if self._x.method != "GET" or self._shell.cache.flights.over:
                await self._heed(message)
            self._started = True
            await self._out(head)
        else:
            await self._extension(kind, message)

    async def rescue(self, error: Exception) -> bool:
        """Serve a stale entry in place of an exception, where nothing is out yet and it may."""
        entry = None if self._started else self._shell.stand_in(self._x, error)
        if entry is None:
            return False
        await self._give(entry)
        return True

    async def _heed(self, message: Message) -> None:
        later = self._shell.heed(self._x, message.get("headers") or ())
        if later is not None:
            await self._shell.finish(self._x, later)
        await self._shell.let_go()

    def _begin(self, message: Message) -> Message | Entry:
        if self._started:
            self._shell.begin_again(self._x)
        if "trailers" in message:
            self._trailers = bool(message["trailers"])
        if type(message.get("headers")) not in PLAIN_HEADERS:
            headers = list(message.get("headers") or ())
            message = {**message, "headers": headers}  # they are read more than once
        try:
            return self._shell.begin(self._x, self._scope, message)
        except Exception as fault:
            self._shell.note(self._x, "the cache's reading of a response", fault)
            return in_doubt(self._x) or message

    async def _give(self, entry: Entry) -> None:
        """Send the entry; what the app sends from now on is dropped."""
        x, shell = self._x, self._shell
        self._started = self._instead = True
        start, body = shell.reply(x, entry)
        later = shell.land(x, entry)
        if later is not None:
            await shell.finish(x, later)
        await self._out(start)
        await self._out({"type": "http.response.body", "body": body})
        self._shell.hooks.end(x)

    def _record(self, body: bytes, *, last: bool) -> Awaitable[None] | None:
        """Record a chunk; store before the last one goes out, so that the next request hits."""
        x = self._x
        try:
            x.sent_bytes += len(body)
            x.chunks += 1
            if x.answer is None:
                return None
            shell = self._shell
            if last and x.tape is None:
                return shell.cache.take(x, body, shell.face)
            if shell.cache.record(x, body) or last:
                return shell.cache.settle(x, shell.face)
        except Exception as fault:
            self._shell.note(x, "the cache's recording", fault)
        return None

    async def _extension(self, kind: str, message: Message) -> None:
        if kind in FILE_MESSAGES:
            self._shell.cache.drop(self._x, Outcome.UNCACHEABLE)
        await self._out(message)
        over = kind in FILE_MESSAGES and not message.get("more_body")
        if over or (kind == "http.response.trailers" and not message.get("more_trailers")):
            self._shell.hooks.end(self._x)


def asking_scope(scope: Scope, asked: Iterable[Header]) -> dict[str, Any]:
    """The scope with our conditional fields in place of the client's."""
    headers = [field for field in scope["headers"] if field[0] not in CONDITIONS]
    return {**scope, "headers": [*headers, *asked]}


# What a request of our own takes over from the one that it follows.
RENEWED_KEYS = (
    "type",
    "asgi",
    "http_version",
    "scheme",
    "path",
    "raw_path",
    "query_string",
    "root_path",
    "app_root_path",
    "path_params",
    "server",
    "app",
)


def renewing_scope(x: ASGIExchange, entry: Entry, trusted: frozenset[bytes]) -> dict[str, Any]:
    """A scope of our own: the URL and what selects the variant, nothing of the client."""
    names = ({*entry.vary} - PERSONAL) | {b"host"} | trusted
    scope = {key: x.raw[key] for key in RENEWED_KEYS if key in x.raw}
    headers = [(name, value) for name, value in x.raw["headers"] if name in names]
    state = {key: value for key, value in x.raw.get("state", {}).items() if key != "apsperf"}
    return {**scope, "method": "GET", "headers": headers, "client": None, "state": state}


def silent() -> Receive:
    """The receive of a request without a body, whose client never leaves."""
    asked = False

    async def receive() -> Any:
        nonlocal asked
        if asked:
            await never()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive


async def swallow(message: Message) -> None:
    """The send of a request of our own."""
