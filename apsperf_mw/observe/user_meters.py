"""The user's own meter provider: our measurements go through its views and its readers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from apsperf_mw.__about__ import __version__
from apsperf_mw.observe.measures import DURATION_BOUNDS_S, MEASURES
from apsperf_mw.observe.points import HISTOGRAMS, RESULTS
from apsperf_mw.observe.series import (
    BODY_BOUNDS_BYTES,
    Table,
    grouped,
    request_attributes,
    result_attributes,
    route_attributes,
)
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider, Observation

    from apsperf_mw.observe.ledger import Ledger
    from apsperf_mw.observe.points import Observed, Point
    from apsperf_mw.observe.record import Finished, Measured
    from apsperf_mw.observe.series import Facts

SCOPE = "apsperf_mw"
# What is told of the process is the same whichever suite tells it; the rest adds up.
PROCESS = "process."
# The histograms that have no attribute but the route.
BY_ROUTE = frozenset({"app", "fills", "streams"})


class UserMeters:
    """Records one suite's measurements into the user's instruments.

    A histogram cannot be observed, so durations wait in the ledger and are recorded when a reader
    collects: it asks the observable instruments before it looks at the others.
    """

    def __init__(
        self, provider: MeterProvider, ledger: Ledger, observed: Iterable[Observed], most: int
    ) -> None:
        self.ledger = ledger
        self.observed = {one.name: one for one in observed}
        self._series: Table[None] = Table(most, lambda: None)
        self._results: Table[None] = Table(most, lambda: None)
        self._routes: Table[None] = Table(most, lambda: None)
        self._instruments = instruments_of(provider)
        self._instruments.join(self)

    def count(self, batch: list[Finished]) -> None:
        """Record a batch of requests."""
        for facts, group in grouped(batch):
            told = self._series.at(facts[:-1], partial(request_attributes, facts)).attributes
            route = self._routes.at(facts.route, partial(route_attributes, facts.route)).attributes
            to = self._instruments.histograms
            for each in group:
                within = traced(each)
                for name, value in values(facts, each):
                    to[name].record(value, route if name in BY_ROUTE else told, within)
            key = (facts.result, facts.route)
            did = self._results.at(key, partial(result_attributes, facts))
            self._instruments.results.add(len(group), did.attributes)

    def count_measured(self, batch: list[Measured]) -> None:
        """Record what was measured beside requests."""
        for name, value, attributes in batch:
            self._instruments.histograms[name].record(value, dict(attributes))

    def leave(self) -> None:
        """Tell nothing more."""
        self._instruments.leave(self)


class Instruments:
    """The instruments of one provider.

    OpenTelemetry makes an instrument once for a name, so all suites that use the provider share
    them; it keeps callbacks for good, so they must not keep a suite alive.
    """

    def __init__(self, provider: MeterProvider) -> None:
        self._lock = Lock()
        self._suites: tuple[ref[UserMeters], ...] = ()
        self._names: set[str] = set()
        self._meter = meter = provider.get_meter(SCOPE, __version__)
        self.histograms = {
            table: meter.create_histogram(
                *named,
                explicit_bucket_boundaries_advisory=(
                    BODY_BOUNDS_BYTES if named[1] == "By" else DURATION_BOUNDS_S
                ),
            )
            for table, named in HISTOGRAMS.items()
        } | {
            name: meter.create_histogram(
                name, kind.unit, kind.description, explicit_bucket_boundaries_advisory=kind.bounds
            )
            for name, kind in MEASURES.items()
        }
        self.results = meter.create_counter(*RESULTS)

    def join(self, meters: UserMeters) -> None:
        """Have the suite asked for its values."""
        with self._lock:
            new = [one for one in meters.observed.values() if one.name not in self._names]
            self._names.update(one.name for one in new)
            self._suites = (*(each for each in self._suites if each() is not None), ref(meters))
        for one in new:
            self._create(one)

    def leave(self, meters: UserMeters) -> None:
        """Ask the suite no more."""
        with self._lock:
            self._suites = tuple(each for each in self._suites if each() is not meters)

    def _create(self, one: Observed) -> None:
        create = {
            "counter": self._meter.create_observable_counter,
            "updown": self._meter.create_observable_up_down_counter,
            "gauge": self._meter.create_observable_gauge,
        }[one.kind]
        create(one.name, [partial(self._observe, one.name)], one.unit, one.description)

    def _observe(self, name: str, options: Any) -> list[Observation]:  # noqa: ARG002
        """The values of one instrument; counts first what is pending."""
        from opentelemetry.metrics import Observation

        told: dict[tuple[tuple[str, Any], ...], Point] = {}
        for value, attributes in self._values(name):
            key = tuple(attributes.items())
            if key in told and not name.startswith(PROCESS):
                value += told[key][0]  # noqa: PLW2901
            told[key] = value, attributes
        return [Observation(value, attributes) for value, attributes in told.values()]

    def _values(self, name: str) -> Iterator[Point]:
        for each in self._suites:
            meters = each()
            if meters is not None and name in meters.observed:
                meters.ledger.drain()
                yield from meters.observed[name].values()


_of_provider: WeakKeyDictionary[MeterProvider, Instruments] = WeakKeyDictionary()
_lock = Lock()


def instruments_of(provider: MeterProvider) -> Instruments:
    """The provider's instruments, made by the first suite that uses it."""
    with _lock:
        found = _of_provider.get(provider)
        if found is None:
            found = _of_provider[provider] = Instruments(provider)
        return found


def traced(each: Finished) -> Context | None:
    """What the provider's exemplars look at: the span of the request, where it is sampled."""
    if not each.trace_id:
        return None
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    sampled = TraceFlags(TraceFlags.SAMPLED)
    span = SpanContext(each.trace_id, each.span_id, is_remote=False, trace_flags=sampled)
    return set_span_in_context(NonRecordingSpan(span))


def values(facts: Facts, each: Finished) -> Iterator[tuple[str, float]]:
    """What one request adds to which histogram."""
    yield "durations", each.duration_s
    if facts.status:
        yield "first_bytes", each.first_byte_s
        yield "sent", each.sent_bytes
    if each.received_bytes:
        yield "received", each.received_bytes
    if each.app_s:
        yield "app", each.app_s
        if facts.result == "miss":
            yield "fills", each.app_s
    if each.chunks > 1:
        yield "streams", each.duration_s - each.first_byte_s
