"""Rules by path pattern, from the settings: `@cached` without touching the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from apsperf_mw.cache.policy import Rule, rule
from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apsperf_mw.cache.keys import Key
    from apsperf_mw.settings import RouteSettings

_WILD = re.compile(r"(\*\*|\*)")
_MEANS = {"**": ".*", "*": "[^/]*"}


class Routes:
    """The first pattern that matches the whole raw path gives the rule."""

    def __init__(self, routes: Iterable[RouteSettings]) -> None:
        self._routes = [_read(number, each) for number, each in enumerate(routes)]

    def __bool__(self) -> bool:
        return bool(self._routes)

    def rule(self, key: Key, headers: Iterable[Sequence[bytes]]) -> Rule | None:
        """The rule for a response of this key; none for a URL too long to be kept as text.

        Where the pattern ends in a file's extension the response must be of that type: a page
        that answers to `/account/x.css` is not the style sheet that the rule is about.
        """
        if len(key) != 6:
            return None
        path = str(key[4])
        for matches, kind, found in self._routes:
            if matches.fullmatch(path):
                return found if kind is None or kind == _type_of(headers) else None
        return None


def pattern(path: str) -> re.Pattern[str]:
    """The pattern as an expression: `*` within a segment, `**` across segments."""
    if not path.startswith("/"):
        raise SettingError(f"path {path!r} given; accepted: a pattern from /")
    parts = _WILD.split(path)
    return re.compile("".join(_MEANS.get(part) or re.escape(part) for part in parts), re.DOTALL)


def kind_of(path: str) -> str | None:
    """The media type that a pattern's extension stands for."""
    from mimetypes import guess_type

    name = path.rpartition("/")[2]
    return guess_type(f"x{name[name.rindex('.') :]}")[0] if "." in name else None


def _read(number: int, each: RouteSettings) -> tuple[re.Pattern[str], str | None, Rule]:
    try:
        return pattern(each.path), kind_of(each.path), _rule(each)
    except SettingError as error:
        raise SettingError(f"cache.routes[{number}] ({each.path!r}): {error}") from None


def _rule(each: RouteSettings) -> Rule:
    return rule(
        each.ttl,
        each.tags,
        shared=each.shared,
        vary=each.vary,
        stale_while_revalidate=each.stale_while_revalidate,
        depends=each.depends,
    )


def _type_of(headers: Iterable[Sequence[bytes]]) -> str:
    said = [bytes(value) for name, value in headers if name.lower() == b"content-type"]
    return said[0].partition(b";")[0].strip().lower().decode("latin-1") if said else ""
