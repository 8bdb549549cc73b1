"""The tiered driver: both faces over one set of copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from apsperf_mw.drivers.memory import MemoryDriver
from apsperf_mw.drivers.redis import RedisDriver
from apsperf_mw.drivers.tiered.awaiting import Awaiting
from apsperf_mw.drivers.tiered.blocking import Blocking

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.drivers.near import Void

SCHEME = "tiered+"
NEAR_OPTIONS = ("near_max_bytes", "near_max_entries", "near_policy")


class Tiered(Blocking, Awaiting):
    """Redis with copies in this process.

    What this process changes is gone from the copies before the call returns; what another
    changes, as soon as Redis tells, which a heartbeat bounds: copies are served for at most half
    a second after the last sign of life, and all of them are dropped when the connection is lost.

    Who keeps decoded objects puts them into `near` himself: `mark = near.begin(key)`, read,
    `near.keep(mark, ...)`, `near.end(mark)`; and serves from `near.memory` until
    `near.live_until`. `near.on_void` tells of changes.
    """

    blocks: ClassVar[bool] = True
    suspends: ClassVar[bool] = True
    shared: ClassVar[bool] = True

    @classmethod
    def from_url(cls, url: str) -> Self:
        """`tiered+redis://host:6379/0?near_max_bytes=67108864`; any Redis URL after the `+`.

        `near_max_bytes`, `near_max_entries`, `near_policy`: as the memory driver's, of the copies.
        """
        where, near = _parted(url.removeprefix(SCHEME))
        return cls(RedisDriver.from_url(where), MemoryDriver.from_url(f"memory://?{near}"))

    def __repr__(self) -> str:
        return f"<Tiered {self.far!r}>"

    def on_void(self, heed: Callable[[Void], None]) -> None:
        """As `Near.on_void`."""
        self.near.on_void(heed)

    def close(self) -> None:
        """Hear nothing any more, and close the connections that threads have used."""
        self._closed = True
        ears, self.ears = self.ears, None
        if ears is not None:
            ears.close()
        self.near.lost()
        self.far.close()

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self.far.aclose()

    def stats(self) -> dict[str, int]:
        """As the Redis driver's, and the same of the copies, from `near_entries` on."""
        near = {f"near_{name}": count for name, count in self.near.memory.stats().items()}
        losses = self.ears.losses.total() if self.ears is not None else 0
        return {**self.far.stats(), **near, "near_losses": losses}


def _parted(url: str) -> tuple[str, str]:
    """The Redis URL without the options of the copies, and those as a query of their own."""
    head, at, tail = url.rpartition("@")
    where, _, query = tail.partition("?")
    options = [option for option in query.split("&") if option]
    near = [each for each in options if each.partition("=")[0] in NEAR_OPTIONS]
    far = [each for each in options if each not in near]
    return (
        f"{head}{at}{where}{'?' if far else ''}{'&'.join(far)}",
        "&".join(each.removeprefix("near_") for each in near),
    )
