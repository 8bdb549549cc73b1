"""Who sends a statement for all that want its rows at once: one, and the others wait for it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    Wake = Callable[[], None]


class Turn(Struct, eq=False):
    """One statement that is being sent; threads and tasks may wait for its end.

    It takes no lock: whoever is waiting is taken off the list before being woken, so once.
    """

    wakers: list[Wake] = field(default_factory=list)
    over: bool = False

    def join(self, wake: Wake) -> None:
        """Have `wake` called when it has ended; at once if it has."""
        self.wakers.append(wake)
        if self.over:
            self.end()

    def end(self) -> None:
        """Wake all; a waiter whose event loop has been closed does not wait any more."""
        self.over = True
        while self.wakers:
            with suppress(IndexError, RuntimeError):  # another thread has just taken the last
                self.wakers.pop()()


class Turns:
    """Those of all keys."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Turn] = {}

    def take(self, key: Hashable) -> tuple[Turn, bool]:
        """The turn of this key, and whether it is the caller's, who is to `leave` it."""
        own = Turn()
        found = self._known.setdefault(key, own)  # one step of a dict
        return found, found is own

    def leave(self, key: Hashable, turn: Turn) -> None:
        """It has ended, well or not."""
        self._known.pop(key, None)
        turn.end()
