"""Single flight: one request fetches, the others wait for what becomes of it."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING

from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apsperf_mw.cache.entry import Entry, Values
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Exchange

    Wake = Callable[[], None]


# What guards a request, and its values of what its URL varies on.
Lane = tuple[int, "Values"]


class Outcome(Enum):
    """How a flight ended, and so what its followers do."""

    STORED = "stored"  # take the entry
    FOUND = "found"  # take the entry, which another fetch has stored
    STALE = "stale"  # take the entry although it is stale: the app has failed
    UNCACHEABLE = "uncacheable"  # each asks the app for itself
    FAILED = "failed"  # elect another leader


class Flight:
    """One fetch of one key.

    `current` until something makes its result void: an invalidation, or a younger fetch that
    landed first. Only a joinable flight takes followers.
    """

    __slots__ = (
        "began",
        "current",
        "entry",
        "joinable",
        "key",
        "lane",
        "leader",
        "outcome",
        "wakers",
    )

    def __init__(
        self, key: Key, lane: Lane, began: int, leader: Exchange, *, joinable: bool
    ) -> None:
        self.key = key
        self.lane = lane
        self.began = began
        self.leader = leader
        self.joinable = joinable
        self.current = True
        self.outcome: Outcome | None = None
        self.entry: Entry | None = None
        self.wakers: list[Wake] = []


class Flights:
    """The flights under way, by primary key. Threads and tasks of several loops may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._airborne: dict[Key, list[Flight]] = {}

    def __len__(self) -> int:
        return sum(map(len, list(self._airborne.values())))

    def lead(self, key: Key, lane: Lane, began: int, leader: Exchange) -> Flight | None:
        """A flight that the caller leads, or None where there is one of this key already."""
        flight = Flight(key, lane, began, leader, joinable=True)
        with self._lock:
            if key in self._airborne:
                return None
            self._airborne[key] = [flight]
        return flight

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
                flight.wakers.append(wake)
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
        commit: Callable[[], None] | None = None,
    ) -> bool:
        """End the flight; False where its result is void, and `commit` was not called then.

        `commit` stores the entry under the lock, so that no invalidation falls between the check
        and the store; it must not wait. Whatever it raises, the flight has ended.
        """
        self._lock.acquire()
        try:
            current = flight.current and outcome is Outcome.STORED
            if current:
                self._outdate(flight, self._airborne.get(flight.key, ()))
                if commit is not None:
                    commit()
        finally:
            self._remove(flight)
            wakers = self._end(flight, outcome, entry)
            self._lock.release()
            wake_all(wakers)
        return current

    def void(self, key: Key) -> None:
        """Make the results of all flights of this key void and their followers ask again."""
        with self._lock:
            fleet = self._airborne.pop(key, [])
            wakers = []
            for flight in fleet:
                flight.current = False
                wakers += self._end(flight, Outcome.FAILED, None)
        wake_all(wakers)

    def _outdate(self, flight: Flight, fleet: Sequence[Flight]) -> None:
        """What began before a fetch that has landed would only overwrite it with older."""
        for other in fleet:
            if other is flight:
                return
            if other.lane == flight.lane:
                other.current = False

    def _remove(self, flight: Flight) -> None:
        fleet = self._airborne.get(flight.key)
        if fleet is not None and flight in fleet:
            fleet.remove(flight)
            if not fleet:
                del self._airborne[flight.key]

    def _end(self, flight: Flight, outcome: Outcome, entry: Entry | None) -> list[Wake]:
        """Give the flight its outcome, if it has none yet; whom to wake outside the lock."""
        flight.joinable = False
        if flight.outcome is None:
            flight.outcome, flight.entry = outcome, entry
        wakers, flight.wakers = flight.wakers, []
        return wakers


def wake_all(wakers: list[Wake]) -> None:
    """Wake each; a follower whose event loop has been closed does not wait any more."""
    for wake in wakers:
        with suppress(RuntimeError):
            wake()
