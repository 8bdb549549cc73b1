"""What of a request selects among the variants of a URL (RFC 9111 §4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.policy import selected
from apsperf_mw.errors import SettingError
from apsperf_mw.http.normal import NORMALISERS, spaced
from apsperf_mw.strategies import strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.cache.entry import Values
    from apsperf_mw.exchange import Exchange

    Normaliser = Callable[[bytes], bytes]
    Names = tuple[bytes, ...]

# Values are remembered up to this length, and all forgotten past so many.
LONGEST = 512
MOST_REMEMBERED = 1024


class Selection:
    """The values of request fields in the normal forms of one suite.

    A normal form is a function of a field's value; requests that it makes alike share a variant.
    """

    def __init__(self, forms: Iterable[str]) -> None:
        given = (form.partition("=") for form in forms)
        own = {name.lower().encode(): _form(form) for name, _, form in given}
        self._normalisers: dict[bytes, Normaliser] = {**NORMALISERS, **own}
        self._known: dict[tuple[Names, tuple[Any, ...]], Values] = {}

    def values(self, x: Exchange, names: Names) -> Values:
        """The request's values of these fields; absent is None, not empty.

        A name with a colon is a route's own selector.
        """
        said = names, x.said(names)
        values = self._known.get(said)
        if values is None:
            values = tuple([self._value(x, name) for name in names])
            self._remember(said, values)
        return values

    def alike(self, one: Exchange, other: Exchange, names: Names) -> bool:
        """Whether both requests select the same variant."""
        return not names or self.values(one, names) == self.values(other, names)

    def _value(self, x: Exchange, name: bytes) -> bytes | None:
        if b":" in name:
            return selected(name, x)
        lines = x.fields(name)
        if not lines:
            return None
        return self._normalisers.get(name, spaced)(b",".join(lines))

    def _remember(self, said: tuple[Names, tuple[Any, ...]], values: Values) -> None:
        names, given = said
        if any(b":" in name for name in names) or sum(map(len, filter(None, given))) > LONGEST:
            return
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[said] = values


def _form(name: str) -> Normaliser:
    form: Any = strategy("normal", name, {"spaced": spaced})
    if not callable(form):
        raise SettingError(
            f"cache.normal_forms: {name!r} is {form!r}; accepted: a function of a value as bytes"
        )

    def checked(value: bytes) -> bytes:
        made = form(value)
        if not isinstance(made, bytes):
            raise TypeError(f"{name} gave {type(made).__name__}; accepted: bytes")
        return made

    return checked
