"""When a server is taken for down, and when it is asked again. Pure: the time is a parameter."""

from __future__ import annotations


class Breaker:
    """Closed, calls go through; open, none does, and only probes ask.

    So many faults in a row open it; one answer to a probe closes it. Threads may race on the
    count: the worst is one fault more or less.
    """

    __slots__ = ("_due", "_faults", "_most", "_probe_s", "open", "reason")

    def __init__(self, most_faults: int, probe_s: float) -> None:
        self.open = False
        self.reason = ""
        self._most = most_faults
        self._probe_s = probe_s
        self._faults = 0
        self._due = 0.0

    def answered(self) -> None:
        """A call was answered, be it with an error."""
        self._faults = 0

    def failed(self, reason: str, now: float) -> bool:
        """A call got no answer; whether this opened the breaker."""
        self.reason = reason
        self._faults += 1
        if self.open or self._faults < self._most:
            return False
        self.open = True
        self._due = now
        return True

    def probe(self, now: float) -> bool:
        """Whether a probe is due; whoever is told so must make it."""
        if not self.open or now < self._due:
            return False
        self._due = now + self._probe_s
        return True

    def recovered(self) -> None:
        """A probe was answered."""
        self._faults = 0
        self.open = False
