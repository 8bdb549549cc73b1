"""Single flight: one request fetches, the others wait for what becomes of it."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, field

from apsperf_mw.runtime.threads import Lock, current_thread_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.cache.entry import Entry, Values
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Exchange

    Wake = Callable[[], None]
    Put = Callable[..., None]


# What guards a request, and its values of what its URL varies on.
Lane = tuple[int, "Values"]


# Of more leases the oldest are left to end by themselves.
MOST_OVER = 1024
NO_FLEET: list[Flight] = []  # of a key that nobody fetches; never changed


class Lease(NamedTuple):
    """The sole right, among processes, to make what is kept under a key."""

    key: Key
    token: bytes


class Outcome(Enum):
    """How a flight ended, and so what its followers do."""

    STORED = "stored"  # take the entry
    FOUND = "found"  # take the entry, which another fetch has stored
    STALE = "stale"  # take the entry although it is stale: the app has failed
    UNCACHEABLE = "uncacheable"  # each asks the app for itself
    FAILED = "failed"  # elect another leader


# At hand: an enumeration finds its members by a call.
STORED, UNCACHEABLE = Outcome.STORED, Outcome.UNCACHEABLE
NO_THREAD = 0


class Flight(Struct, eq=False):
    """One fetch of one key.

    `current` until something makes its result void: an invalidation, or a younger fetch that
    landed first. Only a joinable flight takes followers. `lease` is what it holds in a store that
    other processes share, `thread` where it began.
    """

    key: Key
    lane: Lane
    began: int
    leader: Exchange
    joinable: bool = True
    current: bool = True
    outcome: Outcome | None = None
    entry: Entry | None = None
    wakers: tuple[Wake, ...] = ()
    lease: Lease | None = None
    thread: int = field(default_factory=current_thread_id)


class Flights:
    """The flights under way, by primary key. Threads and tasks of several loops may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._airborne: dict[Key, list[Flight]] = {}
        # Leases of flights that have ended, and whether nobody should wait for their like.
        self.over: deque[tuple[Lease, Flight, bool]] = deque(maxlen=MOST_OVER)

    def __len__(self) -> int:
        return sum(map(len, list(self._airborne.values())))

    def __bool__(self) -> bool:
        return bool(self._airborne)

    def lead(self, key: Key, lane: Lane, began: int, leader: Exchange) -> Flight | None:
        """A flight that the caller leads, or None where there is one of this key already."""
        flight = Flight(key, lane, began, leader)
        fleet = [flight]
        # One step of a dict, so that it needs no lock.
        return flight if self._airborne.setdefault(key, fleet) is fleet else None

    def board(
        self, key: Key, lane: Lane, began: int, leader: Exchange, *, alone: bool
    ) -> tuple[Flight, bool]:
        """The flight of this lane and whether the caller leads it.

        `alone` starts one of one's own, which others may not join.
        """
        with self._lock:
            fleet = self._airborne.setdefault(key, [])
            if not alone:
                for flight in fleet:
                    if flight.joinable and flight.lane == lane:
                        return flight, False
            flight = Flight(key, lane, began, leader, joinable=not alone)
            fleet.append(flight)
            return flight, True

    def join(self, flight: Flight, wake: Wake) -> None:
        """Have `wake` called once the flight's outcome is known; at once if it is."""
        with self._lock:
            if flight.outcome is None:
                flight.wakers = (*flight.wakers, wake)
                return
        wake()

    def overtake(self, flight: Flight) -> None:
        """Let no more followers join a flight that takes too long; it may still land."""
        with self._lock:
            flight.joinable = False

    def land(
        self,
        flight: Flight,
        outcome: Outcome,
        entry: Entry | None = None,
        put: Put | None = None,
        *more: Any,
    ) -> bool:
        """End the flight; False where its result is void, and `put` was not called then.

        `put` stores the entry under the lock, so that no invalidation falls between the check
        and the store: it gets the key, the entry and what more is given, and must not wait.
        Whatever it raises, the flight has ended.
        """
        wakers: tuple[Wake, ...] = ()
        try:
            with self._lock:
                current = flight.current and outcome is STORED
                fleet = self._airborne.get(flight.key, NO_FLEET)
                try:
                    if current:
                        if len(fleet) > 1:
                            outdate(fleet, flight)
                        if put is not None:
                            put(flight.key, entry, *more)
                finally:
                    wakers = self._end(fleet, flight, outcome, entry)
        finally:
            if wakers:
                wake_all(wakers)
            if flight.lease is not None:
                self._give_up_lease(flight, outcome)
        return current

    def _end(
        self, fleet: list[Flight], flight: Flight, outcome: Outcome, entry: Entry | None
    ) -> tuple[Wake, ...]:
        """Give the flight its outcome, if it has none yet; whom to wake outside the lock."""
        if flight in fleet:
            fleet.remove(flight)
            if not fleet:
                del self._airborne[flight.key]
        flight.joinable = False
        if flight.outcome is None:
            flight.outcome, flight.entry = outcome, entry
        wakers, flight.wakers = flight.wakers, ()
        return wakers

    def _give_up_lease(self, flight: Flight, outcome: Outcome) -> None:
        lease, flight.lease = flight.lease, None
        if lease is not None:
            self.over.append((lease, flight, outcome is UNCACHEABLE))

    def void(self, key: Key) -> None:
        """Make the results of all flights of this key void and their followers ask again."""
        with self._lock:
            fleet = self._airborne.pop(key, NO_FLEET)
            wakers: tuple[Wake, ...] = ()
            for flight in fleet:
                flight.current = False
                flight.joinable = False
                flight.outcome = flight.outcome or Outcome.FAILED
                wakers += flight.wakers
                flight.wakers = ()
        wake_all(wakers)

    def void_all(self) -> None:
        """Make the results of all flights void."""
        for key in list(self._airborne):
            self.void(key)


def outdate(fleet: list[Flight], flight: Flight) -> None:
    """What began before a fetch that has landed would only overwrite it with older."""
    for other in fleet:
        if other is flight:
            return
        if other.lane == flight.lane:
            other.current = False


def wake_all(wakers: Iterable[Wake]) -> None:
    """Wake each; a follower whose event loop has been closed does not wait any more."""
    for wake in wakers:
        with suppress(RuntimeError):
            wake()
