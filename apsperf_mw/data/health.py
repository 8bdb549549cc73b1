"""What is known of a driver: whether it answers, how fast, and what it holds."""

from __future__ import annotations

from os import urandom
from time import perf_counter
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.data.values import AnyValues
from apsperf_mw.settings.masking import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apsperf_mw.data.reach import AnyDriver, Reach
    from apsperf_mw.drivers.registry import Registry

PROBE = b"apsperf-probe:"
PROBE_TTL_S = 10.0
UNOPENED = "not opened: it takes a URL"


class Standing(Struct):
    """One driver; `round_trip_ms` is that of a set, a get and a delete.

    `hit_ratio` is that of this process, where the driver counts.
    """

    name: str
    source: str
    url: str
    shared: bool | None = None
    health: str = UNOPENED
    round_trip_ms: float | None = None
    entries: int | None = None
    size_bytes: int | None = None
    hit_ratio: float | None = None


async def standings(registry: Registry, reach_of: Callable[[AnyDriver], Reach]) -> list[Standing]:
    """All drivers that the registry knows; those that can be made are asked."""
    found = []
    for name, (source, url) in registry.sources().items():
        standing = Standing(name, source, mask(url))
        if url:
            await _ask(standing, registry, reach_of)
        found.append(standing)
    return found


async def _ask(
    standing: Standing, registry: Registry, reach_of: Callable[[AnyDriver], Reach]
) -> None:
    try:
        driver = registry.get(standing.name)
        standing.shared = driver.shared
        reach = reach_of(driver)
        told = await reach.stats()  # before the probe counts
        standing.round_trip_ms = await round_trip_ms(reach)
        standing.health = "ok" if driver.shared else "ok, in this process"
    except Exception as fault:
        standing.health = mask(f"{type(fault).__name__}: {fault}")
    else:
        standing.entries, standing.size_bytes = told.get("entries"), told.get("size_bytes")
        standing.hit_ratio = hit_ratio(told)


async def round_trip_ms(reach: Reach) -> float:
    """How long a value takes there and back; raises where it does not come back."""
    key, value = PROBE + urandom(8), urandom(16)
    began = perf_counter()
    await reach.call("set", key, value, PROBE_TTL_S)
    back = await reach.get(key)
    await reach.call("delete", key)
    if back != value:
        raise RuntimeError("what was set is not there")
    return round((perf_counter() - began) * 1000, 3)


def hit_ratio(told: Mapping[str, int]) -> float | None:
    """The share of hits; a miss is a value stored where misses are not counted themselves."""
    hits, misses = told.get("hits"), told.get("misses", told.get("stores"))
    if hits is None or misses is None or not hits + misses:
        return None
    return round(hits / (hits + misses), 4)


class ShownValues(AnyValues):
    """Values as people may see them: what only an app's own codec knows is shown as bytes."""

    def _extended(self, code: int, raw: memoryview) -> Any:
        return super()._extended(code, raw) if code in self._unpack else raw.tobytes()


def shown(value: Any) -> Any:
    """A value in JSON's terms."""
    from msgspec import json

    try:
        return json.decode(json.encode(value, enc_hook=repr))
    except (TypeError, ValueError, RecursionError):
        return repr(value)
