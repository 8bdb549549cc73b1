"""What a driver promises.

A driver keeps bytes under bytes for a time. It may lose anything at any moment; it never gives
back what was not put there, nor anything past its time to live. A fault is raised as it comes: the
callers count it and go on without the driver.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Self


class Driver(ABC):
    """The blocking face that every driver has, unless it only `suspends`.

    `blocks` says that a call may wait for a disk or a network, so that a loop must not make it
    inline; `suspends` says that there is an async face too (`AsyncDriver`); `local` that the
    driver lives in this process and holds objects (`LocalDriver`).
    """

    blocks: ClassVar[bool] = True
    suspends: ClassVar[bool] = False
    local: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def from_url(cls, url: str) -> Self:
        """A driver by its URL; raises `DriverError` naming the part that is wrong."""

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """The value, or None where there is none or its time is over."""

    @abstractmethod
    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value for at most `ttl_s`; False where the driver declines, as for its size."""

    @abstractmethod
    def delete(self, key: bytes) -> bool:
        """Forget a key; whether there was one."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything."""

    @abstractmethod
    def close(self) -> None:
        """Release what the driver holds; it is not used afterwards."""


class AsyncDriver(ABC):
    """The async face, for drivers that declare `suspends`."""

    blocks: ClassVar[bool] = False
    suspends: ClassVar[bool] = True
    local: ClassVar[bool] = False

    @abstractmethod
    async def aget(self, key: bytes) -> bytes | None:
        """As `Driver.get`."""

    @abstractmethod
    async def aset(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """As `Driver.set`."""

    @abstractmethod
    async def adelete(self, key: bytes) -> bool:
        """As `Driver.delete`."""


class Slot(Struct, gc=False, eq=False):
    """An object that a local driver keeps; `deadline` is on the monotonic clock."""

    value: Any
    size_bytes: int
    deadline: float
    visited: bool = False


class LocalDriver(Driver):
    """A driver in this process, which holds objects as they are and answers at once."""

    blocks: ClassVar[bool] = False
    local: ClassVar[bool] = True

    @abstractmethod
    def find(self, key: Hashable) -> Slot | None:
        """What is kept under the key, even past its time; the reader sets `visited`."""

    @abstractmethod
    def keep(self, key: Hashable, value: object, size_bytes: int, ttl_s: float) -> bool:
        """Keep an object of that size for at most `ttl_s`; False where it is too large."""

    @abstractmethod
    def drop(self, key: Hashable) -> bool:
        """Forget a key; whether there was one."""

    @abstractmethod
    def stats(self) -> dict[str, int]:
        """`entries`, `size_bytes` and `evictions`."""
