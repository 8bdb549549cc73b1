"""An ASGI request as the cache sees it, and what of it decides whether the cache may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apsperf_mw.cache.keys import scope_key
from apsperf_mw.cache.screen import CONDITIONAL, HOST, TRACING, scan_scope, scope_table
from apsperf_mw.exchange import Exchange
from apsperf_mw.shell import Gate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apsperf_mw.cache.faces import Face
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Facts
    from apsperf_mw.suite import Suite

    Scanned = tuple[int, bytes, bytes | None]


TRACES = frozenset(name.encode("ascii") for name in TRACING)
# The fields of a request that its span is made of.
SPOKEN = TRACES | {b"host", b"user-agent"}


class ASGIExchange(Exchange, eq=False):
    """An exchange over an ASGI scope."""

    takes_turns: ClassVar[bool] = True

    def facts(self, route: str) -> Facts:
        """What tells its series from others'."""
        scheme, version = self.raw.get("scheme", "http"), self.raw.get("http_version", "1.1")
        return self.method, scheme, route, self.status, version, self.error, self.result

    def fields(self, name: bytes) -> Sequence[bytes]:
        """All request field lines of this lower-case name, in order."""
        return [value for field, value in self.raw["headers"] if field == name]

    def lines(self) -> Iterable[tuple[bytes, object]]:
        """All request field lines, in order."""
        headers: Iterable[tuple[bytes, object]] = self.raw["headers"]
        return headers

    def host_and_agent(self) -> tuple[bytes, bytes]:
        """Host, and User-Agent; empty where there is none, and for a Host that is there twice."""
        return spoken(self.raw["headers"])[0]

    def said(self, names: tuple[bytes, ...]) -> tuple[object, ...]:
        """What the request says in these fields; several lines of one as a whole."""
        found: dict[bytes, bytes] = {}
        for name, value in self.raw["headers"]:
            if name in names:
                found[name] = value if name not in found else found[name] + b"\n" + value
        return tuple([found.get(name) for name in names])

    @property
    def scheme(self) -> str:
        """The URL scheme, lower case."""
        scheme: str = self.raw.get("scheme", "http")
        return scheme

    @property
    def path(self) -> str:
        """The decoded path that the app sees, with its mount point."""
        path: str = self.raw["path"]
        return path

    @property
    def query(self) -> bytes:
        """The raw query without its question mark."""
        query: bytes = self.raw.get("query_string", b"")
        return query

    @property
    def http_version(self) -> str:
        """`1.0`, `1.1`, `2` or `3`."""
        version: str = self.raw.get("http_version", "1.1")
        return version

    @property
    def client(self) -> str:
        """The peer's address as the server gave it, or an empty string."""
        client = self.raw.get("client")
        return str(client[0]) if client else ""

    @property
    def server(self) -> tuple[str, int | None]:
        """The host and port that the server listens on, as it gave them."""
        server = self.raw.get("server")
        return (str(server[0]), server[1]) if server else ("", None)


def spoken(lines: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], bool]:
    """Host and User-Agent, and whether there is trace context.

    Empty where there is none, and for a Host that is there twice.
    """
    host = agent = b""
    hosts = 0
    traced = False
    for name, value in lines:
        if name not in SPOKEN:
            continue
        if name == b"host":
            hosts += 1
            host = value
        elif name == b"user-agent":
            agent = agent or value
        else:
            traced = True
    return (host if hosts == 1 else b"", agent), traced


class ASGIGate(Gate):
    """Screens requests by their scope."""

    def __init__(self, suite: Suite, face: Face) -> None:
        super().__init__(suite, face)
        self._names = scope_table(suite.settings.cache)

    def admit(self, x: Exchange, seen: Scanned | None = None) -> bool:
        """Give the request its flags and its key; False sends it round the cache."""
        scope = x.raw
        flags, host, x.tag = seen or scan_scope(scope["headers"], self._names)
        admitted = flags & ~CONDITIONAL == HOST and x.method == "GET" and self.enabled
        if admitted:
            x.flags = flags & CONDITIONAL
        else:
            admitted = self.weigh(x, flags & ~HOST)
        if not admitted and not x.voids:
            return False
        x.key = scope_key(scope, host)  # of an unsafe method: what its success makes void
        return (not self.narrows or self.narrow(x)) and admitted

    def key_of(self, x: Exchange, query: bytes) -> Key:
        """The request's key with another query."""
        _, host, _ = scan_scope(x.raw["headers"], self._names)
        return scope_key({**x.raw, "query_string": query}, host)
