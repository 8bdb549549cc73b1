"""Making a value once: in this process by a flight, across processes by the driver's lease."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from os import urandom
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.flights import Flight, Outcome
from apsperf_mw.data.frames import Held, Terms, framed
from apsperf_mw.data.job import MISSING, Job
from apsperf_mw.data.values import BadValue
from apsperf_mw.drivers.base import LocalDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.data.verbs import Verbs

# Values differ by their key alone.
LANE = (0, ())
# Seconds between two looks at what another process makes: at first, and at most.
SHORT_S, LONG_S = 0.005, 0.1


# What is being made in this context, outermost first.
_making: ContextVar[tuple[tuple[int, bytes], ...]] = ContextVar("apsperf__making", default=())


class Making:
    """How a value that is not there comes to be, for one kind of caller."""

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._stock = verbs.stock
        self._waits = verbs.reach.waits
        self._shared = verbs.stock.driver.shared

    def is_within(self, job: Job) -> bool:
        """Whether the value is wanted for making itself, which would wait for itself."""
        return (id(self._stock), job.name) in _making.get()

    async def arrive(self, job: Job, behind: Callable[[], bool]) -> Any:
        """The value, or MISSING: it must be made, and the job leads.

        For a stale one `behind` is called, to start a refresh; it returns whether it could.
        """
        held = await self._verbs.held(job.name)
        value = MISSING
        if held is not None:
            value = self._unpacked(held)
            if value is not MISSING and not _is_fresh(held):
                self._refresh(job, behind)
        if value is MISSING:
            self._stock.counts["misses"] += 1
            return await self._join_or_lead(job)
        self._stock.counts["hits"] += 1
        return value

    async def again(self, job: Job) -> bool:
        """Whether a job that leads must still run: another may have made it unseen."""
        return await self._look_again(job, 0.0) is MISSING

    @contextmanager
    def making(self, job: Job) -> Iterator[None]:
        """Where the value is made."""
        token = _making.set((*_making.get(), (id(self._stock), job.name)))
        job.began_at = monotonic()
        try:
            yield
        finally:
            _making.reset(token)

    async def settle(self, job: Job, value: Any) -> None:
        """The value is made: keep it, and let the followers have it.

        Raises `UnstorableValue`; a fault of the store is noted.
        """
        data = self._verbs.values.pack(value)
        if len(data) > self._stock.most_bytes:
            self._stock.counts["too large"] += 1
            await self._end(job, Outcome.UNCACHEABLE)
        elif await self._is_void(job):
            await self.drop(job)  # the followers ask again
        elif isinstance(self._stock.driver, LocalDriver):
            self._keep_here(job, data, self._stock.driver)
        else:
            await self._keep_far(job, data)

    async def drop(self, job: Job) -> None:
        """The job comes to nothing: the followers elect another. May be called again."""
        await self._end(job, Outcome.FAILED)

    def abandon(self, job: Job) -> None:
        """As `drop`, at once; the lease ends by itself."""
        self._land(job, Outcome.FAILED)

    async def _join_or_lead(self, job: Job) -> Any:
        flights = self._stock.flights
        deadline = monotonic() + self._stock.patience_s
        while True:
            flight, leads = self._board(job, alone=monotonic() >= deadline)
            if leads:
                job.flight = flight
                return await self._look_again(job, deadline)
            if not await self._waits.wait(partial(flights.join, flight), deadline - monotonic()):
                flights.overtake(flight)
            elif flight.outcome is Outcome.UNCACHEABLE:
                job.flight, _ = self._board(job, alone=True)
                job.keeps = False
                return MISSING
            elif (value := self._landed(flight.entry)) is not MISSING:
                return value

    async def _look_again(self, job: Job, deadline: float) -> Any:
        try:
            held = await self._won(job, deadline)
            value = MISSING if held is None else self._unpacked(held)
            if value is MISSING:
                await self._begin(job)
                return MISSING
        except BaseException:
            with self._waits.shield():
                await self.drop(job)
            raise
        await self._end(job, Outcome.STORED, held)
        return value

    async def _won(self, job: Job, deadline: float) -> Held | None:
        """A fresh value, or None: it is for this job to make."""
        pause_s = SHORT_S
        while True:
            job.keeps = await self._lease(job)
            held = await self._verbs.held(job.name)
            if held is not None and _is_fresh(held):
                return held
            left_s = deadline - monotonic()
            if job.keeps or left_s <= 0:
                return None
            await self._waits.wait(_nobody, min(pause_s, left_s))
            pause_s = min(2 * pause_s, LONG_S)

    async def _lease(self, job: Job) -> bool:
        """Whether no other process makes the value, as far as it is known."""
        if not self._shared:
            return True
        token = job.token = urandom(16)  # a call that is cancelled may be carried out: it is ended
        try:
            job.token = await self._verbs.reach.call("lease", job.name, self._stock.lease_s, token)
        except Exception as fault:
            job.token = None
            self._note(fault)
            return True
        return job.token is not None

    async def _begin(self, job: Job) -> None:
        """Note where the tags stand before the making begins."""
        fresh_s = job.ttl_s
        if not job.tags:
            job.terms = Terms(0.0) if job.stale_s else None
            return
        try:
            job.terms = await self._verbs.terms(job.tags, fresh_s)
        except Exception as fault:
            job.keeps = False  # nobody could tell whether it is good
            self._note(fault)

    async def _is_void(self, job: Job) -> bool:
        if job.terms is None or not job.tags:
            return False
        try:
            return not await self._verbs.good(job.terms)
        except Exception as fault:
            job.keeps = False
            self._note(fault)
            return False

    def _held(self, job: Job, data: bytes) -> Held:
        fresh_until = time() + job.ttl_s
        terms = job.terms
        if terms is not None:
            terms = Terms(fresh_until, terms.tags, terms.generation, terms.position)
        return Held(data, fresh_until + job.stale_s, terms)

    def _keep_here(self, job: Job, data: bytes, driver: LocalDriver) -> None:
        held = self._held(job, data)
        frame = framed(held)
        cost_s, ttl_s = monotonic() - job.began_at, job.ttl_s + job.stale_s

        def put(name: bytes, _: Held) -> None:
            driver.keep(name, frame, len(name) + len(frame), ttl_s, cost_s)

        try:
            self._land(job, Outcome.STORED, held, put if job.keeps else None)
        except Exception as fault:
            self._note(fault)

    async def _keep_far(self, job: Job, data: bytes) -> None:
        """Keep in a driver that takes its time; what is voided meanwhile is erased again."""
        held, kept = self._held(job, data), False
        try:
            if job.keeps and job.flight is not None and job.flight.current:
                kept = await self._write(job, framed(held), job.ttl_s + job.stale_s)
        except Exception as fault:
            self._note(fault)
        finally:
            if not self._land(job, Outcome.STORED, held) and kept:
                with self._waits.shield():  # also where the caller was cancelled
                    await self._quietly("delete", job.name)

    async def _write(self, job: Job, frame: bytes, ttl_s: float) -> bool:
        if job.token is None:
            kept = await self._verbs.reach.call("set", job.name, frame, ttl_s)
        else:
            kept = await self._verbs.reach.call("commit", job.name, job.token, frame, ttl_s)
            job.token = None
        return bool(kept)

    def _refresh(self, job: Job, behind: Callable[[], bool]) -> None:
        flight = self._stock.flights.lead(job.name, LANE, 0, job)  # type: ignore[arg-type]
        if flight is None:
            return
        job.flight = flight
        started = False
        try:
            started = behind()
        except Exception as fault:
            self._note(fault)
        finally:
            if not started:
                self.abandon(job)

    def _board(self, job: Job, *, alone: bool) -> tuple[Flight, bool]:
        return self._stock.flights.board(job.name, LANE, 0, job, alone=alone)  # type: ignore[arg-type]

    def _landed(self, made: Any) -> Any:
        """The value that another caller has made; MISSING where it came to nothing."""
        return MISSING if made is None else self._unpacked(made)

    def _unpacked(self, held: Held) -> Any:
        try:
            return self._verbs.values.unpack(held.data)
        except BadValue:
            self._stock.faults.counts["a stored value"] += 1
            return MISSING

    async def _end(self, job: Job, outcome: Outcome, held: Held | None = None) -> None:
        self._land(job, outcome, held)
        token, job.token = job.token, None
        if token is not None:
            await self._quietly("release", job.name, token)

    def _land(
        self,
        job: Job,
        outcome: Outcome,
        held: Held | None = None,
        put: Callable[..., None] | None = None,
    ) -> bool:
        flight, job.flight = job.flight, None
        if flight is None:
            return True
        return self._stock.flights.land(flight, outcome, held, put)  # type: ignore[arg-type]

    async def _quietly(self, verb: str, *args: Any) -> None:
        try:
            await self._verbs.reach.call(verb, *args)
        except Exception as fault:
            self._note(fault)

    def _note(self, fault: BaseException) -> None:
        self._stock.faults.note(self._stock.place, fault)


def _is_fresh(held: Held) -> bool:
    return held.terms is None or held.terms.fresh_until > time()


def _nobody(wake: Callable[[], None]) -> None:
    """Wakes nobody: a wait for it is a pause."""
