"""The user's own meter provider: our measurements go through its views and its readers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from apsperf_mw.__about__ import __version__
from apsperf_mw.observe.points import DURATION, FIRST_BYTE, RESULTS
from apsperf_mw.observe.series import (
    DURATION_BOUNDS_S,
    Table,
    grouped,
    request_attributes,
    result_attributes,
)
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.metrics import MeterProvider, Observation

    from apsperf_mw.observe.ledger import Ledger
    from apsperf_mw.observe.points import Observed, Point
    from apsperf_mw.observe.series import Finished

SCOPE = "apsperf_mw"
# What is told of the process is the same whichever suite tells it; the rest adds up.
PROCESS = "process."


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
        self._instruments = instruments_of(provider)
        self._instruments.join(self)

    def count(self, batch: list[Finished]) -> None:
        """Record a batch of requests."""
        to = self._instruments
        for facts, durations, first_bytes in grouped(batch):
            attributes = self._series.at(facts[:-1], partial(request_attributes, facts)).attributes
            for duration_s in durations:
                to.durations.record(duration_s, attributes)
            for first_byte_s in first_bytes if facts.status else ():
                to.first_bytes.record(first_byte_s, attributes)
            key = (facts.result, facts.route)
            did = self._results.at(key, partial(result_attributes, facts))
            to.results.add(len(durations), did.attributes)

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
        advised: Any = {"explicit_bucket_boundaries_advisory": DURATION_BOUNDS_S}
        self.durations = meter.create_histogram(*DURATION, **advised)
        self.first_bytes = meter.create_histogram(*FIRST_BYTE, **advised)
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
