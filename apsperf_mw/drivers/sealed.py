"""Drivers whose values bear a seal: who can write to the store can lose values, not change them.

Keys are not hidden, and an older value of the same key still verifies; of the versions of tags this
process takes none older than it has seen.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Self

from apsperf_mw.drivers.base import LATER, AsyncDriver, Driver
from apsperf_mw.drivers.seal import BadSeal, Seals
from apsperf_mw.drivers.versions import Look, Stand, Versions, stand_key
from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from apsperf_mw.drivers.base import Later

# Spaces whose positions are remembered at most; there is one for each namespace.
MOST_SPACES = 1000


class Opener:
    """Opens what a store gives back, and counts by why what does not verify."""

    def __init__(self, inner: Any, seals: Seals) -> None:
        self.counts: Counter[str] = Counter()
        self._inner = inner
        self._seals = seals
        self._seen: dict[bytes, tuple[bytes, int]] = {}
        for name in ("blocks", "shared", "quick"):
            setattr(self, name, getattr(inner, name))

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Refused: the keys are not in the URL. `sealed_driver` makes it."""
        raise DriverError(f"{url}: a registry makes sealed drivers, with the keys of sealed.keys")

    def _closed(self, items: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        return {key: self._seals.close(key, value) for key, value in items.items()}

    def _opened(self, key: bytes, sealed: bytes | None) -> bytes | None:
        if sealed is None:
            return None
        try:
            return self._seals.open(key, sealed)
        except BadSeal as why:
            self.counts[f"refused_{why}"] += 1
            return None

    def _all_opened(self, found: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        opened = ((key, self._opened(key, value)) for key, value in found.items())
        return {key: value for key, value in opened if value is not None}

    def _is_older(self, space: bytes, versions: Versions) -> bool:
        """Whether this process has seen the space further on."""
        generation, position = self._seen.get(space, (b"", 0))
        if versions.generation == generation and versions.position < position:
            return True
        if versions.generation:  # else it is lost, or somebody made it so
            if len(self._seen) >= MOST_SPACES:
                self._seen.clear()
            self._seen[space] = (versions.generation, versions.position)
        return False

    def _refused(self) -> Versions:
        """What is said of a space that was set back: nothing known of it counts any more."""
        self.counts["refused_older"] += 1
        return Versions(b"", 0, 0)


class Sealed(Opener, Driver):
    """The blocking face over another driver's."""

    def get(self, key: bytes) -> bytes | None:
        """The value, if its seal is good."""
        return self._opened(key, self._inner.get(key))

    def quick_get(self, key: bytes) -> bytes | Later | None:
        """As of the driver within."""
        sealed = self._inner.quick_get(key)
        return LATER if sealed is LATER else self._opened(key, sealed)

    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value under seal."""
        return self._inner.set(key, self._seals.close(key, value), ttl_s)  # type: ignore[no-any-return]

    def add(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none whose seal is good."""
        if self._inner.add(key, self._seals.close(key, value), ttl_s):
            return True
        if self.get(key) is not None:
            return False
        with self.exclusive():
            return self.get(key) is None and self.set(key, value, ttl_s)

    def delete(self, key: bytes) -> bool:
        """Forget a key."""
        return self._inner.delete(key)  # type: ignore[no-any-return]

    def clear(self, prefix: bytes = b"") -> None:
        """Forget every key that begins with the prefix."""
        self._seen.clear()
        self._inner.clear(prefix)

    def close(self) -> None:
        """Close the driver within."""
        self._inner.close()

    def exclusive(self) -> AbstractContextManager[object]:
        """As of the driver within."""
        return self._inner.exclusive()  # type: ignore[no-any-return]

    def stats(self) -> dict[str, int]:
        """Those of the driver within, and what was `refused`, by why."""
        return {**self._inner.stats(), **self.counts}

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values whose seals are good."""
        return self._all_opened(self._inner.get_many(keys))

    def set_many(self, items: Mapping[bytes, bytes], ttl_s: float) -> list[bytes]:
        """Keep the values under seal."""
        return self._inner.set_many(self._closed(items), ttl_s)  # type: ignore[no-any-return]

    def delete_many(self, keys: Sequence[bytes]) -> int:
        """Forget the keys."""
        return self._inner.delete_many(keys)  # type: ignore[no-any-return]

    def lease(self, key: bytes, ttl_s: float, token: bytes = b"") -> bytes | None:
        """As of the driver within: a token is worth nothing without the secret."""
        return self._inner.lease(key, ttl_s, token)  # type: ignore[no-any-return]

    def commit(self, key: bytes, token: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value under seal, and end the lease."""
        return self._inner.commit(key, token, self._seals.close(key, value), ttl_s)  # type: ignore[no-any-return]

    def release(self, key: bytes, token: bytes) -> bool:
        """As of the driver within."""
        return self._inner.release(key, token)  # type: ignore[no-any-return]

    def void(self, key: bytes) -> None:
        """As of the driver within."""
        self._inner.void(key)

    def versions(self, space: bytes, after: int) -> Versions:
        """Those whose seals are good; a forged table voids, it revives nothing."""
        for _ in range(2):  # another thread may just have seen a bump that came after this read
            found = super().versions(space, after)
            if not self._is_older(space, found):
                return found
        return self._refused()

    def look(self, key: bytes, space: bytes) -> Look:
        """The value and where the space stands."""
        found = self.get_many([stand_key(space), key])
        stand = Stand.read(found.get(stand_key(space)))
        if stand is None or self._is_older(space, stand.versions()):
            return super().look(key, space)
        return Look(found.get(key), stand.generation, stand.position)


class AsyncSealed(Opener, AsyncDriver):
    """The async face over another driver's."""

    async def aget(self, key: bytes) -> bytes | None:
        """The value, if its seal is good."""
        return self._opened(key, await self._inner.aget(key))

    async def aset(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value under seal."""
        return await self._inner.aset(key, self._seals.close(key, value), ttl_s)  # type: ignore[no-any-return]

    async def aadd(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none whose seal is good."""
        if await self._inner.aadd(key, self._seals.close(key, value), ttl_s):
            return True
        if await self.aget(key) is not None:
            return False
        async with self.aexclusive():
            return await self.aget(key) is None and await self.aset(key, value, ttl_s)

    async def adelete(self, key: bytes) -> bool:
        """Forget a key."""
        return await self._inner.adelete(key)  # type: ignore[no-any-return]

    async def aclear(self, prefix: bytes = b"") -> None:
        """Forget every key that begins with the prefix."""
        self._seen.clear()
        await self._inner.aclear(prefix)

    async def aclose(self) -> None:
        """Close the driver within, for the running loop."""
        await self._inner.aclose()

    def aexclusive(self) -> AbstractAsyncContextManager[object]:
        """As of the driver within."""
        return self._inner.aexclusive()  # type: ignore[no-any-return]

    async def aget_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values whose seals are good."""
        return self._all_opened(await self._inner.aget_many(keys))

    async def aset_many(self, items: Mapping[bytes, bytes], ttl_s: float) -> list[bytes]:
        """Keep the values under seal."""
        return await self._inner.aset_many(self._closed(items), ttl_s)  # type: ignore[no-any-return]

    async def adelete_many(self, keys: Sequence[bytes]) -> int:
        """Forget the keys."""
        return await self._inner.adelete_many(keys)  # type: ignore[no-any-return]

    async def alease(self, key: bytes, ttl_s: float, token: bytes = b"") -> bytes | None:
        """As of the driver within."""
        return await self._inner.alease(key, ttl_s, token)  # type: ignore[no-any-return]

    async def acommit(self, key: bytes, token: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value under seal, and end the lease."""
        return await self._inner.acommit(key, token, self._seals.close(key, value), ttl_s)  # type: ignore[no-any-return]

    async def arelease(self, key: bytes, token: bytes) -> bool:
        """As of the driver within."""
        return await self._inner.arelease(key, token)  # type: ignore[no-any-return]

    async def avoid(self, key: bytes) -> None:
        """As of the driver within."""
        await self._inner.avoid(key)

    async def aversions(self, space: bytes, after: int) -> Versions:
        """Those whose seals are good."""
        for _ in range(2):  # another task may just have seen a bump that came after this read
            found = await super().aversions(space, after)
            if not self._is_older(space, found):
                return found
        return self._refused()

    async def alook(self, key: bytes, space: bytes) -> Look:
        """The value and where the space stands."""
        found = await self.aget_many([stand_key(space), key])
        stand = Stand.read(found.get(stand_key(space)))
        if stand is None or self._is_older(space, stand.versions()):
            return await super().alook(key, space)
        return Look(found.get(key), stand.generation, stand.position)


class BothSealed(Sealed, AsyncSealed):
    """Both faces over a driver that has both."""

    suspends: ClassVar[bool] = True


def sealed_driver(inner: Any, seals: Seals) -> Sealed | AsyncSealed:
    """A driver with the faces of the one within, an in-process one's as one that keeps bytes."""
    if hasattr(inner, "get") and hasattr(inner, "aget"):
        return BothSealed(inner, seals)
    return Sealed(inner, seals) if hasattr(inner, "get") else AsyncSealed(inner, seals)
