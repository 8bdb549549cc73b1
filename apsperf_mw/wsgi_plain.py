"""The WSGI shell of a suite whose cache is on and where nobody looks on: a hit by few steps."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from apsperf_mw.cache.entry import Fork
from apsperf_mw.cache.glance import as_hit
from apsperf_mw.cache.keys import environ_key
from apsperf_mw.cache.screen import CONDITIONAL
from apsperf_mw.cache.wire import slim
from apsperf_mw.http.etags import if_none_match
from apsperf_mw.http.status import STATUS_LINES, status_line
from apsperf_mw.wsgi import WSGIShell
from apsperf_mw.wsgi_gate import IF_NONE_MATCH, WSGIExchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.wsgi import Environ, StartResponse


class PlainWSGIShell(WSGIShell):
    """Answers a request that carries nothing to heed before an exchange is made of it."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        now = monotonic()
        asked = environ.get(IF_NONE_MATCH)
        channel = self.channel
        key = entry = tag = None
        if (
            (self._beyond if asked else self._noted).isdisjoint(environ)
            and environ.get("REQUEST_METHOD") == "GET"
            and (channel is None or now < channel.due)
        ):
            try:
                tag = asked.encode("latin-1") if asked else None
                key = environ_key(environ)
                entry = self.cache.at_hand(key, key, now)
            except Exception:  # it comes again on the longer way, and is noted there
                key = None
        if key is None:
            x = WSGIExchange(environ, environ.get("REQUEST_METHOD", ""), now)
            return self.go_on(x, self.look(x), environ, start_response)
        flags = CONDITIONAL if tag else 0
        exchange = None
        if isinstance(entry, Fork):
            exchange = WSGIExchange(environ, "GET", now, flags, tag, key)
            entry = self.variant(exchange, entry)
        if entry is not None and now < entry.environ_wire[0]:
            status, head, body = entry.status, entry.environ_wire[1], entry.body
            own = entry.etag
            if tag and status < 300 and (tag == own or if_none_match((tag,), own)):
                status, head, body = 304, slim(entry, head), b""
            start_response(STATUS_LINES.get(status) or status_line(status), list(head))
            return [body]
        x = exchange or WSGIExchange(environ, "GET", now, flags, tag, key)
        found = self.seek(x) if entry is None else as_hit(x, entry)
        return self.go_on(x, found, environ, start_response)
