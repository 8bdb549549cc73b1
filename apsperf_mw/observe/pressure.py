"""The soft limit: where the container runs short of memory, our caches go first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.observe.cgroup import Limits
    from apsperf_mw.observe.channels import Channels

# The share of the caches that is given up at first; if that is not enough, all of them.
FIRST_SHARE = 0.5
# Looks between two times of giving up: memory that was freed is not seen at once.
REST_LOOKS = 5


class Pressure:
    """Looks at the container's memory, and has caches emptied past a share of it."""

    def __init__(
        self,
        share: float,
        limits: Callable[[], Limits],
        shed: Callable[[float], int],
        channels: Channels,
    ) -> None:
        self.sheds = 0
        self._share = share
        self._limits = limits
        self._shed = shed
        self._channels = channels
        self._rest = 0
        self._pressed = False

    def look(self) -> None:
        """Give up a share of the caches where it is time to."""
        limit, used, _ = self._limits()
        if limit is None or used is None:
            return
        if used < limit * self._share:
            self._pressed = False
            return
        if self._pressed and self._rest > 0:
            self._rest -= 1
            return
        freed = self._shed(1.0 if self._pressed else FIRST_SHARE)
        self._pressed, self._rest = True, REST_LOOKS
        if freed:
            self.sheds += 1
            self._channels.shed(used, limit, freed)
