"""What both faces of the tiered driver share: the copies, and the ears that hear of changes."""

from __future__ import annotations

from os import getpid
from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.drivers.near import Near
from apsperf_mw.drivers.redis.ears import Ears
from apsperf_mw.drivers.versions import Look
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from apsperf_mw.drivers.memory import MemoryDriver
    from apsperf_mw.drivers.near import Mark, Name
    from apsperf_mw.drivers.redis import RedisDriver
    from apsperf_mw.drivers.redis.commands import Held

# Where a space stands is a few bytes, and told anew at each change.
STAND_BYTES = 200
STAND_TTL_S = 3600.0


class Copies:
    """The copies in front of a driver."""

    def __init__(self, far: RedisDriver, memory: MemoryDriver) -> None:
        self.far = far
        self.near = Near(memory)
        self.ears: Ears | None = None
        self._get = memory.get
        self._pid = getpid()
        self._lock = Lock()
        self._closed = False

    def copy(self, name: Name) -> Any:
        """What is kept under the name, where it may be served; else None."""
        if monotonic() >= self.near.live_until:
            return None
        return self._get(name)  # type: ignore[arg-type]

    def _kept(self, mark: Mark, began: float, held: Held | None) -> bytes | None:
        """The value, a copy of it kept for as long as Redis keeps it, as known when asked."""
        if held is None:
            return None
        ttl_s = held.ttl_s - (monotonic() - began)
        self.near.keep(mark, mark.name, held.value, len(mark.name) + len(held.value), ttl_s)
        return held.value

    def _kept_look(
        self, marks: tuple[Mark, Mark], began: float, found: tuple[Held | None, Look]
    ) -> Look:
        held, look = found
        stand = (look.generation, look.position)
        self.near.keep(marks[1], marks[1].name, stand, STAND_BYTES, STAND_TTL_S)
        return Look(self._kept(marks[0], began, held), *stand)

    def listen(self) -> None:
        """Begin to hear what changes, unless it is heard already; a forked child begins anew."""
        ears = self.ears
        if (ears is not None and not ears.stale) or self._closed:
            return
        if self._pid != getpid():  # a fork may have copied the lock while a thread held it
            self._pid = getpid()
            self._lock = Lock()
        with self._lock:
            if self.ears is None or self.ears.stale:
                self.ears = Ears(self.far.calls.routes, self.near)
