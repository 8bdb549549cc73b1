"""One statement of each shape, with its values, for the database to be asked about it later.

They stay in this process and are told to nobody.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

MOST_SAMPLES = 1024
# A text that is longer is not kept, nor are values that are.
MOST_TEXT, MOST_VALUE, MOST_VALUES = 16_384, 512, 256
PLAIN = (int, float, bool, type(None), UUID, Decimal, date, datetime, time, timedelta)


class Sample(NamedTuple):
    """A text as it was sent, and its values; None where they are not kept."""

    text: str
    given: Any


class Samples:
    """Of one recorder."""

    def __init__(self) -> None:
        self._known: dict[str, Sample] = {}

    def keep(self, shape: str, text: str, given: tuple[Any, ...], *, newer: bool = False) -> None:
        """Keep one for a shape that has none, or in place of it."""
        known = self._known.get(shape)
        full = known is None and len(self._known) >= MOST_SAMPLES
        if len(text) <= MOST_TEXT and not full and (newer or known is None):
            self._known[shape] = Sample(text, values_of(given[0]) if given else ())

    def of(self, shape: str) -> Sample | None:
        """That of a shape."""
        return self._known.get(shape)

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()


def values_of(given: Any) -> Any:
    """Values as they were sent, of many sets the first; None where one is long, or no plain one."""
    if type(given) is list and given and type(given[0]) in {tuple, dict, list}:
        given = given[0]
    if given is None:
        return ()
    if not isinstance(given, (dict, tuple, list)) or len(given) > MOST_VALUES:
        return None
    values: Any = given.values() if isinstance(given, dict) else given
    if not all(map(_fits, values)):
        return None
    return given if isinstance(given, tuple) else given.copy()


def _fits(value: object) -> bool:
    return isinstance(value, PLAIN) or (
        isinstance(value, (str, bytes)) and len(value) <= MOST_VALUE
    )
