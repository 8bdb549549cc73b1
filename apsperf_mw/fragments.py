"""Parts of pages that templates keep, whatever the template engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.suite import Suite


class Personal(Exception):
    """What was made is for one user alone, and is not kept."""

    def __init__(self, part: str) -> None:
        super().__init__("a part that asked for the session, or for the token of a form")
        self.part = part


def kept(
    suite: Suite,
    space: str,
    values: Iterable[Any],
    make: Callable[[], str],
    *,
    ttl: str | float = "short",
    tags: Any = (),
    stale_while_revalidate: str | float = 0.0,
) -> str:
    """A part of a page: one maker makes it, whoever asks. The page carries its tags too.

    `values` are its name and what tells its variants apart; `SettingError` for one that has no
    lasting form.
    """
    names = (tags,) if isinstance(tags, str) else tuple(tags)
    suite.tag(*names)
    key = tuple(map(told, values))
    return suite.cache(space=space).remember(
        key,
        lambda: str.__str__(make()),  # of what is safe to show the text alone
        ttl,
        tags=names,
        stale_while_revalidate=stale_while_revalidate,
    )


def told(value: Any) -> str | int | float | bool | None:
    """A value that tells variants apart."""
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or isinstance(value, int | float | bool):
        return value
    raise SettingError(
        f"cache: a {type(value).__qualname__} given to tell variants apart; accepted: text, numbers"
    )
