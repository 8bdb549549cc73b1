"""`suite.cache(name)`: a cache for the user's own data."""

from __future__ import annotations

from functools import cached_property, partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakValueDictionary

from apsperf_mw.data.job import MISSING, Job
from apsperf_mw.data.making import Making
from apsperf_mw.data.reach import task_reach, thread_reach
from apsperf_mw.data.stock import Stock, tag_names
from apsperf_mw.data.verbs import NOTHING, Verbs
from apsperf_mw.errors import SettingError
from apsperf_mw.runtime.step import step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from apsperf_mw.data.values import Values
    from apsperf_mw.drivers.registry import Registry
    from apsperf_mw.faults import Faults
    from apsperf_mw.settings import Settings

    TTL = str | float | None
    Key = str | bytes | tuple[Any, ...]

T = TypeVar("T")


class DataCache:
    """Keeps values under keys: text, bytes, or tuples of plain values.

    A TTL is a class (short, medium, long, negative), seconds, or None: as long as it can be kept,
    a year at most. A value is given back exactly as it was, each caller his own; what cannot be
    is refused by `UnstorableValue`. A value whose tag was invalidated since it was set, or since
    its making began, is not there. Where the store fails nothing is there and nothing is kept,
    which is counted and logged, unless `raises`; but what should be gone and is not, and a count
    that is not known, is always raised.

    The verbs with an `a` before them are for event loops, and never hold one.
    """

    def __init__(self, stock: Stock, values: Values, *, raises: bool = False) -> None:
        self.stock = stock
        self._values = values
        self._raises = raises

    def __repr__(self) -> str:
        return f"<DataCache {self.stock.title}>"

    @cached_property
    def _now(self) -> Verbs:
        reach = thread_reach(self.stock.driver)
        return Verbs(self.stock, reach, self._values, raises=self._raises)

    @cached_property
    def _later(self) -> Verbs:
        reach = task_reach(self.stock.driver)
        return Verbs(self.stock, reach, self._values, raises=self._raises)

    @cached_property
    def _making(self) -> Making:
        return Making(self._now)

    @cached_property
    def _amaking(self) -> Making:
        return Making(self._later)

    def get(self, key: Key, default: Any = None) -> Any:
        """The value, or the default."""
        return step(self._now.get(key, default))

    def set(self, key: Key, value: Any, ttl: TTL, *, tags: Iterable[str] = ()) -> bool:
        """Keep a value; False where it is too large, or the store fails."""
        return step(self._now.set(key, value, ttl, tags))

    def add(self, key: Key, value: Any, ttl: TTL, *, tags: Iterable[str] = ()) -> bool:
        """As `set`, where there is none; whether it was kept."""
        return step(self._now.add(key, value, ttl, tags))

    def delete(self, key: Key) -> bool:
        """Forget a key, and what this process is making of it; whether there was one."""
        return step(self._now.delete(key))

    def touch(self, key: Key, ttl: TTL) -> bool:
        """Give a value a new time to live; whether there was one."""
        return step(self._now.touch(key, ttl))

    def incr(self, key: Key, by: int = 1, *, ttl: Any = NOTHING) -> int:
        """Add to a number and tell what it comes to; it keeps its time to live.

        One that is not there begins at 0 and is kept for `ttl`; without one, `KeyError`.
        """
        return step(self._now.incr(key, by, ttl))

    def get_many(self, keys: Iterable[Key]) -> dict[Any, Any]:
        """The values that are there, by key."""
        return step(self._now.get_many(keys))

    def set_many(
        self, items: Mapping[Any, Any], ttl: TTL, *, tags: Iterable[str] = ()
    ) -> list[Any]:
        """Keep the values; the keys of those that were not kept."""
        return step(self._now.set_many(items, ttl, tags))

    def delete_many(self, keys: Iterable[Key]) -> int:
        """Forget the keys; how many there were."""
        return step(self._now.delete_many(keys))

    def invalidate(self, *tags: str) -> None:
        """Make void what carries one of the tags, in every process, also what is being made."""
        step(self._now.invalidate(tags))

    def clear(self) -> None:
        """Forget everything of this cache; other spaces, and other apps, keep theirs."""
        step(self._now.clear())

    def remember(
        self,
        key: Key,
        make: Callable[[], T],
        ttl: TTL,
        *,
        tags: Iterable[str] = (),
        stale_while_revalidate: str | float = 0.0,
    ) -> T:
        """The value, or what `make` returns, which is kept.

        Of callers at the same time, threads, tasks and processes, one makes it; the others wait
        for `cache.patience_s` at most. Who took longer than its lease does not overwrite. For
        `stale_while_revalidate` seconds more the old value is given while a new one is made in
        the background. What `make` raises comes through, and another caller tries.
        """
        job = self._job(key, make, ttl, tags, stale_while_revalidate)
        if self._making.is_within(job):
            return make()
        value = step(self._making.arrive(job, partial(self._behind, job, make)))
        return self._made(job, make) if value is MISSING else cast("T", value)

    def _made(self, job: Job, make: Callable[[], T]) -> T:
        # Not in a coroutine, where a function could not raise StopIteration.
        try:
            with self._making.making(job):
                value = make()
            step(self._making.settle(job, value))
        except BaseException:
            step(self._making.drop(job))
            raise
        return value

    def _behind(self, job: Job, make: Callable[[], Any]) -> bool:
        return self.stock.background.spawn_thread(partial(self._again, job, make))

    def _again(self, job: Job, make: Callable[[], Any]) -> None:
        if step(self._making.again(job)):
            self._made(job, make)

    def _job(self, key: Key, make: object, ttl: TTL, tags: Iterable[str], stale: TTL) -> Job:
        if not callable(make):
            raise SettingError(f"remember(make=...): {make!r} given; accepted: a function")
        stale_s = self.stock.ttl_s(stale) if stale else 0.0
        ttl_s = self.stock.ttl_s(ttl)
        names = tag_names(tags) if tags else ()
        return Job(self.stock.name(key), ttl_s, stale_s, names)

    async def aget(self, key: Key, default: Any = None) -> Any:
        """As `get`."""
        return await self._later.get(key, default)

    async def aset(self, key: Key, value: Any, ttl: TTL, *, tags: Iterable[str] = ()) -> bool:
        """As `set`."""
        return await self._later.set(key, value, ttl, tags)

    async def aadd(self, key: Key, value: Any, ttl: TTL, *, tags: Iterable[str] = ()) -> bool:
        """As `add`."""
        return await self._later.add(key, value, ttl, tags)

    async def adelete(self, key: Key) -> bool:
        """As `delete`."""
        return await self._later.delete(key)

    async def atouch(self, key: Key, ttl: TTL) -> bool:
        """As `touch`."""
        return await self._later.touch(key, ttl)

    async def aincr(self, key: Key, by: int = 1, *, ttl: Any = NOTHING) -> int:
        """As `incr`."""
        return await self._later.incr(key, by, ttl)

    async def aget_many(self, keys: Iterable[Key]) -> dict[Any, Any]:
        """As `get_many`."""
        return await self._later.get_many(keys)

    async def aset_many(
        self, items: Mapping[Any, Any], ttl: TTL, *, tags: Iterable[str] = ()
    ) -> list[Any]:
        """As `set_many`."""
        return await self._later.set_many(items, ttl, tags)

    async def adelete_many(self, keys: Iterable[Key]) -> int:
        """As `delete_many`."""
        return await self._later.delete_many(keys)

    async def ainvalidate(self, *tags: str) -> None:
        """As `invalidate`."""
        await self._later.invalidate(tags)

    async def aclear(self) -> None:
        """As `clear`."""
        await self._later.clear()

    async def aremember(
        self,
        key: Key,
        make: Callable[[], T | Awaitable[T]],
        ttl: TTL,
        *,
        tags: Iterable[str] = (),
        stale_while_revalidate: str | float = 0.0,
    ) -> T:
        """As `remember`; `make` may be an async function."""
        job = self._job(key, make, ttl, tags, stale_while_revalidate)
        if self._amaking.is_within(job):
            return await _awaited(make)
        value = await self._amaking.arrive(job, partial(self._abehind, job, make))
        return await self._amade(job, make) if value is MISSING else cast("T", value)

    async def _amade(self, job: Job, make: Callable[[], T | Awaitable[T]]) -> T:
        try:
            with self._amaking.making(job):
                value = await _awaited(make)
            await self._amaking.settle(job, value)
        except BaseException:
            with self._later.reach.waits.shield():
                await self._amaking.drop(job)
            raise
        return value

    def _abehind(self, job: Job, make: Callable[[], Any]) -> bool:
        lost = partial(self._amaking.abandon, job)
        return self.stock.background.spawn_task(partial(self._aagain, job, make), lost)

    async def _aagain(self, job: Job, make: Callable[[], Any]) -> None:
        if await self._amaking.again(job):
            await self._amade(job, make)


async def _awaited(make: Callable[[], T | Awaitable[T]]) -> T:
    made = make()
    value: Any = await made if isawaitable(made) else made
    return cast("T", value)


class Caches:
    """The caches of one suite."""

    def __init__(self, settings: Settings, registry: Registry, faults: Faults) -> None:
        self._settings = settings
        self._registry = registry
        self._faults = faults
        self._stocks: WeakValueDictionary[tuple[str, str], Stock] = WeakValueDictionary()

    def cache(self, name: str, space: str, values: Values, *, raises: bool) -> DataCache:
        """A cache; raises `UnknownDriver`."""
        return DataCache(self.stock(name, space), values, raises=raises)

    def stock(self, name: str, space: str) -> Stock:
        """What all caches of one space in one driver share, while there are any."""
        name = name or self._settings.cache.driver or self._settings.default
        driver = self._registry.get(name)
        made = Stock(name, space, driver, self._settings, self._faults)
        kept = self._stocks.setdefault((name, space), made)
        if kept.driver is not driver:  # closed since, and made anew
            self._stocks[name, space] = kept = made
        return kept

    def stats(self) -> dict[str, dict[str, int]]:
        """What was counted, by driver and space."""
        stocks = sorted(self._stocks.items())
        return {stock.title: dict(stock.counts) for _, stock in stocks}

    def close(self) -> None:
        """Let no more values be made in the background."""
        for stock in list(self._stocks.values()):
            stock.background.close()
