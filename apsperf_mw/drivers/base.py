"""What a driver promises.

A driver keeps bytes under bytes for a time. It may lose anything at any moment; it never gives
back what was not put there, nor anything past its time to live, nor half a value. What it has told
to be done is seen by every later call in every process that shares the store. A fault is raised as
it comes, in bounded time: the callers count it and go on without the driver.

What a fault does: `get`, `look` and `versions` raise or find nothing; `set`, `add`, `lease`,
`commit` raise, and may or may not have been carried out; `bump` raises, and may have been carried
out: whoever called it must call again, or tell its caller that the purge failed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from os import urandom
from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec import Struct

from apsperf_mw.drivers.async_base import AsyncDriver
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
    from collections.abc import Hashable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from apsperf_mw.drivers.versions import Versions


__all__ = ["LATER", "AsyncDriver", "Driver", "Later", "LocalDriver", "Slot"]


class Later(Enum):
    """What `Driver.quick_get` gives where only `get` can tell."""

    LATER = "later"


LATER: Final = Later.LATER


class Driver(ABC):
    """The blocking face that every driver has, unless it only `suspends`.

    `blocks` says that a call may wait for a disk or a network, so that a loop must not make it
    inline; `suspends` says that there is an async face too (`AsyncDriver`); `local` that the
    driver lives in this process and holds objects (`LocalDriver`); `shared` that other processes
    see the same store; `quick` that `quick_get` mostly has an answer.

    What is not abstract is built on the rest, and is atomic as far as `exclusive` is.
    """

    blocks: ClassVar[bool] = True
    suspends: ClassVar[bool] = False
    local: ClassVar[bool] = False
    shared: ClassVar[bool] = False
    quick: bool = False

    @classmethod
    @abstractmethod
    def from_url(cls, url: str) -> Self:
        """A driver by its URL; raises `DriverError` naming the part that is wrong."""

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """The value, or None where there is none or its time is over."""

    @abstractmethod
    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value for at most `ttl_s`; False where the driver declines, as for its size.

        A value that was there is gone either way. A `ttl_s` of zero or less keeps nothing.
        """

    @abstractmethod
    def add(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """As `set`, where there is no value; False, and nothing done, where there is one."""

    @abstractmethod
    def delete(self, key: bytes) -> bool:
        """Forget a key; whether there was one."""

    @abstractmethod
    def clear(self, prefix: bytes = b"") -> None:
        """Forget every key that begins with the prefix; versions and leases under it too."""

    @abstractmethod
    def close(self) -> None:
        """Release what the driver holds; may come twice. It is not used afterwards."""

    @abstractmethod
    def exclusive(self) -> AbstractContextManager[object]:
        """Nobody else writes to the store meanwhile, in this process or another; reentrant."""

    @abstractmethod
    def stats(self) -> dict[str, int]:
        """Counts, by name: at least `entries` and `size_bytes`, as far as they are known."""

    def quick_get(self, key: bytes) -> bytes | Later | None:  # noqa: ARG002
        """As `get`, within a millisecond and waiting for nobody; else LATER, and `get` must tell.

        For drivers that block: what an event loop may call itself.
        """
        return LATER

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values that are there, by key."""
        found = ((key, self.get(key)) for key in keys)
        return {key: value for key, value in found if value is not None}

    def set_many(self, items: Mapping[bytes, bytes], ttl_s: float) -> list[bytes]:
        """Keep the values; the keys of those that were declined."""
        return [key for key, value in items.items() if not self.set(key, value, ttl_s)]

    def delete_many(self, keys: Sequence[bytes]) -> int:
        """Forget the keys; how many there were."""
        return sum(self.delete(key) for key in keys)

    # Leases: one process makes a value, the others wait for it.

    def lease(self, key: bytes, ttl_s: float, token: bytes = b"") -> bytes | None:
        """A token of the sole right to make this key's value; None while another has it.

        Who gives one that nobody else has knows what to end where the call fails.
        """
        token = token or urandom(16)
        return token if self.add(lease_key(key), token, ttl_s) else None

    def commit(self, key: bytes, token: bytes, value: bytes, ttl_s: float) -> bool:
        """As `set`, and end the lease; False, and nothing done, where it was lost meanwhile."""
        with self.exclusive():
            return self.release(key, token) and self.set(key, value, ttl_s)

    def release(self, key: bytes, token: bytes) -> bool:
        """End a lease without a value; False where it was lost meanwhile."""
        with self.exclusive():
            held = self.get(lease_key(key)) == token
            return held and self.delete(lease_key(key))

    def void(self, key: bytes) -> None:
        """Forget a key and end its lease, whoever has it: what is being made for it is lost."""
        with self.exclusive():
            self.delete_many((lease_key(key), key))

    # Versions: what was made void, and when. A space's names are the user's: opaque bytes.

    def bump(self, space: bytes, names: Sequence[bytes]) -> Versions:
        """Give the names a new position, one for all; the versions without `bumps`.

        When it returns, every `look` and `versions` of every process tells of it.
        """
        with self.exclusive():
            stand = Stand.read(self.get(stand_key(space)))
            table = Table.read(self.get(versions_key(space)), stand)
            table.bump(names)
            stand = Stand(table.generation, table.position)
            # Whoever sees the new position must find what was bumped at it.
            kept = self.set(versions_key(space), table.frame(), TABLE_TTL_S)
            if not (kept and self.set(stand_key(space), stand.frame(), TABLE_TTL_S)):
                raise DriverError("the store declines to keep the versions of tags")
        return stand.versions()

    def versions(self, space: bytes, after: int) -> Versions:
        """Where the space stands, with all that was bumped after a position.

        A space that was never bumped stands at 0 with an empty generation.
        """
        stand = Stand.read(self.get(stand_key(space)))
        if stand is not None and stand.position <= after:
            return stand.versions()
        return Table.read(self.get(versions_key(space)), stand).versions(after)

    def look(self, key: bytes, space: bytes) -> Look:
        """The value and where the space stands, in one round trip where there is a network."""
        stands = self.versions(space, NO_MORE)
        return Look(self.get(key), stands.generation, stands.position)


class Slot(Struct, gc=False, eq=False):
    """An object that a local driver keeps; instants are on the monotonic clock.

    A reader counts its use by `hits += 1` and `used = now`; threads may lose a count. `cost_s` is
    what it took to make. The rest is the eviction policy's: `uses` before this value, `seen`,
    `number` and `due`.
    """

    value: Any
    size_bytes: int
    deadline: float
    cost_s: float = 0.001
    hits: int = 0
    used: float = 0.0
    uses: int = 0
    seen: int = 0
    number: int = 0
    due: float = 0.0


class LocalDriver(Driver):
    """A driver in this process, which holds objects as they are and answers at once."""

    blocks: ClassVar[bool] = False
    local: ClassVar[bool] = True

    @abstractmethod
    def find(self, key: Hashable) -> Slot | None:
        """What is kept under the key, even past its time; the reader marks its use."""

    @abstractmethod
    def keep(
        self, key: Hashable, value: object, size_bytes: int, ttl_s: float, cost_s: float = 0.0
    ) -> bool:
        """Keep an object of that size for at most `ttl_s`; False where it is too large.

        `cost_s` is what it took to make; 0 says that nobody knows.
        """

    @abstractmethod
    def drop(self, key: Hashable) -> bool:
        """Forget a key; whether there was one."""

    def shed(self, share: float) -> int:  # noqa: ARG002
        """Give up this share of what is kept, where memory is short; the bytes that it held."""
        return 0

    @abstractmethod
    def stats(self) -> dict[str, int]:
        """`entries`, `size_bytes` and `evictions`; more where there is more to tell."""
