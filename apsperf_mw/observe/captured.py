"""Header fields of requests and responses that spans tell, for the names that are asked for."""

from __future__ import annotations

import re
from os import environ
from typing import TYPE_CHECKING

from apsperf_mw.errors import SettingError
from apsperf_mw.observe.environment import HIDDEN_HEADERS, REQUEST_HEADERS, RESPONSE_HEADERS
from apsperf_mw.observe.environment import header_patterns as read
from apsperf_mw.observe.spans import MOST_TEXT, UNTOLD, looks_like_a_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.exchange import Exchange
    from apsperf_mw.faults import Faults
    from apsperf_mw.observe.spans import Fields
    from apsperf_mw.settings import Settings

    Pattern = re.Pattern[str] | None

# Names told of one message, and lines of one name, at most.
MOST_FIELDS = 32
MOST_LINES = 8
# Names whose standing is remembered.
MOST_NAMES = 512
LONGEST_NAME = 80

_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")  # RFC 9110 §5.6.2
# What such a field says is nobody's business, whatever is asked for.
_SECRET = re.compile(
    r"auth(?!ors?$)|cookie|token|secret|passw|pwd|credential|signature|session|csrf|xsrf|jwt|key$"
)
_UNPREFIXED = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}


class Names(dict["str | bytes", "tuple[str, bool] | None"]):
    """For a name as a server or an app gives it: its attribute, and whether the value is told.

    None is for what is not asked for.
    """

    def __init__(
        self, prefix: str, asked_for: Pattern, hidden: Pattern, ours: Iterable[str]
    ) -> None:
        super().__init__()
        self._prefix = prefix
        self._asked_for = asked_for
        self._hidden = hidden
        self._ours = frozenset(ours)

    def __missing__(self, given: str | bytes) -> tuple[str, bool] | None:
        if len(given) > LONGEST_NAME:
            return None
        if len(self) >= MOST_NAMES:
            self.clear()
        known = self[given] = self._known(self._plain(given))
        return known

    def _plain(self, given: str | bytes) -> str:
        name = given.decode("latin-1") if isinstance(given, bytes) else given
        return name.lower()

    def _known(self, name: str) -> tuple[str, bool] | None:
        if self._asked_for is None or not self._asked_for.fullmatch(name):
            return None
        if not _NAME.fullmatch(name) or looks_like_a_key(name):
            return None
        hides = name in self._ours or _SECRET.search(name) is not None
        hides = hides or (self._hidden is not None and self._hidden.search(name) is not None)
        return self._prefix + name, not hides


class Asked(Names):
    """The names of a request's fields; those in text are variables of an environ."""

    def _plain(self, given: str | bytes) -> str:
        if isinstance(given, bytes):
            return super()._plain(given)
        if given.startswith("HTTP_"):
            return given[5:].lower().replace("_", "-")
        return _UNPREFIXED.get(given, "")


class Captures:
    """What spans tell of the fields of requests and responses; an observer of heads."""

    def __init__(self, asked: Names, answered: Names, *, unsampled: bool) -> None:
        self._asked = asked
        self._answered = answered
        self._unsampled = unsampled

    def read(self, x: Exchange, headers: Iterable[tuple[str, str] | tuple[bytes, bytes]]) -> None:
        """Keep the head that goes out, for as long as its span may be exported."""
        if x.span is not None or self._unsampled:
            x.heard = tuple(headers)

    def asked(self, x: Exchange) -> Fields:
        """What the span tells of the request's fields."""
        return _picked(self._asked, x.lines())

    def answered(self, x: Exchange) -> Fields:
        """What it tells of the response's."""
        return _picked(self._answered, x.heard)


def captures(settings: Settings, faults: Faults, *, unsampled: bool) -> Captures | None:
    """By the settings and the environment; None where nothing is asked for.

    What is wrong in the environment is noted; nothing is told where it is what should be hidden.
    """
    tracing = settings.tracing
    try:
        hidden = read(environ, HIDDEN_HEADERS)
        theirs = [read(environ, name) for name in (REQUEST_HEADERS, RESPONSE_HEADERS)]
    except SettingError as fault:
        faults.note("the choice of header fields", fault)
        return None
    asked, answered = (
        _either(mine, each)
        for mine, each in zip(
            (tracing.request_headers, tracing.response_headers), theirs, strict=True
        )
    )
    if asked is None and answered is None:
        return None
    ours = settings.cache.credential_headers
    return Captures(
        Asked("http.request.header.", asked, hidden, ours),
        Names("http.response.header.", answered, hidden, ours),
        unsampled=unsampled,
    )


def _either(mine: Iterable[str], theirs: Pattern) -> Pattern:
    """What our setting or the environment asks for; a `*` at the end of ours is any rest."""
    parts = [
        re.escape(name.removesuffix("*")) + (".*" if name.endswith("*") else "") for name in mine
    ]
    if theirs is not None:
        parts.append(theirs.pattern)
    return re.compile("|".join(parts), re.IGNORECASE) if parts else None


def _picked(names: Names, lines: Iterable[tuple[str, object] | tuple[bytes, object]]) -> Fields:
    """The lines that are asked for, cut short and still to be looked at by `told_fields`."""
    found: dict[str, list[str]] = {}
    for given, line in lines:
        known = names[given]
        if known is None:
            continue
        attribute, told = known
        if attribute not in found and len(found) >= MOST_FIELDS:
            continue
        values = found.setdefault(attribute, [])
        if len(values) < MOST_LINES:
            values.append(_text(line) if told else UNTOLD)
    return tuple([(attribute, tuple(values)) for attribute, values in found.items()])


def _text(line: object) -> str:
    if isinstance(line, bytes):
        return line[: 2 * MOST_TEXT].decode("latin-1")
    return line[: 2 * MOST_TEXT] if isinstance(line, str) else UNTOLD
