"""The observers' hooks."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.policy import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextvars import Token

    from apsperf_mw.cache.policy import Plan
    from apsperf_mw.exchange import Exchange, Header
    from apsperf_mw.faults import Faults

    # How to undo what `Hooks.enter` has done.
    Entered = tuple[Token[Plan | None], list[tuple[Callable[..., None], object]]]


class Hooks:
    """The observers' methods, collected once; a hook that raises is noted, never felt."""

    def __init__(self, observers: Iterable[object], faults: Faults) -> None:
        seen = tuple(observers)
        self.starts = _methods(seen, "start")
        self.heads = _methods(seen, "head")
        self.ends = _methods(seen, "end")
        self._scopes = tuple(
            (enter, leave)
            for enter, leave in zip(_methods(seen, "enter"), _methods(seen, "leave"), strict=True)
        )
        self.faults = faults

    def start(self, x: Exchange) -> None:
        """The request has come."""
        try:
            for start in self.starts:
                start(x)
        except Exception as fault:
            self.faults.note("an observer's start", fault)

    def enter(self, x: Exchange) -> Entered:
        """The app is about to run in this context; the result goes to `leave`."""
        token = current.set(x.plan)
        scopes: list[tuple[Callable[..., None], object]] = []
        if self._scopes:
            try:
                for enter, leave in self._scopes:
                    scopes.append((leave, enter(x)))
            except Exception as fault:
                self.faults.note("an observer's enter", fault)
        return token, scopes

    def leave(self, x: Exchange, entered: Entered) -> None:
        """The app has returned."""
        token, scopes = entered
        try:
            while scopes:
                leave, what = scopes.pop()
                leave(x, what)
            current.reset(token)
        except Exception as fault:
            self.faults.note("an observer's leave", fault)

    def head(self, x: Exchange, headers: list[Header]) -> None:
        """The response's head is known; observers may add fields."""
        try:
            for head in self.heads:
                head(x, headers)
        except Exception as fault:
            self.faults.note("an observer's head", fault)

    def end(self, x: Exchange, error: BaseException | None = None) -> None:
        """The last byte is out, or never will be; only the first call counts."""
        if x.done:
            return
        x.done = True
        x.ended_at = monotonic()
        if error is not None:
            x.error = type(error).__qualname__
        try:
            for end in self.ends:
                end(x)
        except Exception as fault:
            self.faults.note("an observer's end", fault)


def _methods(observers: tuple[object, ...], name: str) -> tuple[Callable[..., Any], ...]:
    return tuple(getattr(observer, name) for observer in observers if hasattr(observer, name))
