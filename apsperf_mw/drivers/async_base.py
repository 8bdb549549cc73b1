"""The async face of a driver: the same promises, for drivers that declare `suspends`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from os import urandom
from typing import TYPE_CHECKING, ClassVar

from apsperf_mw.drivers.versions import (
    NO_MORE,
    TABLE_TTL_S,
    Look,
    Stand,
    Table,
    lease_key,
    stand_key,
    versions_key,
)
from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import Self

    from apsperf_mw.drivers.versions import Versions


class AsyncDriver(ABC):
    """What each method promises, `Driver` says of the one without the leading `a`."""

    blocks: ClassVar[bool] = False
    suspends: ClassVar[bool] = True
    local: ClassVar[bool] = False
    shared: ClassVar[bool] = False
    quick: bool = False

    @classmethod
    @abstractmethod
    def from_url(cls, url: str) -> Self:
        """As `Driver.from_url`."""

    @abstractmethod
    async def aget(self, key: bytes) -> bytes | None:
        """As `Driver.get`."""

    @abstractmethod
    async def aset(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """As `Driver.set`."""

    @abstractmethod
    async def aadd(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """As `Driver.add`."""

    @abstractmethod
    async def adelete(self, key: bytes) -> bool:
        """As `Driver.delete`."""

    @abstractmethod
    async def aclear(self, prefix: bytes = b"") -> None:
        """As `Driver.clear`."""

    @abstractmethod
    async def aclose(self) -> None:
        """As `Driver.close`, for what belongs to the running loop."""

    @abstractmethod
    def aexclusive(self) -> AbstractAsyncContextManager[object]:
        """As `Driver.exclusive`."""

    async def aget_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """As `Driver.get_many`."""
        found = [(key, await self.aget(key)) for key in keys]
        return {key: value for key, value in found if value is not None}

    async def aset_many(self, items: Mapping[bytes, bytes], ttl_s: float) -> list[bytes]:
        """As `Driver.set_many`."""
        return [key for key, value in items.items() if not await self.aset(key, value, ttl_s)]

    async def adelete_many(self, keys: Sequence[bytes]) -> int:
        """As `Driver.delete_many`."""
        return sum([await self.adelete(key) for key in keys])

    async def alease(self, key: bytes, ttl_s: float, token: bytes = b"") -> bytes | None:
        """As `Driver.lease`."""
        token = token or urandom(16)
        return token if await self.aadd(lease_key(key), token, ttl_s) else None

    async def acommit(self, key: bytes, token: bytes, value: bytes, ttl_s: float) -> bool:
        """As `Driver.commit`."""
        async with self.aexclusive():
            return await self.arelease(key, token) and await self.aset(key, value, ttl_s)

    async def arelease(self, key: bytes, token: bytes) -> bool:
        """As `Driver.release`."""
        async with self.aexclusive():
            held = await self.aget(lease_key(key)) == token
            return held and await self.adelete(lease_key(key))

    async def avoid(self, key: bytes) -> None:
        """As `Driver.void`."""
        async with self.aexclusive():
            await self.adelete_many((lease_key(key), key))

    async def abump(self, space: bytes, names: Sequence[bytes]) -> Versions:
        """As `Driver.bump`."""
        async with self.aexclusive():
            stand = Stand.read(await self.aget(stand_key(space)))
            table = Table.read(await self.aget(versions_key(space)), stand)
            table.bump(names)
            stand = Stand(table.generation, table.position)
            # Whoever sees the new position must find what was bumped at it.
            kept = await self.aset(versions_key(space), table.frame(), TABLE_TTL_S)
            if not (kept and await self.aset(stand_key(space), stand.frame(), TABLE_TTL_S)):
                raise DriverError("the store declines to keep the versions of tags")
        return stand.versions()

    async def aversions(self, space: bytes, after: int) -> Versions:
        """As `Driver.versions`."""
        stand = Stand.read(await self.aget(stand_key(space)))
        if stand is not None and stand.position <= after:
            return stand.versions()
        return Table.read(await self.aget(versions_key(space)), stand).versions(after)

    async def alook(self, key: bytes, space: bytes) -> Look:
        """As `Driver.look`."""
        stands = await self.aversions(space, NO_MORE)
        return Look(await self.aget(key), stands.generation, stands.position)
