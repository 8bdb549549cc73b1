"""What is known of a wrapped connection, and how more of it is heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from msgspec import Struct, field

from apsperf_mw.db.kinds import Kind  # noqa: TC001 - the fields' types
from apsperf_mw.db.seams import stand_in
from apsperf_mw.db.sights import Sight  # noqa: TC001 - the fields' types

if TYPE_CHECKING:
    from collections.abc import Callable
    from weakref import ReferenceType

    from apsperf_mw.db.wrapped import Following


class Link(Struct, eq=False, weakref=True):
    """What is known of one connection, which it does not keep alive.

    `began` is the tick before its transaction, None where none is open. `reading` are cursors of
    SQLite that have rows left: until they have none, all that is read is of the time when the
    first began. What a `wild` one does is not understood; what an `altered` one reads is not what
    others read.
    """

    key: int
    kind: Kind
    sight: Sight | None
    began: int | None = None
    writes: set[str] | None = None
    reading: set[int] = field(default_factory=set)
    wild: bool = False
    altered: bool = False


# Left on a connection of psycopg's, which outlives what it is wrapped by.
STRANGE = "_apsperf_altered"


def estrange(link: Link, real: Any) -> None:
    """Its session may not be as others are any more, as long as the connection lives."""
    link.altered = True
    if hasattr(real, "__dict__"):
        vars(real)[STRANGE] = True


def is_strange(real: Any) -> bool:
    """Whether that was so when it was wrapped before."""
    return bool(getattr(real, STRANGE, False))


class Ear:
    """Stands for psycopg's `wait`, by which all goes: what others have it commit is heard too.

    As a pool does that gets its connection back. It keeps nobody alive.
    """

    def __init__(self, real: Any) -> None:
        self._inner: Callable[..., Any] | None = vars(real).get("wait")
        self._real = ref(real)
        self._hears: tuple[ReferenceType[Following], ReferenceType[Link]] | None = None

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Wait, and heed what has come."""
        real: Any = self._real()
        try:
            if self._inner is None:
                return type(real).wait(real, *given, **named)
            return self._inner(*given, **named)
        finally:
            self._settle(real)

    def turn(self, following: Following, link: Link) -> bool:
        """Hear for these, unless it does for others."""
        whose = None if self._hears is None else self._hears[0]()
        if whose is not None and whose is not following:
            return False
        self._hears = ref(following), ref(link)
        return True

    def next(self) -> Any:
        """The one below it."""
        return self._inner

    def _settle(self, real: Any) -> None:
        if self._hears is not None:
            link = self._hears[1]()
            if link is not None and link.writes:
                following = self._hears[0]()
                if following is not None:
                    following.settle(link, real)


def hear(following: Following, real: Any, link: Link) -> None:
    """Hear what a connection of psycopg's commits, whoever has it commit."""
    found = vars(real).get("wait")
    while isinstance(found, Ear):
        if found.turn(following, link):
            return
        found = found.next()
    made = Ear(real)
    made.turn(following, link)
    stand_in(real, {"wait": made})
