"""One request and its response on their way through the suite.

The shells fill an `Exchange` in; the cache and the observers read it. Headers and paths stay in
the form in which the server gave them: nothing is decoded before somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.flights import Flight
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.cache.policy import Plan
    from apsperf_mw.cache.rules.answer import Answer
    from apsperf_mw.cache.tape import Tape
    from apsperf_mw.http.fields import CacheControl

Header = tuple[bytes, bytes]
# Method, scheme, route, status, version, error and what the cache did, as they came.
Facts = tuple[str, str, str, int, str, str, str]


class Exchange(Struct, eq=False):
    """What is known of one request; `started`, `head_at` and `ended_at` are monotonic seconds.

    `result` is what the cache did: hit, miss, stale, revalidated, bypass, collapsed or off.
    `tag` is a line of If-None-Match, `chunks` the pieces in which the body went out. `stale` is
    what the app is asked about, `renewal` the flight on which a stale entry that was served is
    fetched anew, `answer` what is being stored, `wants` the request's own directives where they
    count. `error` is the name of the exception type that the app let through. `span` belongs to
    the observer that traces, and `heard` is the head that it has kept. `voids` is whether its
    success makes void what is stored under its URL.
    """

    # Whether its app may be one of several that take turns on one thread.
    takes_turns: ClassVar[bool] = False

    raw: dict[str, Any]
    method: str
    started: float
    flags: int = 0
    tag: bytes | None = None
    key: Key | None = None
    plan: Plan | None = None
    flight: Flight | None = None
    answer: Answer | None = None
    tape: Tape | None = None
    stale: Entry | None = None
    renewal: Flight | None = None
    wants: CacheControl | None = None
    status: int = 0
    template: str = ""
    result: str = "bypass"
    detail: str = ""
    head_at: float = 0.0
    ended_at: float = 0.0
    sent_bytes: int = 0
    chunks: int = 0
    error: str = ""
    span: Any = None
    done: bool = False
    voids: bool = False
    heard: tuple[Any, ...] = ()

    @property
    def route(self) -> str:
        """The route template as the framework's adapter gave it, or an empty string."""
        return self.plan.route if self.plan is not None else self.template

    # What follows is answered by each shell's subclass.

    def facts(self, route: str) -> Facts:
        """What tells its series from others'."""
        raise NotImplementedError

    def fields(self, name: bytes) -> Sequence[bytes]:
        """All request field lines of this lower-case name, in order."""
        raise NotImplementedError

    def lines(self) -> Iterable[tuple[str, object] | tuple[bytes, object]]:
        """All request field lines, by the names that the server gives them; others may be there."""
        raise NotImplementedError

    def host_and_agent(self) -> tuple[bytes, bytes]:
        """Host, and User-Agent; empty where there is none, and for a Host that is there twice."""
        raise NotImplementedError

    def said(self, names: tuple[bytes, ...]) -> tuple[object, ...]:
        """What the request says in these fields, as it came; None where it says nothing."""
        raise NotImplementedError

    @property
    def scheme(self) -> str:
        """The URL scheme, lower case."""
        raise NotImplementedError

    @property
    def path(self) -> str:
        """The decoded path that the app sees, with its mount point."""
        raise NotImplementedError

    @property
    def query(self) -> bytes:
        """The raw query without its question mark."""
        raise NotImplementedError

    @property
    def http_version(self) -> str:
        """`1.0`, `1.1`, `2` or `3`."""
        raise NotImplementedError

    @property
    def client(self) -> str:
        """The peer's address as the server gave it, or an empty string."""
        raise NotImplementedError

    @property
    def server(self) -> tuple[str, int | None]:
        """The host and port that the client asked for."""
        raise NotImplementedError
