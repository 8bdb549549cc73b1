"""What is fetched anew in vain is left alone for a while: a rule of the house."""

from __future__ import annotations

from tests.model.shelf import Key, key_of
from tests.model.storing import Stored

Variant = tuple[Key, tuple[str | None, ...]]


def variant_of(stored: Stored) -> Variant:
    """The URL, and what the response varied on."""
    values = tuple(stored.request.value(name) for name in sorted(stored.vary))
    return key_of(stored.request), values


class Rests:
    """When each variant was last tried, and for how long it is left alone then."""

    def __init__(self) -> None:
        self._tried: dict[Variant, tuple[float, float]] = {}

    def may_begin(self, held: Stored, now: float) -> bool:
        """Whether it is fetched anew now: not within 1, 2, 4 ... 60 s of an attempt in vain."""
        variant = variant_of(held)
        tried_at, rest_s = self._tried.get(variant, (now, 0.0))
        if now < tried_at + rest_s:
            return False
        self._tried[variant] = (now, min(max(2 * rest_s, 1), 60))
        return True

    def end(self, stored: Stored) -> None:
        """Something was stored in its place."""
        self._tried.pop(variant_of(stored), None)
