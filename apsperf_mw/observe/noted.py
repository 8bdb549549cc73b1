"""Objects of a load that note what of them is looked at.

A load is judged when the last of its objects is gone: by then nobody can look any more.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Objects of one load that are watched at most: of more nothing is said.
MOST_OBJECTS = 1000
# A column is wide where its values take so many bytes on average.
WIDE_BYTES = 1024


class Part(Struct, eq=False):
    """Something that a load has brought: a relation or a column, and what to type without it."""

    what: str
    fix: str
    rows: int = 0
    size_bytes: int = 0
    column: bool = False

    @property
    def counts(self) -> bool:
        """Whether leaving it out would be worth a word."""
        return not self.column or self.size_bytes >= WIDE_BYTES * max(self.rows, 1)


class Verdict(NamedTuple):
    """A load that is over: its line, its parts by their paths, and those that were looked at."""

    site: str
    parts: dict[str, Part]
    seen: set[str]


class Load:
    """What one statement has brought, for as long as anybody has one of its objects."""

    __slots__ = ("__weakref__", "_judge", "parts", "seen", "site")

    def __init__(self, site: str, judge: Callable[[Verdict], object]) -> None:
        self.site = site
        self.parts: dict[str, Part] = {}
        self.seen: set[str] = set()
        self._judge = judge

    def all_seen(self, below: str = "") -> None:
        """Whoever copies or lists what is there may look at all of it."""
        self.seen.update([each for each in list(self.parts) if each.startswith(below)])

    def forget(self) -> None:
        """Say nothing of it."""
        self.parts = {}

    def __del__(self) -> None:
        # Any thread may come here at any time, with any lock: it is told of later.
        if self.parts:
            self._judge(Verdict(self.site, self.parts, self.seen))


class Noted(dict[str, Any]):
    """A dictionary of an object's, as it was, which notes what is looked at."""

    __slots__ = ("_below", "_load")

    def __init__(self, own: dict[str, Any], load: Load, below: str = "") -> None:
        super().__init__(own)
        self._load = load
        self._below = below

    def __getitem__(self, name: str) -> Any:
        self._load.seen.add(self._below + name)
        return dict.__getitem__(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """As a dictionary's."""
        self._load.seen.add(self._below + name)
        return dict.get(self, name, default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """As a dictionary's."""
        self._load.seen.add(self._below + name)
        return dict.setdefault(self, name, default)

    def __iter__(self) -> Iterator[str]:
        # Only who finds this here asks for each value by its name, as `dict(...)` does.
        return dict.__iter__(self)

    def items(self) -> Any:
        """As a dictionary's."""
        self._load.all_seen(self._below)
        return dict.items(self)

    def values(self) -> Any:
        """As a dictionary's."""
        self._load.all_seen(self._below)
        return dict.values(self)

    def copy(self) -> dict[str, Any]:
        """As a dictionary's: a plain one."""
        return dict(self.items())

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __eq__(self, other: object) -> bool:
        self._load.all_seen(self._below)
        return dict.__eq__(self, other)

    __hash__ = None

    def __repr__(self) -> str:
        return repr(self.copy())

    def __reduce_ex__(self, _: Any) -> Any:
        return dict, (self.copy(),)


def size_of(value: object) -> int:
    """The bytes of a value that may be long, about as a database sends them; 0 of any other."""
    if value is None or type(value) is int:
        return 0
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, memoryview):
        return value.nbytes
    if isinstance(value, bytes | bytearray):
        return len(value)
    if type(value) in {dict, list}:
        try:
            return len(json.encode(value))
        except (TypeError, ValueError, RecursionError):
            return 0
    return 0


class _Plain:
    """Has a dictionary that nobody else has."""

    def __init__(self) -> None:
        self.own = 1


_plain = _Plain()
ALONE = getrefcount(vars(_plain))


def is_shared(own: dict[str, Any]) -> bool:
    """Whether somebody else has an object's dictionary, which must stay the object's then."""
    return getrefcount(own) > ALONE + 1
