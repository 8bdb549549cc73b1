"""The cache's way with one request: glance, depart, arrive, begin, settle.

Knows no protocol: both shells drive it, each with its own `Face` of the driver.
"""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from apsperf_mw.cache.entry import NOT_CACHED, Entry
from apsperf_mw.cache.faces import is_shared
from apsperf_mw.cache.flights import NO_THREAD, Flight, Lane, Outcome
from apsperf_mw.cache.glance import Glance
from apsperf_mw.cache.leases import end_leases, over_processes, take_lease
from apsperf_mw.cache.parts import covers
from apsperf_mw.cache.rules.reuse import Use, stands_in, use_of, wanted_use, wants_of
from apsperf_mw.cache.screen import (
    CONDITIONAL,
    DIRECTIVES,
    GUARDED,
    RANGE,
)
from apsperf_mw.cache.shelf import faded
from apsperf_mw.runtime.threads import current_thread_id

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from apsperf_mw.cache.faces import Face
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.drivers.base import Slot
    from apsperf_mw.exchange import Exchange

    Peek = Callable[[Any], Slot | None]
    Later = Coroutine[Any, Any, None] | None


class Cache(Glance):
    """The response cache of one suite."""

    async def arrive(self, x: Exchange, face: Face) -> Entry | None:
        """An entry to serve, or None: the app must run.

        Then `x.flight` is set if the response may be stored, and must end in `settle` or `drop`;
        `x.stale` is what the app may be asked about. Waits at most `patience_s` for another
        request's fetch.
        """
        assert x.key is not None
        x.result = "miss"
        if x.flags & DIRECTIVES:
            x.wants = wants_of(x.fields(b"cache-control"), x.fields(b"pragma"))
            if x.wants.only_if_cached:
                return await self.find(x, face, x.key) or NOT_CACHED
        if x.method != "GET":  # HEAD is answered from a GET's entry, and fetches none
            entry = await self.find(x, face, x.key)
            if x.result == "stale" and entry is not None:  # but has it fetched anew
                x.renewal = self._renewal(x, x.key, entry, self._lane(x))
                await self._lease_renewal(x, face)
            return entry
        if is_shared(face):  # a look at what others have stored needs no flight
            entry = await self.find(x, face, x.key)
            if entry is not None and x.result == "hit":
                return entry
        if self.admission is not None:
            self.admission.count(x.key)
        return await self._fly(x, face, x.key)

    async def _fly(self, x: Exchange, face: Face, key: Key) -> Entry | None:
        """Lead a flight, or wait for one until it lands or patience ends."""
        deadline = monotonic() + self.settings.cache.patience_s
        alone = self._goes_alone(x)
        waited = False
        while True:
            lane, clock = self._lane(x), self.tags.clock
            flight, leads = self.flights.board(key, lane, clock, x, alone=alone)
            if leads:
                return await self._lead(x, face, flight, waited=waited)
            if streams_events(x) or streams_events(flight.leader):
                alone = True
                continue
            if not waited and (entry := await self.find(x, face, key)) is not None:
                return entry  # stale, while another fetches it anew
            waited = True
            left_s = deadline - monotonic()
            # Nobody but this thread could end its own: a body that it has not read yet.
            own = face.waits.blocks and flight.thread == current_thread_id()
            if own or await face.waits.wait(partial(self.flights.join, flight), left_s):
                if own or flight.outcome is Outcome.UNCACHEABLE:
                    x.detail = "collapsed"
                    return None
                if (entry := self._fitting(flight, x)) is not None:
                    x.result, x.template = "collapsed", entry.route
                    return entry
            else:
                self.flights.overtake(flight)
            alone = self._goes_alone(x) or monotonic() >= deadline

    def good(self, key: Key, entry: Entry) -> bool:
        """Whether nothing that names the entry was purged since its request began."""
        return self.tags.spares(key, entry)

    async def _lead(self, x: Exchange, face: Face, flight: Flight, *, waited: bool) -> Entry | None:
        """Look once more, now that no other fetch can land unseen; else take the lead."""
        try:
            if is_shared(face):
                entry = await over_processes(self, x, face, flight)
            else:
                entry = await self.find(x, face, flight.key)
        except BaseException as fault:
            failed = isinstance(fault, Exception)  # the store would fail the followers too
            self.flights.land(flight, Outcome.UNCACHEABLE if failed else Outcome.FAILED)
            raise
        if entry is None:
            flight.began = self.tags.clock  # the store may have told of purges
            x.flight = flight
        elif x.result == "stale":
            # The shell fetches it anew behind this request, for all kinds of them.
            fits = flight.joinable and not flight.lane[0]
            lane = flight.lane
            x.renewal = self._renewal(x, flight.key, entry, lane, flight if fits else None)
            if x.renewal is not flight:
                self.flights.land(flight, Outcome.FAILED)
            await self._lease_renewal(x, face)
        else:
            self.flights.land(flight, Outcome.FOUND, entry)
            if waited:
                x.result = "collapsed"
        if self.flights.over and is_shared(face):
            await end_leases(self, face)
        return entry

    def _renewal(
        self, x: Exchange, key: Key, entry: Entry, lane: Lane, flight: Flight | None = None
    ) -> Flight | None:
        """The flight on which a stale entry is fetched anew: a new one where none is given.

        None where it is under way, or has just failed.
        """
        now = monotonic()
        if not self.rests.may(key, entry.values, now):
            return None
        if flight is None:
            shared: Lane = (0, lane[1])
            flight, leads = self.flights.board(key, shared, self.tags.clock, x, alone=False)
            if not leads:
                return None
        self.rests.begin(key, entry.values, now)
        flight.thread = NO_THREAD  # it ends in another, or in a task
        return flight

    async def _lease_renewal(self, x: Exchange, face: Face) -> None:
        """Leave the renewal to another process, where one is at it."""
        if (
            is_shared(face)
            and x.renewal is not None
            and not await take_lease(self, face, x.renewal)
        ):
            self.flights.land(x.renewal, Outcome.FAILED)
            x.renewal = None

    async def find(self, x: Exchange, face: Face, key: Key) -> Entry | None:
        """What is stored for the request and may be served as it is; else it is in `x.stale`."""
        entry = await self.shelf.find(x, face, key)
        if entry is None and x.flags & RANGE and x.method == "GET":  # RFC 9110 §14.2
            entry = await self.shelf.find_part(face, key)
            if entry is not None and not covers(entry, x):
                entry = None
        if entry is None or x.flags & GUARDED & ~entry.open_to:
            return None
        now = monotonic()
        use = use_of(entry, now) if x.wants is None else wanted_use(entry, x.wants, now)
        if not self.good(key, entry):
            # Purged: it may be asked about, but stands in for nothing.
            use = Use.VALIDATE
            entry = replace(entry, error_until=0.0)
        if use is Use.VALIDATE:
            usable = entry.span is None and not self.tags.dead(key, entry)
            x.stale = faded(entry, self.settings.cache.keep_stale_s, now) if usable else None
            return None
        x.result = "hit" if use is Use.FRESH else "stale"
        x.template = entry.route
        return entry

    def _fitting(self, flight: Flight, x: Exchange) -> Entry | None:
        """What another request fetched, if it answers this one too."""
        entry = flight.entry
        if entry is None or x.flags & GUARDED & ~entry.open_to or not self.good(flight.key, entry):
            return None
        now = monotonic()
        stale = flight.outcome is Outcome.STALE and stands_in(entry, now)
        if not stale and entry.fresh_until <= now:
            return None
        return entry if entry.values == self.selection.values(x, entry.vary) else None

    def _lane(self, x: Exchange) -> Lane:
        """Requests of one lane may wait for each other: alike in what guards and selects."""
        assert x.key is not None
        names = self.shelf.names(x.key)
        return x.flags & GUARDED, self.selection.values(x, names) if names else ()

    def _goes_alone(self, x: Exchange) -> bool:
        # A 304 or a part would answer nobody else, nor what one client's directives ask for.
        if self.settings.cache.patience_s <= 0 or x.flags & (CONDITIONAL | RANGE | DIRECTIVES):
            return True
        return self.is_noted(x)

    def is_noted(self, x: Exchange) -> bool:
        """Whether it was found lately that responses to such requests are not stored."""
        if not self._unstorable or x.key is None:
            return False
        return self._unstorable.get((x.key, x.flags & GUARDED), 0.0) > x.started


def streams_events(x: Exchange) -> bool:
    """Whether the request may be for an endless stream, for which nobody should wait."""
    return any(b"text/event-stream" in line for line in x.fields(b"accept"))
