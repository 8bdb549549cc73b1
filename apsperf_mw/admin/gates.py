"""Gates that explain a response to a request that bears the token, in a field of that response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.asgi_gate import ASGIGate
from apsperf_mw.explain.responses import answered, served
from apsperf_mw.shell import Gate
from apsperf_mw.wsgi_gate import WSGIGate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apsperf_mw.admin.door import Door
    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.explain.steps import Explanation
    from apsperf_mw.suite import Suite

NAME = b"apsperf-explain"
ENVIRON_NAME = "HTTP_APSPERF_EXPLAIN"
# Among the flags of a request until the gate has looked at the token.
EXPLAIN = 1 << 30
# Under this name a request carries its `Telling`.
TELLING = "apsperf.explain"


class Telling:
    """What a request is told of its response; `aloud` where that is put into a field."""

    def __init__(self, *, aloud: bool) -> None:
        self.aloud = aloud
        self.explanation: Explanation | None = None

    def line(self) -> bytes | None:
        """The field's value, where there is to be one."""
        return self.explanation.line() if self.aloud and self.explanation is not None else None


class Explaining(Gate):
    """A gate that knows the field, and takes it from the request before anybody else sees it."""

    door: Door

    def weigh(self, x: Exchange, flags: int) -> bool:
        """As the gate does; the field itself does not change what becomes of the request."""
        if flags & EXPLAIN:
            flags &= ~EXPLAIN
            if self.door.explains(x.fields(NAME)):
                self.strip(x)
                x.raw[TELLING] = Telling(aloud=True)
        return super().weigh(x, flags)

    def strip(self, x: Exchange) -> None:
        """Take the token from the request: an app might show it to others."""
        raise NotImplementedError

    def tell_served(self, x: Exchange, entry: Entry) -> bytes | None:
        """The field for a response from an entry, or None."""
        telling: Telling | None = x.raw.get(TELLING)
        if telling is None:
            return None
        try:
            telling.explanation = served(self, x, entry, url_of(x))
            return telling.line()
        except Exception as fault:
            self.hooks.faults.note("an explanation", fault)
            return None

    def tell_answered(self, x: Exchange, headers: Sequence[Sequence[bytes]]) -> bytes | None:
        """The field for a response of the app, or None."""
        telling: Telling | None = x.raw.get(TELLING)
        if telling is None:
            return None
        try:
            telling.explanation = answered(self, x, headers, url_of(x))
            return telling.line()
        except Exception as fault:
            self.hooks.faults.note("an explanation", fault)
            return None


class ExplainingASGIGate(Explaining, ASGIGate):
    """The gate for ASGI."""

    def __init__(self, suite: Suite, *more: Any) -> None:
        super().__init__(suite, *more)
        assert suite.door is not None
        self.door = suite.door
        self._names = {**self._names, NAME: EXPLAIN}

    def strip(self, x: Exchange) -> None:
        """Take the token from the scope."""
        x.raw["headers"] = [field for field in x.raw["headers"] if field[0] != NAME]


class ExplainingWSGIGate(Explaining, WSGIGate):
    """The gate for WSGI."""

    def __init__(self, suite: Suite, *more: Any) -> None:
        super().__init__(suite, *more)
        assert suite.door is not None
        self.door = suite.door
        self._names = {**self._names, ENVIRON_NAME: EXPLAIN}
        self._noted = frozenset(self._names)

    def strip(self, x: Exchange) -> None:
        """Take the token from the environ."""
        x.raw.pop(ENVIRON_NAME, None)


def url_of(x: Exchange) -> str:
    """The request's path and query, to be shown."""
    query = x.query.decode("latin-1")
    return f"{x.path}?{query}" if query else x.path
