"""What a route's author says of its caching, and what is known of one request's route."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.settings import TTLSettings

View = TypeVar("View", bound="Callable[..., Any]")

TTL_CLASSES = ("short", "medium", "long")


class Rule(Struct, frozen=True):
    """One `@cached` mark: a TTL class or seconds, tags, and whether cookies do not matter."""

    ttl: str | float
    tags: tuple[str, ...] = ()
    shared: bool = False


def rule(ttl: str | float, tags: Iterable[str] = (), *, shared: bool = False) -> Rule:
    """A checked `Rule`; raises `SettingError` for a TTL or a tag that cannot be."""
    if not _can_be_ttl(ttl):
        known = ", ".join(TTL_CLASSES)
        raise SettingError(f"cached(ttl=...): {ttl!r} given; accepted: {known} or seconds above 0")
    names = (tags,) if isinstance(tags, str) else tuple(tags)
    for tag in names:
        _check_tag(tag)
    return Rule(ttl, names, shared)


def _can_be_ttl(ttl: object) -> bool:
    if isinstance(ttl, int | float) and not isinstance(ttl, bool):
        return 0 < ttl < math.inf
    return isinstance(ttl, str) and ttl in TTL_CLASSES


def _is_ttl(ttl: object) -> bool:
    if isinstance(ttl, str):
        return ttl in TTL_CLASSES
    return isinstance(ttl, int | float) and not isinstance(ttl, bool) and 0 < ttl < math.inf


def _check_tag(tag: object) -> None:
    if not isinstance(tag, str) or not tag:
        raise SettingError(f"cached(tags=...): {tag!r} given; accepted: non-empty strings")


MARK = "__apsperf_rule__"


def cached(
    ttl: str | float, tags: Iterable[str] = (), *, shared: bool = False
) -> Callable[[View], View]:
    """Mark a view: its responses may be kept for `ttl` where they do not say themselves.

    `ttl` is a class (short, medium, long) or seconds. `shared` says that cookies do not change
    the response. The view itself stays as it is.
    """
    made = rule(ttl, tags, shared=shared)

    def mark(view: View) -> View:
        setattr(view, MARK, made)
        return view

    return mark


def rule_of(view: object) -> Rule | None:
    """The mark that `cached` left on a view or on what it wraps."""
    found = getattr(view, MARK, None)
    return found if isinstance(found, Rule) else None


class Plan(Struct, eq=False):
    """One request's route: filled in by an adapter or the app, read when the response begins.

    `route` is the template. `private` keeps the response out of the cache whatever its fields
    say; an adapter sets it where the framework saw a session in use.
    """

    route: str = ""
    rule: Rule | None = None
    tags: tuple[str, ...] = ()
    private: bool = False

    @property
    def shared(self) -> bool:
        """Whether the route's author says that cookies do not change its responses."""
        return self.rule is not None and self.rule.shared

    def all_tags(self) -> tuple[str, ...]:
        """The rule's tags and those added while the response was made."""
        return self.tags if self.rule is None else (*self.rule.tags, *self.tags)

    def ttl_s(self, classes: TTLSettings) -> float | None:
        """The rule's time to live in seconds, or None where there is no rule."""
        if self.rule is None:
            return None
        ttl = self.rule.ttl
        return float(getattr(classes, ttl)) if isinstance(ttl, str) else float(ttl)
