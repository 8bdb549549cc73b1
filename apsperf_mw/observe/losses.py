"""What did not go out, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from apsperf_mw.observe.points import Point

DROPPED = ("apsperf.exporter.dropped", "{span}", "Spans that never went out.")
FAILURES = ("apsperf.exporter.failures", "{export}", "Exports that did not succeed.")


class Losses:
    """Spans that were dropped, and exports that failed by signal; any thread may count."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._lock = Lock()
        self.spans = 0
        self.exports = {"metrics": 0, "traces": 0}

    def drop(self, spans: int) -> None:
        """Count spans that never go out."""
        with self._lock:
            self.spans += spans

    def fail(self, signal: str) -> None:
        """Count an export that did not succeed."""
        with self._lock:
            self.exports[signal] += 1

    def dropped(self) -> list[Point]:
        """The spans, as points."""
        return [(self.spans, {"apsperf.signal": "traces"})]

    def failed(self) -> list[Point]:
        """The exports, as points."""
        return [(count, {"apsperf.signal": signal}) for signal, count in self.exports.items()]
