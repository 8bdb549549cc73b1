"""What a route's author says of its caching, and what is known of one request's route."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from apsperf_mw.cache.checks import (
    TTL,
    Lifetime,
    check_statuses,
    checked_lifetime,
    checked_tags,
    checked_ttl,
    is_number,
    is_token,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from apsperf_mw.exchange import Exchange
    from apsperf_mw.settings import TTLSettings

View = TypeVar("View", bound="Callable[..., Any]")


class Rule(Struct, frozen=True):
    """What `@cached` or a path pattern says of responses that say nothing themselves.

    `ttl` is a class or seconds, or a function that gives one of them for any status and its
    fields, or 0 for none; `rule` takes the name of such a strategy too. `statuses` have lifetimes
    of their own, which come first. `shared` says that cookies do not matter, `depends` that what
    is made of tables is void once they are written.
    """

    ttl: TTL | Lifetime
    tags: tuple[str, ...] = ()
    shared: bool = False
    vary: tuple[str, ...] = ()
    stale_while_revalidate_s: float = 0.0
    statuses: tuple[tuple[int, TTL], ...] = ()
    depends: bool = False

    def lifetime_s(self, classes: TTLSettings) -> float:
        """The seconds that the rule gives."""
        return 0.0 if callable(self.ttl) else _seconds(self.ttl, classes)

    def seconds(self, status: int, classes: TTLSettings) -> float | None:
        """What the rule gives this status alone."""
        return next((_seconds(ttl, classes) for code, ttl in self.statuses if code == status), None)

    def settled(self, status: int, headers: Iterable[Sequence[bytes]]) -> Rule:
        """The rule for one response, its lifetime asked for."""
        if not callable(self.ttl):
            return self
        fields = {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in headers}
        ttl = self.ttl(status, fields)
        ttl = 0.0 if is_number(ttl) and ttl == 0 else checked_ttl(ttl)
        return replace(self, ttl=ttl, statuses=(*self.statuses, (status, ttl)))


def _seconds(ttl: TTL, classes: TTLSettings) -> float:
    return float(getattr(classes, ttl)) if isinstance(ttl, str) else float(ttl)


def rule(
    ttl: TTL | Lifetime,
    tags: Iterable[str] = (),
    *,
    shared: bool = False,
    vary: Iterable[str] = (),
    stale_while_revalidate: float = 0.0,
    statuses: Mapping[int, TTL] | None = None,
    key: Callable[[Exchange], str | bytes] | None = None,
    depends: str | None = None,
) -> Rule:
    """A checked `Rule`; raises `SettingError` for anything that cannot be."""
    names = (vary,) if isinstance(vary, str) else tuple(vary)
    for name in names:
        if not is_token(name) or name == "*":
            raise refused("vary", name, "names of request headers")
    if not isinstance(shared, bool):
        raise refused("shared", shared, "True or False")
    if key is not None and not callable(key):
        raise refused("key", key, "a function of the request")
    if depends not in (None, "auto"):
        raise refused("depends", depends, "auto or None")
    check_statuses(statuses)
    if not is_number(stale_while_revalidate) or stale_while_revalidate < 0:
        raise refused("stale_while_revalidate", stale_while_revalidate, "seconds from 0")
    if key is not None and stale_while_revalidate:
        # A request in the background has nothing of the client that a function could look at.
        raise refused("stale_while_revalidate", stale_while_revalidate, "0 together with key")
    return Rule(
        checked_lifetime(ttl),
        checked_tags(tags),
        shared,
        tuple(map(str.lower, names)) + (() if key is None else (selector(key),)),
        float(stale_while_revalidate),
        tuple((status, checked_ttl(each)) for status, each in (statuses or {}).items()),
        depends is not None,
    )


# What `key=` functions are called where a variant's field names are listed; the colon keeps them
# apart from fields.
_selectors: dict[str, Callable[[Exchange], str | bytes]] = {}


def selector(select: Callable[[Exchange], str | bytes]) -> str:
    """The name under which a function of the request selects among variants."""
    name = f"key:{select.__module__}.{select.__qualname__}"
    number = 1
    while _selectors.get(name, select) is not select:
        number += 1
        name = f"{name.partition('#')[0]}#{number}"
    _selectors[name] = select
    return name


def selected(name: bytes, x: Exchange) -> bytes | None:
    """What the function of this name says of the request; None where it is not there."""
    select = _selectors.get(name.decode("utf-8", "replace"))
    if select is None:
        return None
    value = select(x)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if not isinstance(value, bytes):
        raise refused("key", value, "a function that gives text or bytes")
    return value


MARK = "__apsperf_rule__"


def cached(
    ttl: TTL | Lifetime,
    tags: Iterable[str] = (),
    *,
    shared: bool = False,
    vary: Iterable[str] = (),
    stale_while_revalidate: float = 0.0,
    statuses: Mapping[int, TTL] | None = None,
    key: Callable[[Exchange], str | bytes] | None = None,
    depends: str | None = None,
) -> Callable[[View], View]:
    """Mark a view: its responses may be kept for `ttl` where they do not say themselves.

    `ttl` is a class (short, medium, long, negative), seconds, or a function of status and fields
    that gives one of them, or 0 for none. Class and seconds are for successes and lasting
    redirects, and 404 and 410 have the class negative; a function decides for every status that
    can be stored at all. `statuses` gives some a lifetime of their own. `shared` says
    that cookies do not change the response. Responses are kept apart by the request fields of
    `vary` and by what `key` makes of the request. For `stale_while_revalidate` seconds past its
    lifetime a response is still served while it is made anew. With `depends="auto"` it is void as
    soon as one of the database tables that were read for it is written: see `Suite.database`. The
    view itself stays as it is.
    """
    made = rule(
        ttl,
        tags,
        shared=shared,
        vary=vary,
        stale_while_revalidate=stale_while_revalidate,
        statuses=statuses,
        key=key,
        depends=depends,
    )

    def mark(view: View) -> View:
        if not callable(view):
            raise refused("ttl", ttl, "@cached(...), with brackets, before a view")
        setattr(view, MARK, made)
        return view

    return mark


def rule_of(view: object) -> Rule | None:
    """The mark that `cached` left on a view or on what it wraps."""
    found = getattr(view, MARK, None)
    return found if isinstance(found, Rule) else None


# Tags of tables that a response carries at most; past so many it carries these.
MOST_TABLES = 64
EVERY_TABLE = ("table:*", "table:?")


# The plan of the request that this code serves, for code that has neither scope nor environ.
current: ContextVar[Plan | None] = ContextVar("apsperf.plan", default=None)


class Plan(Struct, eq=False):
    """One request's route: filled in by an adapter or the app, read when the response begins.

    `route` is the template. `private` keeps the response out of the cache whatever its fields
    say; an adapter sets it where the framework saw a session in use. `guarded` names what decides
    who may pass: it keeps the response out too, unless the rule is `shared`. `late` is called once
    more when the body has ended, to look again. `costs`, `trace` and `span` are the observers':
    what the request has cost so far, the ids of a trace that is not sampled, and its span if it is.
    `tables` are the tags of what was read of databases so far, `since` the tick at which the first
    of these transactions began.
    """

    route: str = ""
    rule: Rule | None = None
    tags: tuple[str, ...] = ()
    private: bool = False
    late: Callable[[Plan], object] | None = None
    costs: Any = None
    trace: tuple[int, int] | None = None
    span: Any = None
    guarded: str = ""
    tables: set[str] | None = None
    since: int = 0

    @property
    def kept_out(self) -> bool:
        """Whether it is for one user."""
        return self.private or bool(
            self.guarded and not (self.rule is not None and self.rule.shared)
        )

    def add(self, tags: Iterable[str]) -> None:
        """Have the response carry these tags too; `SettingError` for one that cannot be."""
        self.tags = (*self.tags, *checked_tags(tags))

    def all_tags(self) -> tuple[str, ...]:
        """The rule's tags and those added while the response was made."""
        rule = self.rule
        if rule is None:
            return self.tags
        tables = self.tables if rule.depends else None
        return (*rule.tags, *self.tags, *(tables or ()))

    def made_at(self, began: int) -> int:
        """The tick of which the response is, where its request began at that one."""
        rule = self.rule
        if rule is None or not rule.depends or not self.tables:
            return began
        return min(began, self.since)

    def read(self, tables: tuple[str, ...], tick: int) -> None:
        """Tables were read, by their tags, in a transaction that began at that tick."""
        known = self.tables
        if known is None:
            self.tables, self.since = set(tables), tick
            return
        known.update(tables if len(known) < MOST_TABLES else EVERY_TABLE)
        if tick < self.since:
            self.since = tick


# The fields of a plan that says nothing yet, for subclasses that are made with more of their own.
UNPLANNED = ("", None, (), False, None, None, None, None, "", None, 0)
