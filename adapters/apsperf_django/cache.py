"""A Django cache backend on the suite's drivers: `BACKEND: "apsperf_django.cache.SuiteCache"`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.exceptions import ImproperlyConfigured

from apsperf_django import get_suite
from apsperf_django.kinds import VALUES
from apsperf_mw.data.cache import DataCache

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OPTIONS = ("driver", "space", "raises")
ABSENT: Any = object()


class SuiteCache(BaseCache):  # type: ignore[misc]
    """`LOCATION` is a driver's name or URL; empty, the one that the suite's cache uses.

    `OPTIONS` may hold `driver`, in the place of `LOCATION`; `space`, which keeps caches in one
    driver apart; and `raises`, to have faults of the store raised. Nothing is pickled: values are
    the plain ones that `suite.cache()` keeps, safe strings and plain responses; anything else is
    a `TypeError` that names its type. A timeout of None means a year.
    """

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        options = dict(params.get("OPTIONS") or {})
        for name in ("MAX_ENTRIES", "CULL_FREQUENCY"):  # the driver has bounds of its own
            options.pop(name, None)
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise ImproperlyConfigured(
                f"CACHES: OPTIONS of SuiteCache: {unknown[0]!r} given; accepted: "
                + ", ".join(OPTIONS)
            )
        self._driver: str = options.get("driver") or location
        self._space: str = options.get("space", "")
        self._raises = bool(options.get("raises"))

    @cached_property
    def data(self) -> DataCache:
        """The cache behind it; tags and `remember` are there too."""
        stock = get_suite().caches.stock(self._driver, f"django:{self._space}")
        return DataCache(stock, VALUES, raises=self._raises)

    def name(self, key: str, version: int | None) -> str:
        """The key as the driver gets it."""
        made: Any = self.make_and_validate_key(key, version)
        return made  # type: ignore[no-any-return]

    def ttl_s(self, timeout: Any) -> float | None:
        """The seconds of a timeout; 0 says that nothing is kept."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        return None if timeout is None else max(float(timeout), 0.0)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """The value, or the default."""
        return self.data.get(self.name(key, version), default)

    def set(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        """Keep a value."""
        name, ttl_s = self.name(key, version), self.ttl_s(timeout)
        if ttl_s == 0:
            self.data.delete(name)
        else:
            self.data.set(name, value, ttl_s)

    def add(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Keep a value where there is none."""
        name, ttl_s = self.name(key, version), self.ttl_s(timeout)
        if ttl_s == 0:
            return self.data.get(name, ABSENT) is ABSENT
        return self.data.add(name, value, ttl_s)

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Give a value a new timeout."""
        name, ttl_s = self.name(key, version), self.ttl_s(timeout)
        return self.data.delete(name) if ttl_s == 0 else self.data.touch(name, ttl_s)

    def delete(self, key: str, version: int | None = None) -> bool:
        """Forget a key; whether there was one."""
        return self.data.delete(self.name(key, version))

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        """The values that are there."""
        names = self._names(keys, version)
        return {names[name]: value for name, value in self.data.get_many(names).items()}

    def set_many(
        self,
        data: Mapping[str, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> list[str]:
        """Keep the values; the keys of those that were not kept."""
        names, ttl_s = self._names(data, version), self.ttl_s(timeout)
        if ttl_s == 0:
            self.data.delete_many(names)
            return []
        items = {name: data[key] for name, key in names.items()}
        return [names[name] for name in self.data.set_many(items, ttl_s)]

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        """Forget the keys."""
        self.data.delete_many(self._names(keys, version))

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Add to a number, which keeps its timeout; `ValueError` where there is none."""
        try:
            return self.data.incr(self.name(key, version), delta)
        except KeyError:
            raise ValueError(f"Key {key!r} not found") from None

    def clear(self) -> None:
        """Forget everything of this cache's space, whatever its prefix and version."""
        self.data.clear()

    async def aget(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """As `get`."""
        return await self.data.aget(self.name(key, version), default)

    async def aset(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        """As `set`."""
        name, ttl_s = self.name(key, version), self.ttl_s(timeout)
        if ttl_s == 0:
            await self.data.adelete(name)
        else:
            await self.data.aset(name, value, ttl_s)

    async def aadd(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """As `add`."""
        name, ttl_s = self.name(key, version), self.ttl_s(timeout)
        if ttl_s == 0:
            return await self.data.aget(name, ABSENT) is ABSENT
        return await self.data.aadd(name, value, ttl_s)

    async def atouch(
        self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """As `touch`."""
        name, ttl_s = self.name(key, version), self.ttl_s(timeout)
        if ttl_s == 0:
            return await self.data.adelete(name)
        return await self.data.atouch(name, ttl_s)

    async def adelete(self, key: str, version: int | None = None) -> bool:
        """As `delete`."""
        return await self.data.adelete(self.name(key, version))

    async def aget_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        """As `get_many`."""
        names = self._names(keys, version)
        return {names[name]: value for name, value in (await self.data.aget_many(names)).items()}

    async def aset_many(
        self,
        data: Mapping[str, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> list[str]:
        """As `set_many`."""
        names, ttl_s = self._names(data, version), self.ttl_s(timeout)
        if ttl_s == 0:
            await self.data.adelete_many(names)
            return []
        items = {name: data[key] for name, key in names.items()}
        return [names[name] for name in await self.data.aset_many(items, ttl_s)]

    async def adelete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        """As `delete_many`."""
        await self.data.adelete_many(self._names(keys, version))

    async def aincr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """As `incr`."""
        try:
            return await self.data.aincr(self.name(key, version), delta)
        except KeyError:
            raise ValueError(f"Key {key!r} not found") from None

    async def aclear(self) -> None:
        """As `clear`."""
        await self.data.aclear()

    def _names(self, keys: Iterable[str], version: int | None) -> dict[str, str]:
        return {self.name(key, version): key for key in keys}
