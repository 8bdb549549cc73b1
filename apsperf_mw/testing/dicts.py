"""Drivers over a dictionary, for tests: one that blocks, one that suspends."""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Self

from apsperf_mw.drivers.base import AsyncDriver, Driver
from apsperf_mw.drivers.versions import lease_key, stand_key, versions_key
from apsperf_mw.runtime.threads import Lock, RLock

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager, AbstractContextManager


# What keys of the contract's own end in.
OWN = (lease_key(b""), stand_key(b""), versions_key(b""))


class DictDriver(Driver):
    """Keeps bytes in `held`, which a test may read and change; versions and leases apart in `own`.

    While `broken` is set, every call raises it. `check` is told of each call first.
    """

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.own: dict[bytes, bytes] = {}
        self.broken: BaseException | None = None
        self.closed = 0
        self._ends: dict[bytes, float] = {}
        self._lock = RLock()

    @classmethod
    def from_url(cls, url: str) -> Self:  # noqa: ARG003
        """An empty one, whatever the URL."""
        return cls()

    def check(self, call: str) -> None:  # noqa: ARG002
        """Raise what is `broken`."""
        if self.broken is not None:
            raise self.broken

    def get(self, key: bytes) -> bytes | None:
        """The value."""
        self.check("get")
        return self._there(key)

    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value."""
        self.check("set")
        assert type(key) is bytes
        assert type(value) is bytes
        self._forget(key)
        if ttl_s > 0:
            self._place(key)[key] = value
            self._ends[key] = monotonic() + ttl_s
        return ttl_s > 0

    def add(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none."""
        with self._lock:
            return self.get(key) is None and self.set(key, value, ttl_s)

    def delete(self, key: bytes) -> bool:
        """Forget a key."""
        self.check("delete")
        was = self._there(key) is not None
        self._forget(key)
        return was

    def clear(self, prefix: bytes = b"") -> None:
        """Forget every key that begins with the prefix."""
        self.check("clear")
        for key in [key for key in (*self.held, *self.own) if key.startswith(prefix)]:
            self._forget(key)

    def close(self) -> None:
        """Count it; what is held stays."""
        self.closed += 1

    def exclusive(self) -> AbstractContextManager[object]:
        """Other threads that call `add` or this wait."""
        return self._lock

    def stats(self) -> dict[str, int]:
        """What is held, whether its time is over or not."""
        return {"entries": len(self.held), "size_bytes": sum(map(len, self.held.values()))}

    def _there(self, key: bytes) -> bytes | None:
        over = self._ends.get(key, math.inf) <= monotonic()
        return None if over else self._place(key).get(key)

    def _place(self, key: bytes) -> dict[bytes, bytes]:
        return self.own if key.endswith(OWN) else self.held

    def _forget(self, key: bytes) -> None:
        self._place(key).pop(key, None)
        self._ends.pop(key, None)


class AsyncDictDriver(AsyncDriver):
    """As `DictDriver`, with an async face alone, which really suspends before each call."""

    inner: ClassVar[type[DictDriver]] = DictDriver

    def __init__(self) -> None:
        self.kept = self.inner()
        self._lock = Lock()  # of no loop: several may share the driver
        self._owner: Any = None

    @property
    def held(self) -> dict[bytes, bytes]:
        """What is kept."""
        return self.kept.held

    @property
    def own(self) -> dict[bytes, bytes]:
        """Versions and leases."""
        return self.kept.own

    @property
    def broken(self) -> BaseException | None:
        """What every call raises."""
        return self.kept.broken

    @broken.setter
    def broken(self, fault: BaseException | None) -> None:
        self.kept.broken = fault

    @classmethod
    def from_url(cls, url: str) -> Self:  # noqa: ARG003
        """An empty one, whatever the URL."""
        return cls()

    async def pause(self) -> None:
        """Give the loop back once."""
        import anyio

        await anyio.lowlevel.checkpoint()

    async def aget(self, key: bytes) -> bytes | None:
        """The value."""
        await self.pause()
        return self.kept.get(key)

    async def aset(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value."""
        await self.pause()
        return self.kept.set(key, value, ttl_s)

    async def aadd(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none."""
        await self.pause()
        return self.kept.add(key, value, ttl_s)

    async def adelete(self, key: bytes) -> bool:
        """Forget a key."""
        await self.pause()
        return self.kept.delete(key)

    async def aclear(self, prefix: bytes = b"") -> None:
        """Forget every key that begins with the prefix."""
        await self.pause()
        self.kept.clear(prefix)

    async def aclose(self) -> None:
        """Count it; what is held stays."""
        self.kept.close()

    def aexclusive(self) -> AbstractAsyncContextManager[object]:
        """Other tasks that call this wait, in whatever loop; reentrant."""
        return _Turn(self)


class _Turn:
    """A task's turn at an `AsyncDictDriver`."""

    def __init__(self, driver: AsyncDictDriver) -> None:
        self._driver = driver
        self._taken = False

    async def __aenter__(self) -> None:
        import anyio

        task = anyio.get_current_task()
        if self._driver._owner != task:
            while not self._driver._lock.acquire(blocking=False):
                await anyio.lowlevel.checkpoint()
            self._driver._owner = task
            self._taken = True

    async def __aexit__(self, *fault: object) -> None:
        if self._taken:
            self._driver._owner = None
            self._driver._lock.release()
