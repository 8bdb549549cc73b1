"""What the reference speaks of: requests, responses, and what is asked of the cache.

Nothing in this directory but `world` and the tests themselves imports the package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Field = tuple[str, str]
Fields = tuple[Field, ...]


def lines_of(fields: Fields, name: str) -> list[str]:
    """All lines of a field, in order; names have no case (RFC 9110 §5.1)."""
    return [value for known, value in fields if known.lower() == name.lower()]


@dataclass(frozen=True)
class Request:
    """A request; `target` is the raw path and query, and Host is one of the fields."""

    method: str = "GET"
    target: str = "/"
    fields: Fields = ()
    body: bytes = b""
    scheme: str = "http"

    def lines(self, name: str) -> list[str]:
        """All lines of a field."""
        return lines_of(self.fields, name)

    def has(self, *names: str) -> bool:
        """Whether one of these fields is there."""
        return any(self.lines(name) for name in names)

    def value(self, name: str) -> str | None:
        """The field's lines as one (RFC 9110 §5.2), or None where it is absent."""
        lines = self.lines(name)
        return ",".join(lines) if lines else None

    def without(self, *names: str) -> Request:
        """The same without these fields."""
        kept = tuple(field for field in self.fields if field[0].lower() not in names)
        return Request(self.method, self.target, kept, self.body, self.scheme)

    def with_fields(self, *more: Field) -> Request:
        """The same with more fields."""
        return Request(self.method, self.target, (*self.fields, *more), self.body, self.scheme)


@dataclass(frozen=True)
class Response:
    """A response, and what the route's author says of it: `rule_s` and `shared`."""

    status: int = 200
    fields: Fields = ()
    body: bytes = b""
    rule_s: float | None = None
    shared: bool = False

    def lines(self, name: str) -> list[str]:
        """All lines of a field."""
        return lines_of(self.fields, name)

    def first(self, name: str) -> str | None:
        """The field's first line."""
        lines = self.lines(name)
        return lines[0] if lines else None


class AppFailed(Exception):
    """The app raised before its response began."""


@dataclass(frozen=True)
class Reply:
    """What the client gets. `kind` says whence:

    app, failed, served, not-modified, part, unsatisfiable or gateway-timeout.
    """

    kind: str
    status: int = 0
    fields: Fields = ()
    body: bytes = b""
    stored: bool = False
    whole: bytes = b""
    """Of `part` alone: the body that the parts are of, as far as it is known."""
    size: int = 0
    """Of `part` alone: how long that body is."""


App = Callable[[Request], Response]


@dataclass(frozen=True)
class Abilities:
    """What the cache can do. Each is a rule of the RFCs that a cache may leave out."""

    revalidates: bool = False
    """Asks the app with the validators of a stale response (RFC 9111 §4.3.1)."""
    keeps_no_cache: bool = False
    """Stores what must be validated before each use (RFC 9111 §5.2.2.4)."""
    ranges: bool = False
    """Serves parts of a stored whole response (RFC 9110 §14)."""
    swr: bool = False
    """stale-while-revalidate (RFC 5861 §3)."""
    sie: bool = False
    """stale-if-error (RFC 5861 §4)."""
    targets: bool = False
    """Obeys the target list (RFC 9213)."""
    heuristic: bool = False
    """Knows the setting for heuristic lifetimes (RFC 9111 §4.2.2)."""
    honours_requests: bool = False
    """Knows the setting for request directives (RFC 9111 §5.2.1)."""
    freshens_by_head: bool = False
    """Updates what is stored from a response to HEAD (RFC 9111 §4.3.5)."""
    invalidates_locations: bool = False
    """Location and Content-Location of an unsafe request too (RFC 9111 §4.4)."""
    keeps_parts: bool = False
    """Stores 206 and joins parts of one body (RFC 9111 §3.3, §3.4); needs `ranges`."""
    adopts_posts: bool = False
    """Stores the answer to a POST that says what a GET would get (RFC 9110 §9.3.3)."""
    writes_rules: bool = False
    """Tells the client the lifetime that a route's rule gives (house)."""
    strips_target: bool = False
    """Keeps the field that is for this cache alone from the client (RFC 9213 §2.2; house)."""


ALL = Abilities(*[True] * 14)


@dataclass(frozen=True)
class Departures:
    """Places where the package is known not to follow the RFC to the letter; all False: none."""

    selects_by_union: bool = False
    """RFC 9111 §4.1: a URL's responses are matched on all fields that any of them varied on, and
    forgotten when a new one varies on another field: misses where the RFC allows a hit, and may
    prefer an older response to a younger one that varies on less."""
    ignores_delay: bool = False
    """RFC 9111 §4.2.3: the time that the app took does not count as age where it says no Age."""
    trusts_any_304: bool = False
    """RFC 9111 §4.3.4: a 304 with another strong validator updates what is stored all the same."""


@dataclass(frozen=True)
class House:
    """The settings, and the bounds that are ours rather than the RFC's."""

    share_with_cookie: bool = False
    ignore_cookies: tuple[str, ...] = ()
    store_set_cookie: bool = False
    error_ttl_s: float = 10.0
    request_directives: str = "ignore"
    heuristic: bool = False
    stale_on_error: bool = False
    max_entry_bytes: int = 1_048_576
    max_variants: int = 64
    heuristic_max_s: float = 86_400.0
    keep_stale_s: float = 3600.0
    credentials: tuple[str, ...] = field(default=("x-api-key", "proxy-authorization"))
    forwarding: tuple[str, ...] = field(default=("x-forwarded-host", "forwarded"))
