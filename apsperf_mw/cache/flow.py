"""The cache's way with one request: glance, depart, arrive, begin, settle.

Knows no protocol: both shells drive it, each with its own `Face` of the driver.
"""

from __future__ import annotations

from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.entry import Entry, Fork, values_of
from apsperf_mw.cache.flights import Flight, Flights, Lane, Outcome
from apsperf_mw.cache.keys import neighbours
from apsperf_mw.cache.making import Maker, entry_of
from apsperf_mw.cache.parts import covers, trimmed
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.rules.reuse import Use, stands_in, use_of, wanted_use, wants_of
from apsperf_mw.cache.rules.terms import PASSING
from apsperf_mw.cache.screen import (
    BODY,
    CONDITIONAL,
    DETOUR,
    DIRECTIVES,
    GUARDED,
    RANGE,
    TRACED,
    UNPLAIN,
)
from apsperf_mw.cache.shelf import Shelf, kept_s, part_key
from apsperf_mw.cache.tags import Tags
from apsperf_mw.cache.tape import Tape
from apsperf_mw.drivers.base import LocalDriver
from apsperf_mw.drivers.faces import LocalFace
from apsperf_mw.http.etags import not_modified
from apsperf_mw.runtime.step import step

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from apsperf_mw.cache.keys import Key
    from apsperf_mw.cache.rules.answer import Answer
    from apsperf_mw.drivers.base import AsyncDriver, Driver, Slot
    from apsperf_mw.drivers.faces import Face
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.settings import Settings

    Peek = Callable[[Any], Slot | None]
    Later = Coroutine[Any, Any, None] | None

# Notes of URLs that turned out not storable are forgotten all at once past this many.
MOST_NOTES = 4096
NO_LANE: Lane = (0, ())


class Cache:
    """The response cache of one suite."""

    def __init__(self, settings: Settings, driver: Driver | AsyncDriver) -> None:
        self.settings = settings
        self.tags = Tags()
        self.flights = Flights()
        self.maker = Maker(settings)
        self.shelf = Shelf(settings.cache)
        self._peek: Peek = driver.find if isinstance(driver, LocalDriver) else _nothing
        self._unstorable: dict[tuple[Key, int], float] = {}

    def glance(self, x: Exchange) -> Entry | None:
        """A fresh entry from an in-process driver, at once; None says nothing."""
        slot = self._peek(x.key)
        if slot is None:
            return None
        slot.visited = True
        entry = slot.value
        if type(entry) is Fork:
            entry = self._variant(x, entry)
            if entry is None:
                return None
        if entry.fresh_until <= x.started or (x.flags and x.flags & UNPLAIN & ~entry.open_to):
            return None
        if entry.tags and not self.tags.good(entry.tags, entry.began):
            return None
        x.result = "hit"
        if entry.route:
            x.template = entry.route
        return entry  # type: ignore[no-any-return]

    def depart(self, x: Exchange, face: Face) -> bool:
        """Take the lead at once: nothing is stored in this process, and nobody flies.

        False says nothing; ask `arrive` then. It is the shortest way of a miss.
        """
        key = x.key
        if (x.flags & ~TRACED) or x.method != "GET" or not isinstance(face, LocalFace):
            return False
        assert key is not None
        if self._unstorable or self.shelf.names(key) or self.settings.cache.patience_s <= 0:
            return False
        flight = self.flights.lead(key, NO_LANE, self.tags.clock, x)
        if flight is None:
            return False
        if self._peek(key) is not None:  # something is there, or landed in between
            self.flights.land(flight, Outcome.FAILED)
            return False
        x.result = "miss"
        x.flight = flight
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
        if x.method != "GET":  # HEAD is answered from a GET's entry, and fetches none
            return await self._find(x, face, x.key)
        deadline = monotonic() + self.settings.cache.patience_s
        alone = self._goes_alone(x)
        waited = False
        while True:
            lane, clock = self._lane(x), self.tags.clock
            flight, leads = self.flights.board(x.key, lane, clock, x, alone=alone)
            if leads:
                return await self._lead(x, face, flight, waited=waited)
            if streams_events(x) or streams_events(flight.leader):
                alone = True
                continue
            if not waited and (entry := await self._find(x, face, x.key)) is not None:
                return entry  # stale, while another fetches it anew
            waited = True
            join = partial(self.flights.join, flight)
            if not await face.waits.wait(join, deadline - monotonic()):
                self.flights.overtake(flight)
            elif flight.outcome is Outcome.UNCACHEABLE:
                x.detail = "collapsed"
                return None
            elif (entry := self._fitting(flight, x)) is not None:
                x.result, x.template = "collapsed", entry.route
                return entry
            alone = monotonic() >= deadline

    def begin(self, x: Exchange, headers: Iterable[Sequence[bytes]]) -> bool:
        """The app's response has begun: whether it will be stored.

        A response that will not be lets the followers go at once.
        """
        flight = x.flight
        if flight is None:
            return False
        answer = self.maker.answer(x, headers, x.plan or Plan(), time())
        if isinstance(answer, str):
            self._refuse(x, flight, answer)
            return False
        self._roll(x, answer)
        return True

    def adopt(self, x: Exchange, headers: Sequence[Header]) -> None:
        """Store the answer to a POST where it says that a GET would get it (RFC 9110 §9.3.3)."""
        assert x.key is not None
        if x.method != "POST" or x.status != 200 or x.flags & DETOUR & ~BODY:
            return
        if not any(x.key in neighbours(x.key, value) for value in located(headers)):
            return
        answer = self.maker.answer(x, headers, Plan(), time(), method="GET")
        if isinstance(answer, str) or answer.ttl_s <= answer.age_s:
            return
        lane = (x.flags & GUARDED, ())
        x.flight, _ = self.flights.board(x.key, lane, self.tags.clock, x, alone=True)
        self._roll(x, answer)

    def record(self, x: Exchange, chunk: bytes) -> None:
        """One chunk of the body passes; where it passes the limit, the followers are let go."""
        tape = x.tape
        if tape is None:
            return
        tape.add(chunk)
        if tape.broken:
            self.drop(x, Outcome.UNCACHEABLE)

    def settle(self, x: Exchange, face: Face) -> Later:
        """The last chunk is known: store the response, if it came whole.

        Done at once in this process; else the result stores it when awaited.
        """
        tape, flight = x.tape, x.flight
        if tape is None or flight is None:
            return None
        # A plan may turn private while the body is made, as when a stream uses the session.
        if not tape.whole or (x.plan is not None and x.plan.private):
            self.drop(x, Outcome.UNCACHEABLE)
            return None
        x.tape = x.flight = None
        entry = trimmed(entry_of(x, tape, flight.began, monotonic()))
        if entry is None:
            self.flights.land(flight, Outcome.UNCACHEABLE)
            return None
        return self.keep(x, flight, entry, face)

    def keep(self, x: Exchange, flight: Flight, entry: Entry, face: Face) -> Later:
        """Store an entry and land its flight; as `settle`."""
        if entry.tags and not self.tags.good(entry.tags, entry.began):
            self.flights.land(flight, Outcome.FAILED)  # purged meanwhile: the followers ask again
            return None
        if self._unstorable:
            self._unstorable.pop((flight.key, x.flags & GUARDED), None)
        if not isinstance(face, LocalFace):
            return self._keep_far(x, flight, entry, face)
        keep = partial(self._keep_here, x, flight.key, entry, face)
        self.flights.land(flight, Outcome.STORED, entry, keep)
        return None

    def not_modified(self, x: Exchange, entry: Entry) -> bool:
        """Whether the client holds what the entry would give it (RFC 9110 §13.2.2)."""
        return (
            x.flags & CONDITIONAL != 0
            and entry.status == 200
            and not_modified(
                x.fields(b"if-none-match"),
                x.fields(b"if-modified-since"),
                entry.etag,
                entry.last_modified,
            )
        )

    def drop(self, x: Exchange, outcome: Outcome) -> None:
        """The fetch comes to nothing; does nothing where it has ended already."""
        flight, x.flight, x.tape = x.flight, None, None
        if flight is not None:
            self.flights.land(flight, outcome)

    async def erase(self, key: Key, face: Face) -> None:
        """Make what is stored under a key void, and what is being fetched for it too."""
        self.flights.void(key)
        await face.erase(key)
        await face.erase(part_key(key))

    def good(self, entry: Entry) -> bool:
        """Whether none of the entry's tags was purged since its request began."""
        return not entry.tags or self.tags.good(entry.tags, entry.began)

    def _roll(self, x: Exchange, answer: Answer) -> None:
        length = -1 if answer.length is None else answer.length
        x.tape = Tape(answer, self.settings.cache.max_entry_bytes, length, chunks=[])

    def _refuse(self, x: Exchange, flight: Flight, reason: str) -> None:
        x.detail = reason
        if x.status < 500 and reason not in PASSING:
            self._note_unstorable(flight)
        self.drop(x, Outcome.UNCACHEABLE)

    def _variant(self, x: Exchange, fork: Fork) -> Entry | None:
        assert x.key is not None
        slot = self._peek(fork.key(x.key, values_of(x, fork.names)))
        if slot is None:
            return None
        slot.visited = True
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
            x.renewal = flight  # the shell fetches it anew behind this request
        else:
            self.flights.land(flight, Outcome.STORED, entry)
            if waited:
                x.result = "collapsed"
        return entry

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
        if not self.good(entry):
            return None
        if use is Use.VALIDATE:
            x.stale = entry if entry.span is None else None
            return None
        x.result = "hit" if use is Use.FRESH else "stale"
        x.template = entry.route
        return entry

    def _keep_here(self, x: Exchange, key: Key, entry: Entry, face: LocalFace) -> None:
        """Keep in this process; what neither varies nor did before goes the short way."""
        if entry.vary or entry.span or type(face.peek(key)) is Fork:
            step(self.shelf.keep(x, key, entry, face))
        else:
            face.put(key, entry, kept_s(entry, self.settings.cache.keep_stale_s))

    async def _keep_far(self, x: Exchange, flight: Flight, entry: Entry, face: Face) -> None:
        """Keep in a driver that takes its time; what is voided meanwhile is erased again."""
        kept = flight.current
        try:
            if kept:
                await self.shelf.keep(x, flight.key, entry, face)
        finally:
            if not self.flights.land(flight, Outcome.STORED, entry) and kept:
                with face.waits.shield():  # also where the client has left
                    await face.erase(flight.key)

    def _fitting(self, flight: Flight, x: Exchange) -> Entry | None:
        """What another request fetched, if it answers this one too."""
        entry = flight.entry
        if entry is None or x.flags & GUARDED & ~entry.open_to or not self.good(entry):
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

    def _note_unstorable(self, flight: Flight) -> None:
        if len(self._unstorable) >= MOST_NOTES:
            self._unstorable = {}
        until = monotonic() + self.settings.cache.hit_for_miss_s
        self._unstorable[flight.key, flight.lane[0]] = until


def streams_events(x: Exchange) -> bool:
    """Whether the request may be for an endless stream, for which nobody should wait."""
    return any(b"text/event-stream" in line for line in x.fields(b"accept"))


def located(headers: Iterable[Sequence[bytes]]) -> list[bytes]:
    """The lines of Content-Location."""
    return [bytes(value) for name, value in headers if name.lower() == b"content-location"]


def _nothing(key: object) -> None:
    """The peek of drivers that are not in this process."""
