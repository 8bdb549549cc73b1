"""Asking a server for a page over HTTP."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from apsperf_mw.warm.asking import USER_AGENT, Taken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from http.client import HTTPConnection

    from apsperf_mw.warm.asking import Answer, Field
    from apsperf_mw.warm.origin import Origin

CHUNK_BYTES = 2**16


class HTTPAsker:
    """Asks the server at the origin, and no other, each time from one of `threads` threads.

    One connection a request. Certificates are checked against the system's authorities.
    """

    def __init__(self, origin: Origin, threads: int, timeout_s: float) -> None:
        self._origin = origin
        self._threads = threads
        self._timeout_s = timeout_s
        self._limiter: Any = None

    async def ask(self, target: str, headers: Sequence[Field], keep: int = 0) -> Answer:
        """As `Asker` says."""
        from anyio import CapacityLimiter, to_thread

        self._limiter = self._limiter or CapacityLimiter(self._threads)
        taken = Taken(keep)
        try:
            await to_thread.run_sync(
                self._fetch, target, headers, taken, abandon_on_cancel=True, limiter=self._limiter
            )
        finally:
            taken.gone = True
        return taken.answer()

    def _fetch(self, target: str, headers: Sequence[Field], taken: Taken) -> None:
        from http.client import IncompleteRead

        with closing(self._connection()) as connection:
            connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", self._origin.host)
            connection.putheader("User-Agent", USER_AGENT)
            connection.putheader("Connection", "close")
            for name, value in headers:
                connection.putheader(name, value.encode("latin-1"))
            connection.endheaders()
            with connection.getresponse() as response:
                while (chunk := response.read1(CHUNK_BYTES)) and not taken.gone:
                    taken.chunk(chunk)
                if response.length:  # the connection ended before the body did
                    raise IncompleteRead(b"", response.length)
                taken.status, taken.headers = response.status, response.getheaders()

    def _connection(self) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        origin = self._origin
        kind = HTTPSConnection if origin.scheme == "https" else HTTPConnection
        return kind(origin.name, origin.port, timeout=self._timeout_s)
