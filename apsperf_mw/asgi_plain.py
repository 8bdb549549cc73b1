"""The ASGI shell of a suite whose cache is on and where nobody looks on: a hit by few steps."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.asgi import ASGIShell
from apsperf_mw.asgi_gate import ASGIExchange
from apsperf_mw.cache.entry import Fork
from apsperf_mw.cache.glance import as_hit
from apsperf_mw.cache.keys import scope_key
from apsperf_mw.cache.screen import CONDITIONAL, HOST, scan_scope
from apsperf_mw.cache.wire import slim
from apsperf_mw.http.etags import if_none_match

if TYPE_CHECKING:
    from apsperf_mw.asgi import Receive, Scope, Send


class PlainASGIShell(ASGIShell):
    """Answers a request that carries nothing to heed before an exchange is made of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._pass_on(scope, receive, send)
            return
        raw: Any = scope
        now = monotonic()
        channel = self.channel
        seen = key = entry = tag = None
        flags = 0
        try:
            seen = flags, host, tag = scan_scope(scope["headers"], self._names)
            if (
                flags & ~CONDITIONAL == HOST
                and scope["method"] == "GET"
                and (channel is None or now < channel.due)
            ):
                key = scope_key(scope, host)
                entry = self.cache.at_hand(key, key, now)
        except Exception:  # it comes again on the longer way, and is noted there
            key = None
        if key is None:
            x = ASGIExchange(raw, scope["method"], now)
            await self.go_on(x, self.look(x, seen), scope, receive, send)
            return
        exchange = None
        if isinstance(entry, Fork):
            exchange = ASGIExchange(raw, "GET", now, flags & CONDITIONAL, tag, key)
            entry = self.variant(exchange, entry)
        if entry is not None and now < entry.scope_wire[0] and (tag or flags == HOST):
            status, head, body = entry.status, entry.scope_wire[1], entry.body
            own = entry.etag
            if tag and status < 300 and (tag == own or if_none_match(asked(raw), own)):
                status, head, body = 304, slim(entry, head), b""
            out = list(head)
            await send({"type": "http.response.start", "status": status, "headers": out})
            await send({"type": "http.response.body", "body": body})
            return
        x = exchange or ASGIExchange(raw, "GET", now, flags & CONDITIONAL, tag, key)
        found = self.seek(x) if entry is None else as_hit(x, entry)
        await self.go_on(x, found, scope, receive, send)


def asked(scope: dict[str, Any]) -> list[bytes]:
    """The lines of If-None-Match."""
    return [value for name, value in scope["headers"] if name == b"if-none-match"]
