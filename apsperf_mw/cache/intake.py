"""What comes from the app on its way into the cache: begin, record, settle."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.chosen import admission, query_form
from apsperf_mw.cache.entry import Fork
from apsperf_mw.cache.faces import LocalFace, is_shared
from apsperf_mw.cache.flights import STORED, Flight, Flights, Outcome
from apsperf_mw.cache.keys import neighbours
from apsperf_mw.cache.leases import keep_leased
from apsperf_mw.cache.ledger import Ledger
from apsperf_mw.cache.making import Maker, entry_of
from apsperf_mw.cache.parts import trimmed
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.rests import Rests
from apsperf_mw.cache.rules.answer import read, said_lifetime_s
from apsperf_mw.cache.rules.terms import PASSING
from apsperf_mw.cache.screen import BODY, DETOUR, DIRECTIVES, GUARDED, RANGE
from apsperf_mw.cache.selection import Selection
from apsperf_mw.cache.shelf import Shelf, kept_s, part_key
from apsperf_mw.cache.tags import Tags
from apsperf_mw.cache.tape import Tape
from apsperf_mw.runtime.step import step

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.faces import Face
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.cache.rules.answer import Answer, Form
    from apsperf_mw.drivers.base import Slot
    from apsperf_mw.exchange import Exchange, Header
    from apsperf_mw.settings import Settings

    Later = Coroutine[Any, Any, None] | None

# Notes of URLs that turned out not storable are forgotten all at once past this many.
MOST_NOTES = 4096


class Intake:
    """Takes responses in; what they become ends their flights."""

    # What is kept under a key in this process, or None.
    _peek: Callable[[Any], Slot | None]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tags = Tags()
        self.ledger = Ledger(self.tags)
        self.flights = Flights()
        self.query_form = query_form(settings.cache)
        self.admission = admission(settings.cache)
        self.maker = Maker(settings)
        self.selection = Selection(settings.cache.normal_forms)
        self.shelf = Shelf(settings.cache, self.selection.values, self.tags.spares)
        self._max_bytes = settings.cache.max_entry_bytes
        self._keep_stale_s = settings.cache.keep_stale_s
        self._unstorable: dict[tuple[Key, int], float] = {}
        self.rests = Rests()

    def begin(
        self,
        x: Exchange,
        headers: Sequence[Sequence[bytes]],
        form: Form | None = None,
        values: list[bytes] | None = None,
    ) -> Answer | None:
        """The app's response has begun: as what it will be stored, if it will.

        A response that will not be lets the followers go at once. `form` is what `Forms.form`
        says of the headers; then their `values` are enough.
        """
        flight = x.flight
        if flight is None:
            return None
        asked = x.wants is not None or self.admission is not None
        reason = self._refusal(x, flight) if asked else ""
        answer = reason or self.maker.answer(x, headers, x.plan or Plan(), form, values)
        if isinstance(answer, str):
            self.refuse(x, flight, answer)
            return None
        x.answer = answer
        return answer

    def adopt(self, x: Exchange, headers: Sequence[Header]) -> None:
        """Store the answer to a POST where it says that a GET would get it (RFC 9110 §9.3.3)."""
        assert x.key is not None
        if x.method != "POST" or x.status != 200 or x.flags & (DETOUR & ~BODY | DIRECTIVES):
            return  # a client's directives may forbid it
        if not any(
            x.key in neighbours(x.key, value, self.query_form) for value in located(headers)
        ):
            return
        answer = self.maker.answer(x, headers, Plan(), method="GET")
        if isinstance(answer, str) or answer.ttl_s <= answer.age_s:
            return
        if said_lifetime_s(read(headers), answer.terms, time()) is None:
            return  # RFC 9110 §9.3.3: explicit freshness, neither a guess nor a rule for GET
        lane = (x.flags & GUARDED, ())
        x.flight, _ = self.flights.board(x.key, lane, self.tags.clock, x, alone=True)
        x.detail = "adopted"
        if reason := self._refusal(x, x.flight):
            self.refuse(x, x.flight, reason)
            return
        x.voids = False  # what it stores is from after its success
        x.answer = answer

    def record(self, x: Exchange, chunk: bytes) -> bool:
        """One chunk of the body passes: whether it is the last one by the announced length.

        Where the body passes the limit, the followers are let go.
        """
        answer, tape = x.answer, x.tape
        if answer is None:
            return False
        if tape is None:
            length = -1 if answer.length is None else answer.length
            tape = x.tape = Tape(self._max_bytes, length, chunks=[])
        tape.add(chunk)
        if tape.broken:
            self.drop(x, Outcome.UNCACHEABLE)
        return tape.full

    def take(self, x: Exchange, body: bytes, face: Face) -> Later:
        """The body comes in one piece; as `record` and `settle`."""
        answer = x.answer
        if answer is None:
            return None
        size = len(body)
        if x.tape is not None or size > self._max_bytes or answer.length not in (None, size):
            self.record(x, body)
            return self.settle(x, face)
        return self._store(x, answer, body if type(body) is bytes else bytes(body), face)

    def settle(self, x: Exchange, face: Face) -> Later:
        """The last chunk is known: store the response, if it came whole.

        Done at once in this process; else the result stores it when awaited.
        """
        answer, tape = x.answer, x.tape
        if answer is None:
            return None
        if tape is None:
            return self.take(x, b"", face)
        if not tape.whole:
            self.drop(x, Outcome.UNCACHEABLE)
            return None
        return self._store(x, answer, tape.body(), face)

    def _store(self, x: Exchange, answer: Answer, body: bytes, face: Face) -> Later:
        plan, flight = x.plan, x.flight
        assert flight is not None
        if plan is not None:
            late, plan.late = plan.late, None  # it leads back to the plan
            if late is not None:
                late(plan)
            # It may turn private while the body is made, as when a stream uses the session.
            if plan.kept_out if plan.guarded else plan.private:
                self.drop(x, Outcome.UNCACHEABLE)
                return None
        vary = answer.terms.vary
        values = self.selection.values(x, vary) if vary else ()
        entry: Entry | None = entry_of(x, answer, body, flight.began, monotonic(), values)
        if answer.span is not None:
            assert entry is not None
            entry = trimmed(entry)
        x.answer = x.tape = x.flight = None
        if entry is None:
            self.flights.land(flight, Outcome.UNCACHEABLE)
            return None
        return self.keep(x, flight, entry, face)

    def keep(self, x: Exchange, flight: Flight, entry: Entry, face: Face) -> Later:
        """Store an entry and land its flight; as `settle`."""
        if entry.began != self.tags.clock and not self.tags.spares(flight.key, entry):
            self.flights.land(flight, Outcome.FAILED)  # purged meanwhile: the followers ask again
            return None
        self.rests.end(flight.key, entry.values)
        if entry.fresh_until <= entry.born:
            self.note_unstorable(flight)  # asked about each time: nobody can take it from another
        elif self._unstorable:
            self._unstorable.pop((flight.key, x.flags & GUARDED), None)
        if not isinstance(face, LocalFace):
            return self._keep_far(x, flight, entry, face)
        slot = self._peek(flight.key)
        if entry.vary or entry.span or (slot is not None and type(slot.value) is Fork):
            # A route's own selector may be called: not under the lock of all flights.
            step(self._keep_far(x, flight, entry, face))
            return None
        ttl_s = kept_s(entry, self._keep_stale_s)
        self.flights.land(flight, STORED, entry, face.put, ttl_s)
        return None

    def drop(self, x: Exchange, outcome: Outcome) -> None:
        """The fetch comes to nothing; does nothing where it has ended already."""
        flight, x.flight, x.tape, x.answer = x.flight, None, None, None
        if flight is not None:
            self.flights.land(flight, outcome)

    async def erase(self, key: Key, face: Face) -> None:
        """Make what is stored under a key void, and what is being fetched for it too."""
        self.flights.void(key)
        await face.erase(key)
        await face.erase(part_key(key))

    def _refusal(self, x: Exchange, flight: Flight) -> str:
        """Why the request, whatever its response, does not have it stored; else empty."""
        if refuses_storing(x):
            return "request"
        if self.admission is None or x.stale is not None or self.admission.admits(flight.key):
            return ""
        return "uses"

    def refuse(self, x: Exchange, flight: Flight, reason: str) -> None:
        """Keep no response, for this reason, and have nobody wait for its like."""
        x.detail = reason
        # A 206 or a 416 tells of a part that one client asked for.
        if x.status < 500 and reason not in PASSING and not x.flags & RANGE:
            self.note_unstorable(flight)
        self.drop(x, Outcome.UNCACHEABLE)

    async def _keep_far(self, x: Exchange, flight: Flight, entry: Entry, face: Face) -> None:
        """Keep where it takes a while; what is voided meanwhile is erased again."""
        kept = flight.current
        try:
            if kept and is_shared(face):
                kept = await keep_leased(self, x, flight, entry, face)
            elif kept:
                await self.shelf.keep(x, flight.key, entry, face)
        finally:
            if not self.flights.land(flight, Outcome.STORED, entry) and kept:
                with face.waits.shield():  # also where the client has left
                    await face.erase(flight.key)

    def note_unstorable(self, flight: Flight) -> None:
        """Nobody need wait for such a response for a while."""
        if len(self._unstorable) >= MOST_NOTES:
            self._unstorable = {}
        now = monotonic()
        # Longer than it took: or those that come while it is made would wait each time.
        took_s = now - flight.leader.started
        until = now + max(self.settings.cache.hit_for_miss_s, 2 * took_s)
        self._unstorable[flight.key, flight.lane[0]] = until


def refuses_storing(x: Exchange) -> bool:
    """Whether the client forbids storing the response (RFC 9111 §5.2.1.5)."""
    return x.wants is not None and x.wants.no_store


def located(headers: Iterable[Sequence[bytes]]) -> list[bytes]:
    """The lines of Content-Location."""
    return [bytes(value) for name, value in headers if name.lower() == b"content-location"]
