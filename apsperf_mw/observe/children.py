"""Spans within a request, and what its statements cost."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from apsperf_mw.observe.below import note_below
from apsperf_mw.observe.ids import random_bits
from apsperf_mw.observe.spans import ChildRecord, OwnSpan, root
from apsperf_mw.observe.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.exchange import Exchange
    from apsperf_mw.observe.channels import Channels
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.series import Attributes
    from apsperf_mw.settings import DatabaseSettings

# Who wants to hear of each statement, as tests do.
_heard: list[Callable[[str, float], object]] = []


@contextmanager
def listening(hear: Callable[[str, float], object]) -> Iterator[None]:
    """Have `hear` told the text and the seconds of every statement that ends meanwhile."""
    _heard.append(hear)
    try:
        yield
    finally:
        _heard.remove(hear)


class Children:
    """Has what is done within a request exported as spans below the request's own."""

    def __init__(
        self, exporter: MetricsExporter, channels: Channels, database: DatabaseSettings
    ) -> None:
        self._exporter = exporter
        self.note = partial(note_below, exporter)
        self.statements = Statements(exporter, channels, database)

    def refreshed(self, x: Exchange, started: float, error: str = "") -> None:
        """A background refresh has ended: a trace of its own, which links to the request's."""
        span = x.span
        ring = self._exporter.spans
        if ring is None or type(span) is not OwnSpan or not span.sampled:
            return
        own = root(random_bits(64))
        own.link = span.trace_id, span.span_id
        told: Attributes = {"apsperf.cache.result": "refresh"}
        name = f"refresh {x.route}" if x.route else "refresh"
        ring.keep(ChildRecord(own, name, "internal", told, started, monotonic(), error))

    @contextmanager
    def statement(self, text: str, system: str) -> Iterator[None]:
        """A statement runs inside."""
        started, error = perf_counter(), ""
        try:
            yield
        except BaseException as fault:
            error = type(fault).__qualname__
            raise
        finally:
            duration_s = perf_counter() - started
            for hear in _heard:
                hear(text, duration_s)
            self.statements.of(system).note(text, duration_s, error)
