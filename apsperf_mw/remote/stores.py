"""Drivers that processes share, reached from here by this directory's settings."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from apsperf_mw.admin.stores import done
from apsperf_mw.data.cache import Caches
from apsperf_mw.data.health import ShownValues, hit_ratio, standings
from apsperf_mw.data.reach import task_reach
from apsperf_mw.data.verbs import Verbs
from apsperf_mw.drivers.registry import Registry
from apsperf_mw.faults import Faults
from apsperf_mw.remote.server import Unreached
from apsperf_mw.settings import load
from apsperf_mw.settings.masking import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from apsperf_mw.admin.stores import DataBody
    from apsperf_mw.data.stock import Stock


def drivers_here() -> list[dict[str, Any]]:
    """All drivers that this directory's settings and installed packages know, and how they are."""
    from msgspec import to_builtins

    with _caches() as (registry, _):
        told = _run(lambda: standings(registry, task_reach))
    found: list[dict[str, Any]] = to_builtins(told)
    return found


def stats_of(driver: str) -> dict[str, Any]:
    """The numbers of a shared driver."""
    with _shared(driver, "") as stock:
        told = _run(lambda: task_reach(stock.driver).stats())
    return {"driver": type(stock.driver).__name__, **told, "hit_ratio": hit_ratio(told)}


def data_here(asked: DataBody) -> dict[str, Any]:
    """Do in a shared driver what is asked of the user's data."""
    with _shared(asked.driver, asked.space) as stock:

        async def work() -> dict[str, Any]:
            verbs = Verbs(stock, task_reach(stock.driver), ShownValues(), raises=True)
            return await done(verbs, asked)

        told: dict[str, Any] = _run(work)
    return told


@contextmanager
def _caches() -> Iterator[tuple[Registry, Caches]]:
    settings = load()[0]
    registry = Registry(settings.drivers, settings.sealed)
    try:
        yield registry, Caches(settings, registry, Faults())
    finally:
        registry.close()


@contextmanager
def _shared(driver: str, space: str) -> Iterator[Stock]:
    """A space of a driver that other processes see."""
    with _caches() as (_, caches):
        stock = caches.stock(driver, space)
        if not stock.driver.shared:
            name = mask(driver) or "the cache's driver"
            raise Unreached(
                f"--server: not given; accepted: http://host:port of a running app, for {name} "
                "is in the memory of its processes; or --driver: one that processes share"
            )
        yield stock


def _run(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run it, whatever face the driver has; a fault of the store is told as one."""
    import anyio

    from apsperf_mw.errors import APSPerfError

    try:
        return anyio.run(work)
    except APSPerfError:
        raise
    except Exception as fault:
        raise Unreached(mask(f"{type(fault).__name__}: {fault}")) from None
