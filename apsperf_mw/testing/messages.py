"""What an app and its client say to each other in the both-shell harness."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.cache.policy import Plan
    from apsperf_mw.exchange import Header

_PARAMETER = re.compile(r';\s*([a-z-]+)(?:=("(?:[^"\\]|\\.)*"|[^;,\s]*))?')


class Gate:
    """Something that an app waits for, in a thread or in a task; once open it stays open.

    `arrivals` counts those that have come to it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._wakers: list[Callable[[], None]] = []
        self._open = False
        self.arrivals = 0

    def join(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when the gate opens; at once if it is open."""
        with self._lock:
            self.arrivals += 1
            if not self._open:
                self._wakers.append(wake)
                return
        wake()

    def open(self) -> None:
        """Let everybody through."""
        with self._lock:
            self._open = True
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()


# What a plan says of its route; the rest is of one request.
SAID = ("route", "rule", "tags", "private", "late")


class Request(Struct, frozen=True):
    """A request as it goes over the wire; `target` is the raw path and query."""

    method: str = "GET"
    target: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    scheme: str = "http"

    def header(self, name: str) -> str | None:
        """The field of this name, its lines joined by commas; None where there is none."""
        lines = [value for known, value in self.headers if known.lower() == name.lower()]
        return ",".join(lines) if lines else None


class Response(Struct):
    """What an app answers.

    `body` is walked as the response goes out: bytes are sent as one chunk, a `Gate` is waited for,
    and what the iterable raises is raised by the app. A list of bytes alone goes out in one
    piece: one message, or what a WSGI app returns as it is. `hold` is waited for before the head,
    `error` raised in place of it, `plan` copied into the exchange's plan.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: Iterable[bytes | Gate] = ()
    hold: Gate | None = None
    error: BaseException | None = None
    plan: Plan | None = None

    def fill(self, plan: Plan) -> None:
        """Say of the route what `self.plan` says."""
        if self.plan is not None:
            for name in SAID:
                setattr(plan, name, getattr(self.plan, name))


class CacheStatus(Struct, frozen=True):
    """The suite's member of Cache-Status (RFC 9211); `fwd` is empty on a hit."""

    hit: bool = False
    fwd: str = ""
    stored: bool = False
    collapsed: bool = False
    ttl_s: int | None = None
    detail: str = ""
    fwd_status: int | None = None
    key: str = ""


class Reply(Struct):
    """What the client got; `chunks` are the non-empty parts of the body in the order of arrival."""

    status: int
    headers: list[Header]
    chunks: list[bytes]

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks)

    def lines(self, name: str) -> list[str]:
        """All field lines of this name, in order."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for known, value in self.headers if known.lower() == wanted]

    def header(self, name: str) -> str | None:
        """The only field line of this name, or None; `ValueError` where there are more."""
        lines = self.lines(name)
        if len(lines) > 1:
            raise ValueError(f"{name} came {len(lines)} times: {lines}")
        return lines[0] if lines else None

    @property
    def cache(self) -> CacheStatus:
        """What the suite says that it did; an empty `CacheStatus` where it says nothing."""
        lines = self.lines("cache-status")
        return parse_cache_status(lines[-1]) if lines else CacheStatus()


def parse_cache_status(line: str) -> CacheStatus:
    """The suite's member, the last one of the line; an empty `CacheStatus` for another cache's."""
    start = line.rfind("apsperf;")
    if start < 0:
        return CacheStatus()
    said = {name: value.strip('"') for name, value in _PARAMETER.findall(line[start:])}
    return CacheStatus(
        "hit" in said,
        said.get("fwd", ""),
        "stored" in said,
        said.get("collapsed", "?0") == "",
        int(said["ttl"]) if "ttl" in said else None,
        said.get("detail", ""),
        int(said["fwd-status"]) if "fwd-status" in said else None,
        said.get("key", ""),
    )
