"""What the garbage collector does: how often, what it finds, and how long it pauses for."""

from __future__ import annotations

import gc
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import finalize

from apsperf_mw.observe.measures import GC_PAUSE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.points import Kind, Point, Values

GENERATIONS = tuple((("cpython.gc.generation", number),) for number in range(3))


class Pauses:
    """Times each collection; it is among the collector's callbacks until the exporter is gone."""

    def __init__(self, exporter: MetricsExporter) -> None:
        self._measure = exporter.ledger.measure
        self._began = 0.0
        callback = self._note
        self.stop = finalize(exporter, _remove, callback)
        gc.callbacks.append(callback)

    def _note(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._began = perf_counter()
        elif self._began:
            self._measure((GC_PAUSE, perf_counter() - self._began, GENERATIONS[info["generation"]]))
            self._began = 0.0


def pauses(exporter: MetricsExporter) -> Callable[[], object]:
    """Begin to time collections; what is given ends it."""
    return Pauses(exporter).stop


def _remove(callback: Any) -> None:
    if callback in gc.callbacks:
        gc.callbacks.remove(callback)


def instruments() -> tuple[tuple[str, str, str, Kind, Values], ...]:
    """The collector's own counts, as the semantic conventions name them."""
    return (
        (
            "cpython.gc.collections",
            "{collection}",
            "Collections of a generation.",
            "counter",
            lambda: _stats("collections"),
        ),
        (
            "cpython.gc.collected_objects",
            "{object}",
            "Objects collected in a generation.",
            "counter",
            lambda: _stats("collected"),
        ),
        (
            "cpython.gc.uncollectable_objects",
            "{object}",
            "Objects of a generation that could not be collected.",
            "counter",
            lambda: _stats("uncollectable"),
        ),
    )


def _stats(key: str) -> Iterator[Point]:
    for number, stats in enumerate(gc.get_stats()):
        yield stats[key], {"cpython.gc.generation": number}
