"""A WSGI request as the cache sees it, and what of it decides whether the cache may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.cache.keys import environ_key
from apsperf_mw.cache.screen import CONDITIONAL, environ_name_of, environ_table, scan_environ
from apsperf_mw.exchange import Exchange
from apsperf_mw.shell import Gate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apsperf_mw.cache.faces import Face
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Facts
    from apsperf_mw.suite import Suite


IF_NONE_MATCH = "HTTP_IF_NONE_MATCH"


class WSGIExchange(Exchange, eq=False):
    """An exchange over a WSGI environ."""

    def facts(self, route: str) -> Facts:
        """What tells its series from others'."""
        raw = self.raw
        scheme, version = raw["wsgi.url_scheme"], raw.get("SERVER_PROTOCOL", "HTTP/1.1")[5:]
        return self.method, scheme, route, self.status, version, self.error, self.result

    def fields(self, name: bytes) -> Sequence[bytes]:
        """The request field of this lower-case name; the server has joined its lines."""
        value = self.raw.get(environ_name_of(name))
        return () if value is None else (value.encode("latin-1"),)

    def lines(self) -> Iterable[tuple[str, object]]:
        """All variables of the environ, the request's fields among them."""
        return self.raw.items()

    def host_and_agent(self) -> tuple[bytes, bytes]:
        """Host, and User-Agent; empty where there is none."""
        host, agent = self.raw.get("HTTP_HOST", ""), self.raw.get("HTTP_USER_AGENT", "")
        return host.encode("latin-1"), agent.encode("latin-1")

    def said(self, names: tuple[bytes, ...]) -> tuple[object, ...]:
        """What the request says in these fields."""
        raw = self.raw
        return tuple([raw.get(environ_name_of(name)) for name in names])

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
        self._beyond = frozenset(name for name, flag in self._names.items() if flag != CONDITIONAL)

    def admit(self, x: Exchange, seen: None = None) -> bool:  # noqa: ARG002
        """Give the request its flags and its key; False sends it round the cache."""
        environ = x.raw
        asked = IF_NONE_MATCH in environ
        noted = self._beyond if asked else self._noted
        if x.method == "GET" and self.enabled and noted.isdisjoint(environ):
            if asked:
                x.flags, x.tag = CONDITIONAL, environ[IF_NONE_MATCH].encode("latin-1")
            x.key = environ_key(environ)
            return not self.narrows or self.narrow(x)
        admitted = self.weigh(x, scan_environ(environ, self._names))
        if not admitted and not x.voids:
            return False
        x.key = environ_key(environ)  # of an unsafe method: what its success makes void
        return (not self.narrows or self.narrow(x)) and admitted

    def key_of(self, x: Exchange, query: bytes) -> Key:
        """The request's key with another query."""
        return environ_key({**x.raw, "QUERY_STRING": query.decode("latin-1")})
