"""What a suite has exported, for assertions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from apsperf_mw.observe.sinks import InMemory
    from apsperf_mw.suite import Suite

PATIENCE_S = 10.0


class Captured:
    """Spans and metrics of one suite, whose `exporter.kind` is `memory`."""

    def __init__(self, suite: Suite) -> None:
        if suite.exporter.memory is None:
            raise ValueError(
                f"exporter.kind: {suite.settings.exporter.kind!r} given; accepted here: memory"
            )
        self._suite = suite

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """The spans so far, or those of this name."""
        return [span for span in self._exported().spans if not name or span.name == name]

    def points(self, name: str, **attributes: Any) -> list[Any]:
        """The data points of a metric that have these attributes; a dot in a name is written __."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return [
            point
            for point in self._exported().points(name)
            if wanted.items() <= dict(point.attributes or {}).items()
        ]

    def total(self, name: str, **attributes: Any) -> float:
        """The sum of a counter, or how many values a histogram has."""
        points = self.points(name, **attributes)
        return float(sum(getattr(each, "count", getattr(each, "value", 0)) for each in points))

    def _exported(self) -> InMemory:
        memory = self._suite.exporter.memory
        assert memory is not None
        if not self._suite.flush(PATIENCE_S):
            raise AssertionError("the suite could not export what it has recorded")
        return memory
