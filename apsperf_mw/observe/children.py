"""Spans within a request, and what its statements cost."""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.policy import current
from apsperf_mw.observe.fingerprints import shape_of, verb_of
from apsperf_mw.observe.ids import random_bits, span_id
from apsperf_mw.observe.measures import QUERY
from apsperf_mw.observe.record import Costs
from apsperf_mw.observe.spans import ChildRecord, OwnSpan, root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.exchange import Exchange
    from apsperf_mw.observe.channels import Channels
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.series import Attributes

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


# Shapes of statements that are counted in one request.
MOST_SHAPES = 64


class Children:
    """Has what is done within a request exported as spans below the request's own."""

    def __init__(self, exporter: MetricsExporter, channels: Channels) -> None:
        self._exporter = exporter
        self._channels = channels

    def note(
        self,
        span: Any,
        name: str,
        kind: str,
        attributes: Attributes,
        started: float,
        error: str = "",
    ) -> None:
        """Something below a span has ended now; nothing where that is not sampled."""
        if type(span) is OwnSpan:
            ring = self._exporter.spans
            if ring is not None and span.sampled:
                own = OwnSpan(span.trace_id, span_id(), span.span_id, span.state, True)
                ring.keep(ChildRecord(own, name, kind, attributes, started, monotonic(), error))
        elif span is not None:
            span.note(name, kind, attributes, started, error)

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
        started, error = monotonic(), ""
        try:
            yield
        except BaseException as fault:
            error = type(fault).__qualname__
            raise
        finally:
            self._ended(text, system, started, error)

    def _ended(self, text: str, system: str, started: float, error: str) -> None:
        duration_s, shape = monotonic() - started, shape_of(text)
        verb = verb_of(shape)
        for hear in _heard:
            hear(text, duration_s)
        plan = current.get()
        if plan is not None:
            plan.costs = plan.costs or Costs()
            add_statement(plan.costs, shape, duration_s)
        told: Attributes = {"db.system.name": system}
        if verb:
            told["db.operation.name"] = verb
        if error:
            told["error.type"] = error
        self._exporter.ledger.measure((QUERY, duration_s, tuple(told.items())))
        span = None if plan is None else plan.span
        ids = (span.trace_id, span.span_id) if type(span) is OwnSpan and span.sampled else (0, 0)
        self._channels.slow_query(shape, duration_s, "" if plan is None else plan.route, ids)
        if span is not None:
            name = f"{verb} {system}" if verb else system
            self.note(span, name, "client", {**told, "db.query.text": shape}, started, error)


def add_statement(costs: Costs, shape: str, duration_s: float) -> None:
    """Count a statement among the costs of its request."""
    costs.database_s += duration_s
    costs.queries += 1
    shapes = costs.shapes
    if shapes is None:
        shapes = costs.shapes = {}
    if shape in shapes or len(shapes) < MOST_SHAPES:
        shapes[shape] = shapes.get(shape, 0) + 1
