"""The cache's way with one call of a function: glance, arrive, settle.

As with responses it is written once: threads step it, tasks await it, each with its own `Store`.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from apsperf_mw.cache.flights import Flight, Flights, Outcome
from apsperf_mw.cache.results import KEPT, Result, size_if_fixed
from apsperf_mw.cache.stores import LocalStore
from apsperf_mw.runtime.background import Background

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from apsperf_mw.cache.faces import Face, MakeFace
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.cache.results import Codec
    from apsperf_mw.cache.stores import Store
    from apsperf_mw.cache.tags import Tags
    from apsperf_mw.faults import Faults
    from apsperf_mw.settings import Settings

# No result: None is one.
MISSING: Final[Any] = object()
# Calls differ by their key alone.
LANE = (0, ())


class Terms(Struct, frozen=True):
    """For how long one function's results are kept."""

    fresh_s: float
    stale_s: float


class Call(Struct, eq=False):
    """One call. While it leads, `flight` is set; it must end in `settle` or `drop`.

    `began_at` is the instant at which the function was called.
    """

    key: Key
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    bound: Mapping[str, Any]
    codec: Codec
    terms: Terms
    tags: tuple[str, ...] = ()
    flight: Flight | None = None
    began_at: float = 0.0


# The calls that lead in this context, outermost first.
_leading: ContextVar[tuple[Call, ...]] = ContextVar("apsperf__leading", default=())


class Calls:
    """What all cached functions of one suite share."""

    def __init__(
        self, settings: Settings, face: Callable[[MakeFace], Face], tags: Tags, faults: Faults
    ) -> None:
        self.settings = settings
        self.face = face
        self.tags = tags
        self.faults = faults
        self.flights = Flights()
        self.background = Background(partial(faults.note, "a refresh of a function"))
        self.closed = False

    def close(self) -> None:
        """Let functions run as if they were not cached."""
        self.closed = True
        self.background.close()

    def is_within(self, call: Call) -> bool:
        """Whether a call of the same key makes this one, which would wait for itself."""
        leading = _leading.get()
        return leading != () and any(each.flight and each.key == call.key for each in leading)

    def glance(self, call: Call, store: Store) -> Any:
        """A fresh result from an in-process driver, at once; MISSING says nothing."""
        if not isinstance(store, LocalStore):
            return MISSING
        try:
            result = store.peek(call.key)
        except Exception as fault:
            self.faults.note("the store of a function", fault)
            return MISSING
        if result is None or result.fresh_until <= monotonic():
            return MISSING
        return self._value(call, result)

    async def arrive(self, call: Call, store: Store, behind: Callable[[], bool]) -> Any:
        """A result, or MISSING: the function must run, and the call leads.

        For a stale one `behind` is called, to start a refresh, if none is under way; it returns
        whether it could. Waits at most `patience_s` for another call.
        """
        result = await self._read(call, store)
        now = monotonic()
        value = MISSING
        if result is not None and result.stale_until > now:
            value = self._value(call, result)
            if value is not MISSING and result.fresh_until <= now:
                self._refresh(call, behind)
        return await self._join_or_lead(call, store) if value is MISSING else value

    async def again(self, call: Call, store: Store) -> bool:
        """Whether a call that leads must still run: another may have landed unseen before."""
        return await self._look_again(call, store) is MISSING

    @contextmanager
    def leading(self, call: Call) -> Iterator[None]:
        """Where the function runs: it may call itself, and what it raises ends the lead."""
        token = _leading.set((*_leading.get(), call))
        call.began_at = monotonic()
        try:
            yield
        except BaseException:
            self.drop(call)
            raise
        finally:
            _leading.reset(token)

    def lead(self, call: Call) -> None:
        """Take the lead at once, joined by nobody; what began earlier will not overwrite it."""
        call.flight, _ = self._board(call, alone=True)

    async def settle(self, call: Call, value: object, store: Store) -> None:
        """The function has returned: keep the result, and let the followers have it.

        Raises `UnstorableResult`; a fault of the store is noted.
        """
        assert call.flight is not None
        began = call.flight.began
        try:
            result = self._result(call, value, began, local=isinstance(store, LocalStore))
        except BaseException:
            self.drop(call)
            raise
        if result is None:
            self._land(call, Outcome.UNCACHEABLE)
        elif not self.tags.good(call.tags, began):
            self.drop(call)  # purged meanwhile: the followers ask again
        elif isinstance(store, LocalStore):
            self._keep_here(call, result, store)
        else:
            await self._keep_far(call, result, store)

    def drop(self, call: Call) -> None:
        """The call comes to nothing: the followers elect another. May be called again."""
        self._land(call, Outcome.FAILED)

    async def erase(self, key: Key, store: Store) -> None:
        """Forget what is kept, and what is being made; a fault of the store is raised."""
        self.flights.void(key)
        await store.erase(key)

    async def _join_or_lead(self, call: Call, store: Store) -> Any:
        deadline = monotonic() + self.settings.cache.patience_s
        while True:
            flight, leads = self._board(call, alone=monotonic() >= deadline)
            if leads:
                call.flight = flight
                return await self._look_again(call, store)
            join = partial(self.flights.join, flight)
            if not await store.waits.wait(join, deadline - monotonic()):
                self.flights.overtake(flight)
            elif flight.outcome is Outcome.UNCACHEABLE:
                self.lead(call)
                return MISSING
            elif (value := self._usable(call, _result_of(flight))) is not MISSING:
                return value

    async def _look_again(self, call: Call, store: Store) -> Any:
        try:
            result = await self._read(call, store)
            value = self._usable(call, result)
        except BaseException:
            self.drop(call)
            raise
        if value is not MISSING:
            self._land(call, Outcome.STORED, result)
        elif call.flight is not None:
            call.flight.began = self.tags.clock  # the store may have told of purges
        return value

    def _board(self, call: Call, *, alone: bool) -> tuple[Flight, bool]:
        leader: Any = call
        return self.flights.board(call.key, LANE, self.tags.clock, leader, alone=alone)

    def _refresh(self, call: Call, behind: Callable[[], bool]) -> None:
        flight, leads = self._board(call, alone=False)
        if not leads:
            return
        call.flight = flight
        started = False
        try:
            started = behind()
        except Exception as fault:
            self.faults.note("a refresh of a function", fault)
        finally:
            if not started:
                self.drop(call)

    async def _read(self, call: Call, store: Store) -> Result | None:
        try:
            return await store.read(call.key)
        except Exception as fault:
            self.faults.note("the store of a function", fault)
            return None

    def _usable(self, call: Call, result: Result | None) -> Any:
        if result is None or result.fresh_until <= monotonic():
            return MISSING
        return self._value(call, result)

    def _value(self, call: Call, result: Result) -> Any:
        """The result for one caller, unless a tag was purged or it does not parse."""
        if not self.tags.good(result.tags, result.began):
            return MISSING
        if result.form == KEPT:
            return result.value
        try:
            return call.codec.unpacked(result.form, result.value)
        except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
            self.faults.counts["a stored frame"] += 1
            return MISSING

    def _result(self, call: Call, value: object, began: int, *, local: bool) -> Result | None:
        packed = call.codec.packed(value, self.settings.cache.max_entry_bytes)
        if packed is None:
            return None
        fresh_until = monotonic() + call.terms.fresh_s
        until = fresh_until, fresh_until + call.terms.stale_s
        size = size_if_fixed(value) if local else None
        if size is not None:
            return Result(KEPT, value, size, *until, call.tags, began)
        return Result(packed[0], packed[1], len(packed[1]), *until, call.tags, began)

    def _keep_here(self, call: Call, result: Result, store: LocalStore) -> None:
        try:
            cost_s = monotonic() - call.began_at
            self._land(call, Outcome.STORED, result, store.put, cost_s)
        except Exception as fault:
            self.faults.note("the store of a function", fault)

    async def _keep_far(self, call: Call, result: Result, store: Store) -> None:
        """Keep in a driver that takes its time; what is voided meanwhile is erased again."""
        kept = call.flight is not None and call.flight.current
        try:
            if kept:
                await store.write(call.key, result)
        except Exception as fault:
            self.faults.note("the store of a function", fault)
        finally:
            if not self._land(call, Outcome.STORED, result) and kept:
                with store.waits.shield():  # also where the caller was cancelled
                    await self._erase_again(call.key, store)

    async def _erase_again(self, key: Key, store: Store) -> None:
        try:
            await store.erase(key)
        except Exception as fault:
            self.faults.note("the store of a function", fault)

    def _land(
        self,
        call: Call,
        outcome: Outcome,
        result: Result | None = None,
        put: Callable[..., None] | None = None,
        cost_s: float = 0.0,
    ) -> bool:
        flight, call.flight = call.flight, None
        if flight is None:
            return True
        return self.flights.land(flight, outcome, result, put, cost_s)  # type: ignore[arg-type]


def _result_of(flight: Flight) -> Result | None:
    return flight.entry  # type: ignore[return-value]
