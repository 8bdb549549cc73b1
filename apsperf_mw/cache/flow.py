"""The cache's way with one request: glance, arrive, begin, settle.

Knows no protocol: both shells drive it, each with its own `Face` of the driver.
"""

from __future__ import annotations

from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache import rules
from apsperf_mw.cache.entry import Entry, Fork, values_of
from apsperf_mw.cache.flights import Flight, Flights, Lane, Outcome
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.screen import CONDITIONAL, GUARDED
from apsperf_mw.cache.shelf import Shelf
from apsperf_mw.cache.tags import Tags
from apsperf_mw.cache.tape import Tape
from apsperf_mw.drivers.base import LocalDriver
from apsperf_mw.drivers.faces import LocalFace
from apsperf_mw.http.etags import not_modified
from apsperf_mw.runtime.step import step

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from apsperf_mw.cache.keys import Key
    from apsperf_mw.drivers.base import AsyncDriver, Driver, Slot
    from apsperf_mw.drivers.faces import Face
    from apsperf_mw.exchange import Exchange, Header
    from apsperf_mw.settings import Settings

    Peek = Callable[[Any], Slot | None]

# Notes of URLs that turned out not storable are forgotten all at once past this many.
MOST_NOTES = 4096


class Cache:
    """The response cache of one suite."""

    def __init__(self, settings: Settings, driver: Driver | AsyncDriver) -> None:
        self.settings = settings
        self.tags = Tags()
        self.flights = Flights()
        self._shelf = Shelf(settings.cache.max_variants)
        self._peek: Peek = driver.find if isinstance(driver, LocalDriver) else _nothing
        self._unstorable: dict[tuple[Key, int], float] = {}

    def glance(self, x: Exchange) -> Entry | None:
        """A fresh entry from an in-process driver, at once; None says nothing."""
        slot = self._peek(x.key)
        if slot is None:
            return None
        slot.visited = True
        record = slot.value
        if type(record) is Fork:
            record = self._variant(x, record)
            if record is None:
                return None
        if record.fresh_until <= x.started:
            return None
        if x.flags and x.flags & GUARDED & ~record.open_to:
            return None
        if record.tags and not self.tags.good(record.tags, record.began):
            return None
        x.result = "hit"
        x.template = record.route
        return record  # type: ignore[no-any-return]

    async def arrive(self, x: Exchange, face: Face) -> Entry | None:
        """An entry to serve, or None: the app must run.

        Then `x.flight` is set if the response may be stored, and must end in `settle` or `drop`.
        Waits at most `patience_s` for another request's fetch.
        """
        assert x.key is not None
        x.result = "miss"
        if x.method != "GET":  # HEAD is answered from a GET's entry, and fetches none
            return await self._find(x, face, x.key)
        deadline = monotonic() + self.settings.cache.patience_s
        alone = self._goes_alone(x) or streams_events(x)
        waited = False
        while True:
            flight, leads = self.flights.board(x.key, self._lane(x), self.tags.clock, alone=alone)
            if leads:
                return await self._lead(x, face, flight, waited=waited)
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

    def begin(self, x: Exchange, headers: Sequence[Header]) -> bool:
        """The app's response has begun: whether it will be stored.

        A response that will not be lets the followers go at once.
        """
        flight = x.flight
        if flight is None:
            return False
        plan = x.plan or Plan()
        answer = rules.read(x.flags, x.method, x.status, headers, plan, self.settings, time())
        x.detail = rules.refusal(answer)
        if not x.detail:
            length = -1 if answer.length is None else answer.length
            x.tape = Tape(answer, self.settings.cache.max_entry_bytes, length, chunks=[])
            return True
        if x.status < 500 and x.detail not in rules.PASSING:
            self._note_unstorable(flight)
        self.drop(x, Outcome.UNCACHEABLE)
        return False

    def record(self, x: Exchange, chunk: bytes) -> None:
        """One chunk of the body passes; where it passes the limit, the followers are let go."""
        tape = x.tape
        if tape is None:
            return
        tape.add(chunk)
        if tape.broken:
            self.drop(x, Outcome.UNCACHEABLE)

    def settle(self, x: Exchange, face: Face) -> Coroutine[Any, Any, None] | None:
        """The last chunk is known: store the response, if it came whole.

        Done at once in this process; else the result stores it when awaited.
        """
        tape, flight = x.tape, x.flight
        if tape is None or flight is None:
            return None
        # A plan may turn private while the body is made, as when a stream uses the session.
        if not tape.whole or tape.answer.plan.private:
            self.drop(x, Outcome.UNCACHEABLE)
            return None
        x.tape = x.flight = None
        entry = entry_of(x, tape, flight.began, monotonic())
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

    async def invalidate(self, x: Exchange, face: Face) -> None:
        """Make what is stored under the URL void, and what is being fetched for it too.

        Only where an unsafe request has succeeded (RFC 9111 §4.4).
        """
        if x.key is not None and 200 <= x.status < 400:
            self.flights.void(x.key)
            await face.erase(x.key)

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
            quick = isinstance(face, LocalFace) and not waited
            entry = self.glance(x) if quick else await self._find(x, face, flight.key)
        except BaseException as fault:
            failed = isinstance(fault, Exception)  # the store would fail the followers too
            self.flights.land(flight, Outcome.UNCACHEABLE if failed else Outcome.FAILED)
            raise
        if entry is None:
            x.flight = flight
        else:
            self.flights.land(flight, Outcome.STORED, entry)
            if waited:
                x.result = "collapsed"
        return entry

    async def _find(self, x: Exchange, face: Face, key: Key) -> Entry | None:
        record = await self._shelf.find(x, face, key)
        if record is None or not self._serves(record, x, monotonic()):
            return None
        x.result = "hit"
        x.template = record.route
        return record

    def _keep_here(self, x: Exchange, key: Key, entry: Entry, face: LocalFace) -> None:
        """Keep in this process; what neither varies nor did before goes the short way."""
        if entry.vary or type(face.peek(key)) is Fork:
            step(self._shelf.keep(x, key, entry, face))
        else:
            face.put(key, entry, entry.fresh_until - monotonic())

    async def _keep_far(self, x: Exchange, flight: Flight, entry: Entry, face: Face) -> None:
        """Keep in a driver that takes its time; what is voided meanwhile is erased again."""
        kept = flight.current
        try:
            if kept:
                await self._shelf.keep(x, flight.key, entry, face)
        finally:
            if not self.flights.land(flight, Outcome.STORED, entry) and kept:
                with face.waits.shield():  # also where the client has left
                    await face.erase(flight.key)

    def _serves(self, entry: Entry, x: Exchange, now: float) -> bool:
        return (
            entry.fresh_until > now
            and not x.flags & GUARDED & ~entry.open_to
            and (not entry.tags or self.tags.good(entry.tags, entry.began))
        )

    def _fitting(self, flight: Flight, x: Exchange) -> Entry | None:
        """What another request fetched, if it answers this one too."""
        entry = flight.entry
        if entry is None or not self._serves(entry, x, monotonic()):
            return None
        return entry if entry.values == values_of(x, entry.vary) else None

    def _lane(self, x: Exchange) -> Lane:
        """Requests of one lane may wait for each other: alike in what guards and selects."""
        assert x.key is not None
        names = self._shelf.names(x.key)
        return x.flags & GUARDED, values_of(x, names) if names else ()

    def _goes_alone(self, x: Exchange) -> bool:
        if self.settings.cache.patience_s <= 0 or x.flags & CONDITIONAL:
            return True  # a 304 would answer nobody else
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


def _nothing(key: object) -> None:
    """The peek of drivers that are not in this process."""


def entry_of(x: Exchange, tape: Tape, began: int, now: float) -> Entry:
    """The entry that a recorded response makes."""
    answer = tape.answer
    body = tape.body()
    headers = rules.stored_headers(answer)
    if answer.length is None and answer.status != 204:
        headers = (*headers, (b"content-length", b"%d" % len(body)))
    vary = answer.vary or ()
    return Entry(
        answer.status,
        headers,
        body,
        now - answer.age_s,
        now - answer.age_s + answer.ttl_s,
        answer.first(b"etag"),
        answer.first(b"last-modified"),
        rules.open_to(answer),
        answer.plan.all_tags(),
        began,
        vary,
        values_of(x, vary) if vary else (),
        x.route,
    )
