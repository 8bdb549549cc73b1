"""The cache's way with one request: glance, depart, arrive, begin, settle.

Knows no protocol: both shells drive it, each with its own `Face` of the driver.
"""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from apsperf_mw.cache.entry import NOT_CACHED, Entry, Fork, values_of
from apsperf_mw.cache.flights import Flight, Lane, Outcome
from apsperf_mw.cache.intake import Intake
from apsperf_mw.cache.parts import covers
from apsperf_mw.cache.rules.reuse import Use, stands_in, use_of, wanted_use, wants_of
from apsperf_mw.cache.screen import (
    CONDITIONAL,
    DIRECTIVES,
    GUARDED,
    RANGE,
    TRACED,
    UNPLAIN,
)
from apsperf_mw.cache.shelf import faded
from apsperf_mw.drivers.base import LocalDriver
from apsperf_mw.http.etags import not_modified

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from apsperf_mw.cache.keys import Key
    from apsperf_mw.drivers.base import AsyncDriver, Driver, Slot
    from apsperf_mw.drivers.faces import Face
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.settings import Settings

    Peek = Callable[[Any], Slot | None]
    Later = Coroutine[Any, Any, None] | None

NO_LANE: Lane = (0, ())


class Cache(Intake):
    """The response cache of one suite."""

    def __init__(self, settings: Settings, driver: Driver | AsyncDriver) -> None:
        super().__init__(settings)
        local = isinstance(driver, LocalDriver)
        self._peek: Peek = driver.find if local else _nothing  # type: ignore[union-attr]
        self._short = local and settings.cache.patience_s > 0

    def glance(self, x: Exchange) -> Entry | None:
        """A fresh entry from an in-process driver, at once; None says nothing."""
        slot = self._peek(x.key)
        if slot is None:
            return None
        slot.hits += 1
        slot.used = x.started
        entry = slot.value
        if type(entry) is Fork:
            entry = self._variant(x, entry)
            if entry is None:
                return None
        if entry.fresh_until <= x.started or (x.flags and x.flags & UNPLAIN & ~entry.open_to):
            return None
        tags = self.tags
        if (entry.tags or entry.began < tags.swept) and not tags.spares(x.key, entry):  # type: ignore[arg-type]
            return None
        x.result = "hit"
        if entry.route:
            x.template = entry.route
        return entry  # type: ignore[no-any-return]

    def depart(self, x: Exchange) -> bool:
        """Take the lead at once: nothing is stored in this process, and nobody flies.

        False says nothing; ask `arrive` then. It is the shortest way of a miss.
        """
        key = x.key
        if (x.flags & ~TRACED) or x.method != "GET" or not self._short:
            return False
        assert key is not None
        learned, unstorable = self.shelf.learned, self._unstorable
        if (learned and key in learned) or (unstorable and (key, 0) in unstorable):
            return False
        flight = self.flights.lead(key, NO_LANE, self.tags.clock, x)
        if flight is None:
            return False
        if self._peek(key) is not None:  # something is there, or landed in between
            self.flights.land(flight, Outcome.FAILED)
            return False
        x.result = "miss"
        x.flight = flight
        if self.admission is not None:
            self.admission.count(key)
        return True

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
                return await self._find(x, face, x.key) or NOT_CACHED
        if x.method != "GET":  # HEAD is answered from a GET's entry, and fetches none
            return await self._find(x, face, x.key)
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
            if not waited and (entry := await self._find(x, face, key)) is not None:
                return entry  # stale, while another fetches it anew
            waited = True
            left_s = deadline - monotonic()
            if await face.waits.wait(partial(self.flights.join, flight), left_s):
                if flight.outcome is Outcome.UNCACHEABLE:
                    x.detail = "collapsed"
                    return None
                if (entry := self._fitting(flight, x)) is not None:
                    x.result, x.template = "collapsed", entry.route
                    return entry
            else:
                self.flights.overtake(flight)
            alone = self._goes_alone(x) or monotonic() >= deadline

    def not_modified(self, x: Exchange, entry: Entry) -> bool:
        """Whether the client holds what the entry would give it (RFC 9110 §13.2.2)."""
        if not x.flags & CONDITIONAL or not 200 <= entry.status < 300:
            return False
        held = x.fields(b"if-none-match")
        since = () if held else x.fields(b"if-modified-since")
        return not_modified(held, since, entry.etag, entry.last_modified)

    def good(self, key: Key, entry: Entry) -> bool:
        """Whether nothing that names the entry was purged since its request began."""
        return self.tags.spares(key, entry)

    def _variant(self, x: Exchange, fork: Fork) -> Entry | None:
        assert x.key is not None
        slot = self._peek(fork.key(x.key, values_of(x, fork.names)))
        if slot is None:
            return None
        slot.hits += 1
        slot.used = x.started
        entry: Entry = slot.value
        return entry

    async def _lead(self, x: Exchange, face: Face, flight: Flight, *, waited: bool) -> Entry | None:
        """Look once more, now that no other fetch can land unseen; else take the lead."""
        try:
            entry = await self._find(x, face, flight.key)
        except BaseException as fault:
            failed = isinstance(fault, Exception)  # the store would fail the followers too
            self.flights.land(flight, Outcome.UNCACHEABLE if failed else Outcome.FAILED)
            raise
        if entry is None:
            x.flight = flight
        elif x.result == "stale":
            x.renewal = self._renewal(x, flight)  # the shell fetches it anew behind this request
        else:
            self.flights.land(flight, Outcome.FOUND, entry)
            if waited:
                x.result = "collapsed"
        return entry

    def _renewal(self, x: Exchange, flight: Flight) -> Flight | None:
        """The flight on which a stale entry is fetched anew, one for all kinds of requests.

        None where it is under way.
        """
        lane: Lane = (0, flight.lane[1])
        if flight.joinable and flight.lane == lane:
            return flight
        self.flights.land(flight, Outcome.FAILED)
        flight, leads = self.flights.board(flight.key, lane, self.tags.clock, x, alone=False)
        return flight if leads else None

    async def _find(self, x: Exchange, face: Face, key: Key) -> Entry | None:
        """What is stored for the request and may be served as it is; else it is in `x.stale`."""
        entry = await self.shelf.find(x, face, key)
        if entry is None and x.flags & RANGE:
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
        return entry if entry.values == values_of(x, entry.vary) else None

    def _lane(self, x: Exchange) -> Lane:
        """Requests of one lane may wait for each other: alike in what guards and selects."""
        assert x.key is not None
        names = self.shelf.names(x.key)
        return x.flags & GUARDED, values_of(x, names) if names else ()

    def _goes_alone(self, x: Exchange) -> bool:
        # A 304 or a part would answer nobody else, nor what one client's directives ask for.
        if self.settings.cache.patience_s <= 0 or x.flags & (CONDITIONAL | RANGE | DIRECTIVES):
            return True
        if self._unstorable and x.key is not None:
            until = self._unstorable.get((x.key, x.flags & GUARDED), 0.0)
            return until > x.started
        return False


def streams_events(x: Exchange) -> bool:
    """Whether the request may be for an endless stream, for which nobody should wait."""
    return any(b"text/event-stream" in line for line in x.fields(b"accept"))


def _nothing(key: object) -> None:
    """The peek of drivers that are not in this process."""
