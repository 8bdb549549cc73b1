"""Single flight across the processes that share a store: whoever holds a URL's lease asks the app.

Only who holds it stores. A lease that was lost meanwhile, because its time ran out or the URL was
made void, stores nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from os import urandom
from time import monotonic
from typing import TYPE_CHECKING

from apsperf_mw.cache.entry import Fork
from apsperf_mw.cache.flights import Lease
from apsperf_mw.cache.shelf import keeps_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.faces import SharedFace
    from apsperf_mw.cache.flights import Flight
    from apsperf_mw.cache.flow import Cache
    from apsperf_mw.cache.intake import Intake
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Exchange

# A process that was killed holds its leases for so many times what others wait, and this at least.
LEASE_PATIENCES, LEAST_LEASE_S = 3, 10.0
# How long to wait before another look at what another process makes.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.004, 0.05


async def take_lease(cache: Intake, face: SharedFace, flight: Flight) -> bool:
    """Whether the flight has the lease of its URL now."""
    if flight.lease is None:
        lease = Lease(flight.key, urandom(16))
        patience_s = cache.settings.cache.patience_s
        ttl_s = max(LEASE_PATIENCES * patience_s, LEAST_LEASE_S)
        with given_up_on_failure(cache, flight, lease):
            given = await face.lease(flight.key, ttl_s, lease.token)
        if given is not None:
            flight.lease = lease
    return flight.lease is not None


@contextmanager
def given_up_on_failure(cache: Intake, flight: Flight, lease: Lease) -> Iterator[None]:
    """A call that failed may have been carried out all the same: end the lease when that works."""
    try:
        yield
    except BaseException:
        cache.flights.over.append((lease, flight, False))
        raise


async def over_processes(
    cache: Cache, x: Exchange, face: SharedFace, flight: Flight
) -> Entry | None:
    """Take the lease, or wait for what another process makes; at most `patience_s`.

    None where the app is to be asked.
    """
    patience_s = cache.settings.cache.patience_s if flight.joinable else 0.0
    deadline, pause_s = monotonic() + patience_s, SHORTEST_PAUSE_S
    if cache.flights.over:
        await end_leases(cache, face)
    if cache.is_noted(x):
        return await cache.find(x, face, flight.key)
    while True:
        leads = await take_lease(cache, face, flight)
        # It may have been stored between the last look and the lease.
        entry = await cache.find(x, face, flight.key)
        if entry is not None and x.result == "hit" and pause_s > SHORTEST_PAUSE_S:
            x.result = "collapsed"
        if entry is not None or leads:
            return entry
        if await face.barred(bar_key(flight)) or monotonic() + pause_s > deadline:
            cache.note_unstorable(flight)  # or each would wait in vain
            return None
        await face.waits.wait(_nobody, pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def keep_leased(
    cache: Intake, x: Exchange, flight: Flight, entry: Entry, face: SharedFace
) -> bool:
    """Store what was made under the lease; whether it is stored."""
    lease, flight.lease = flight.lease, None
    if lease is None:
        return False  # another process is at it
    with given_up_on_failure(cache, flight, lease):
        return await _keep(cache, x, lease, entry, face)


async def _keep(cache: Intake, x: Exchange, lease: Lease, entry: Entry, face: SharedFace) -> bool:
    whole = not entry.vary and entry.span is None
    if whole and not isinstance(await face.read(lease.key), Fork):
        ttl_s = keeps_s(entry, cache.settings.cache.keep_stale_s)
        return await face.commit(lease.key, lease.token, entry, ttl_s)
    await cache.shelf.keep(x, lease.key, entry, face)
    if await face.release(lease.key, lease.token):
        return True
    await cache.shelf.drop(x, lease.key, entry, face)
    return False


async def end_leases(cache: Intake, face: SharedFace) -> None:
    """End the leases of flights that have ended without a response to store."""
    over = cache.flights.over
    while over:
        lease, flight, refused = over.popleft()
        with given_up_on_failure(cache, flight, lease):
            if refused:
                await face.bar(bar_key(flight), cache.settings.cache.hit_for_miss_s)
            await face.release(lease.key, lease.token)


def bar_key(flight: Flight) -> Key:
    """Where it is said that responses to such requests are not kept."""
    return (flight.key, flight.lane[0])


def _nobody(wake: Callable[[], None]) -> None:
    """Nothing wakes who waits for another process."""
