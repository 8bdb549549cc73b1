"""The verbs of the tiered driver for tasks."""

from __future__ import annotations

from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.drivers.async_base import AsyncDriver
from apsperf_mw.drivers.near import stand_name
from apsperf_mw.drivers.tiered.copies import Copies
from apsperf_mw.drivers.versions import Look

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from apsperf_mw.drivers.near import Name
    from apsperf_mw.drivers.versions import Versions


class Awaiting(Copies, AsyncDriver):
    """What `AsyncDriver` promises.

    A copy goes before its key is changed, and what was read meanwhile goes after.
    """

    async def aget(self, key: bytes) -> bytes | None:
        """The copy, or the value there is in Redis."""
        value = self.copy(key)
        if value is not None:
            return value  # type: ignore[no-any-return]
        self.listen()
        began, mark = monotonic(), self.near.begin(key)
        try:
            return self._kept(mark, began, await self.far.ahold(key))
        finally:
            self.near.end(mark)

    async def aget_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The copies, and from Redis what there are none of."""
        found = {key: self.copy(key) for key in keys}
        missing = [key for key, value in found.items() if value is None]
        if missing:
            found.update(await self.far.aget_many(missing))
        return {key: value for key, value in found.items() if value is not None}

    async def alook(self, key: bytes, space: bytes) -> Look:
        """From the copies, or in one round trip."""
        stand = self.copy(stand_name(space))
        if stand is not None:
            return Look(await self.aget(key), *stand)
        self.listen()
        began = monotonic()
        marks = self.near.begin(key), self.near.begin(stand_name(space))
        try:
            return self._kept_look(marks, began, await self.far.ahold_look(key, space))
        finally:
            for mark in marks:
                self.near.end(mark)

    async def aversions(self, space: bytes, after: int) -> Versions:
        """From Redis, always."""
        return await self.far.aversions(space, after)

    async def _achange(self, names: Sequence[Name], verb: Callable[..., Any], *args: Any) -> Any:
        self.listen()
        self.near.forget(names)
        try:
            done = await verb(*args)
            if self.ears is None or self.ears.need_messages:
                await self.far.aannounce(names)
            return done
        finally:
            self.near.forget(names)

    async def aset(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value."""
        return bool(await self._achange((key,), self.far.aset, key, value, ttl_s))

    async def aadd(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none."""
        return bool(await self._achange((key,), self.far.aadd, key, value, ttl_s))

    async def adelete(self, key: bytes) -> bool:
        """Forget a key."""
        return bool(await self._achange((key,), self.far.adelete, key))

    async def aset_many(self, items: Mapping[bytes, bytes], ttl_s: float) -> list[bytes]:
        """Keep the values."""
        declined: list[bytes] = await self._achange(tuple(items), self.far.aset_many, items, ttl_s)
        return declined

    async def adelete_many(self, keys: Sequence[bytes]) -> int:
        """Forget the keys."""
        return int(await self._achange(keys, self.far.adelete_many, keys))

    async def acommit(self, key: bytes, token: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep the value and end the lease."""
        return bool(await self._achange((key,), self.far.acommit, key, token, value, ttl_s))

    async def avoid(self, key: bytes) -> None:
        """Forget a key and end its lease."""
        await self._achange((key,), self.far.avoid, key)

    async def abump(self, space: bytes, names: Sequence[bytes]) -> Versions:
        """Give the names a new position."""
        told: Versions = await self._achange((stand_name(space),), self.far.abump, space, names)
        return told

    async def alease(self, key: bytes, ttl_s: float, token: bytes = b"") -> bytes | None:
        """A token of the sole right to make this key's value."""
        return await self.far.alease(key, ttl_s, token)

    async def arelease(self, key: bytes, token: bytes) -> bool:
        """End a lease without a value."""
        return await self.far.arelease(key, token)

    async def aclear(self, prefix: bytes = b"") -> None:
        """Forget what begins with the prefix, and every copy."""
        self.near.forget_all()
        try:
            await self.far.aclear(prefix)
        finally:
            self.near.forget_all()

    @asynccontextmanager
    async def aexclusive(self) -> AsyncIterator[None]:
        """As the Redis driver's; what is read inside comes from Redis."""
        async with self.far.aexclusive():
            self.near.forget_all()
            yield
