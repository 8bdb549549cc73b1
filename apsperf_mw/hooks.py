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
    Entered = tuple[Token[Plan | None], Any]


VERBS = ("start", "enter", "head", "read", "end")


class Hooks:
    """The observers' methods, collected once; a hook that raises is noted, never felt.

    `others` is whether there are any but the suite's own recorder, `look_on` has the methods
    that get heads of responses.
    """

    def __init__(
        self, observers: Iterable[object], faults: Faults, recorder: object = None
    ) -> None:
        seen = tuple(observers)
        self.others = any(
            hasattr(each, name) for each in seen if each is not recorder for name in VERBS
        )
        self.starts = _methods(seen, "start")
        self.heads = _methods(seen, "head")
        self.reads = _methods(seen, "read")
        self.look_on = self.heads + self.reads
        self.ends = _methods(seen, "end")
        scopes = zip(_methods(seen, "enter"), _methods(seen, "leave"), strict=True)
        self._scopes = tuple(scopes)
        self._enter, self._leave = _scope(self._scopes)
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
        if not self._scopes:
            return token, None
        try:
            return token, self._enter(x)
        except Exception as fault:
            self.faults.note("an observer's enter", fault)
        return token, None

    def leave(self, x: Exchange, entered: Entered) -> None:
        """The app has returned."""
        try:
            if self._scopes:
                self._leave(x, entered[1])
            current.reset(entered[0])
        except Exception as fault:
            self.faults.note("an observer's leave", fault)

    def head(self, x: Exchange, headers: list[Header]) -> None:
        """The response's head is known; observers may add fields."""
        try:
            for head in self.heads:
                head(x, headers)
        except Exception as fault:
            self.faults.note("an observer's head", fault)

    def show(self, x: Exchange, headers: list[Header]) -> None:
        """As `head`, and then `read`, of a head that is whole."""
        try:
            for look in self.look_on:
                look(x, headers)
        except Exception as fault:
            self.faults.note("an observer's head", fault)

    def read(self, x: Exchange, headers: list[Header] | list[tuple[str, str]]) -> None:
        """The response's head is whole, in the form in which it goes out."""
        try:
            for read in self.reads:
                read(x, headers)
        except Exception as fault:
            self.faults.note("an observer's reading", fault)

    def end(self, x: Exchange, error: BaseException | None = None) -> None:
        """The last byte is out, or never will be; only the first call counts."""
        if x.done:
            return
        x.done = True
        if x.plan is not None:
            x.plan.late = None  # nobody looks again, and it leads back to the plan
        if error is not None:
            x.error = type(error).__qualname__
        if not self.ends:
            return
        x.ended_at = monotonic()
        try:
            for end in self.ends:
                end(x)
        except Exception as fault:
            self.faults.note("an observer's end", fault)


def _methods(observers: tuple[object, ...], name: str) -> tuple[Callable[..., Any], ...]:
    return tuple(getattr(observer, name) for observer in observers if hasattr(observer, name))


def _scope(
    scopes: tuple[tuple[Callable[..., Any], Callable[..., Any]], ...],
) -> tuple[Callable[[Exchange], Any], Callable[[Exchange, Any], None]]:
    """How to enter all scopes, and to leave them in the other order; one alone is its own way."""
    if len(scopes) == 1:
        return scopes[0]

    def enter(x: Exchange) -> list[Any]:
        entered: list[Any] = []
        try:
            for each, leave_each in scopes:
                entered.append((leave_each, each(x)))
        except BaseException:
            leave(x, entered)
            raise
        return entered

    def leave(x: Exchange, entered: list[Any] | None) -> None:
        while entered:
            leave_last, what = entered.pop()
            leave_last(x, what)

    return enter, leave
