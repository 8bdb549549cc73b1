"""Our own faults: counted, logged once per interval, and kept away from the app."""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Tell = Callable[[str, int, BaseException], None]

LOG_INTERVAL_S = 60.0


class Faults:
    """Counts faults by where they happened; each place logs at most once per interval.

    Those of the cache are handed to `tell` in place of the log.
    """

    def __init__(self, log_interval_s: float = LOG_INTERVAL_S, tell: Tell | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._tell = tell
        self._log_interval_s = log_interval_s
        self._quiet_until: dict[str, float] = {}

    def note(self, place: str, fault: BaseException) -> None:
        """Count a fault and log it unless this place has just logged one."""
        self.counts[place] += 1
        now = monotonic()
        if now < self._quiet_until.get(place, 0.0):
            return
        self._quiet_until[place] = now + self._log_interval_s
        if self._tell is not None and "cache" in place:
            self._tell(place, self.counts[place], fault)
            return
        import logging  # most programs have it by then, and those that do not need it load less

        logging.getLogger("apsperf").error(
            "fault in %s (%d so far); the app is served without it",
            place,
            self.counts[place],
            exc_info=fault,
        )
