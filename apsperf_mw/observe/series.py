"""What is counted of requests: histograms and counters by a bounded number of keys. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from msgspec import Struct

from apsperf_mw.observe.measures import DURATION_BOUNDS_S, MEASURES
from apsperf_mw.observe.powers import Powers
from apsperf_mw.observe.record import Finished, Measured, alike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.exchange import Facts as Raw

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
SCHEMES = frozenset({"http", "https"})
VERSIONS = {"1.0": "1.0", "1.1": "1.1", "2": "2", "2.0": "2", "3": "3", "3.0": "3"}
# In place of what a client may make up.
OTHER = "_OTHER"
OVERFLOW: dict[str, str | int | bool] = {"otel.metric.overflow": True}

# Bytes of bodies: from a short answer to a large download.
BODY_BOUNDS_BYTES = tuple(float(4**power) for power in range(3, 15))

Attributes = dict[str, "str | int | bool"]
T = TypeVar("T")


class Facts(NamedTuple):
    """What tells one request's series from another's."""

    method: str
    scheme: str
    route: str
    status: int
    version: str
    error: str
    result: str


class Exemplar(Struct, gc=False, eq=False):
    """A value with the trace that it comes from; `at` is in monotonic seconds."""

    value: float
    trace_id: int
    span_id: int
    at: float


def exemplar(request: Finished) -> Exemplar:
    """A request's duration with its trace."""
    return Exemplar(request.duration_s, request.trace_id, request.span_id, request.ended_at)


class Histogram:
    """Counts by bucket; a value on a bound belongs to the bucket below it.

    `exemplars` has the latest of each bucket that has one.
    """

    __slots__ = ("bounds", "buckets", "count", "exemplars", "highest", "lowest", "total")

    def __init__(self, bounds: tuple[float, ...] = DURATION_BOUNDS_S) -> None:
        self.bounds = bounds
        self.count = 0
        self.total = 0.0
        self.lowest = float("inf")
        self.highest = float("-inf")
        self.buckets = [0] * (len(bounds) + 1)
        self.exemplars: dict[int, Exemplar] = {}

    def add(self, values: list[float]) -> None:
        """Count a batch, which is sorted on the way: most of the work is done once for all."""
        values.sort()
        self.count += len(values)
        self.total += sum(values)
        self.lowest = min(self.lowest, values[0])
        self.highest = max(self.highest, values[-1])
        below = 0
        for bucket, bound in enumerate(self.bounds):
            reached = bisect_right(values, bound, below)
            self.buckets[bucket] += reached - below
            if reached == len(values):
                return
            below = reached
        self.buckets[-1] += len(values) - below

    def place(self, value: float) -> int:
        """The bucket of a value."""
        return bisect_left(self.bounds, value)

    def show(self, place: int, exemplar: Exemplar) -> None:
        """Keep a value's trace for its bucket."""
        self.exemplars[place] = exemplar


class Series(Struct, Generic[T], eq=False):
    """One attribute set of an instrument, and what is counted under it."""

    attributes: Attributes
    value: T


class Table(Generic[T]):
    """An instrument's series; past the most allowed the rest share one (OpenTelemetry)."""

    def __init__(self, most: int, make: Callable[[], T]) -> None:
        self._most = most
        self._make = make
        self._series: dict[object, Series[T]] = {}

    def at(self, key: object, attributes: Callable[[], Attributes]) -> Series[T]:
        """The series of this key, made if it is new."""
        found = self._series.get(key)
        if found is None:
            if len(self._series) >= self._most - 1:
                found = self._series.setdefault(None, Series(OVERFLOW, self._make()))
            else:
                found = self._series[key] = Series(attributes(), self._make())
        return found

    def all(self) -> list[Series[T]]:
        """Every series, as they are now."""
        return list(self._series.values())

    def clear(self) -> None:
        """Begin anew."""
        self._series.clear()


Group = list[Finished]


class Requests:
    """All series that come from finished requests. The ledger calls it under its lock."""

    def __init__(
        self, max_series: int, *, exponential: bool = False, exemplars: bool = True
    ) -> None:
        def table(bounds: tuple[float, ...]) -> Table[Histogram | Powers]:
            return Table(max_series, Powers if exponential else partial(Histogram, bounds))

        self._shows = exemplars
        self.durations = table(DURATION_BOUNDS_S)
        self.first_bytes = table(DURATION_BOUNDS_S)
        self.received = table(BODY_BOUNDS_BYTES)
        self.sent = table(BODY_BOUNDS_BYTES)
        self.app = table(DURATION_BOUNDS_S)
        self.fills = table(DURATION_BOUNDS_S)
        self.streams = table(DURATION_BOUNDS_S)
        self.results: Table[list[int]] = Table(max_series, lambda: [0])
        self.measured = {name: table(kind.bounds) for name, kind in MEASURES.items()}

    def count(self, batch: list[Finished]) -> None:
        """Count a batch of requests."""
        for facts, group in grouped(batch):
            self._count_http(facts, group)
            self._count_ours(facts, group)

    def count_measured(self, batch: list[Measured]) -> None:
        """Count what was measured beside requests."""
        for name, value, attributes in batch:
            series = self.measured[name].at(attributes, partial(dict, attributes))
            series.value.add([value])

    def _count_http(self, facts: Facts, group: Group) -> None:
        """What the conventions know; a request without a response has no first byte."""
        key, attributes = facts[:-1], partial(request_attributes, facts)
        durations = self.durations.at(key, attributes).value
        durations.add([each.duration_s for each in group])
        if self._shows:
            traced = [each for each in group if each.trace_id]
            latest = {durations.place(each.duration_s): each for each in traced}
            for place, each in latest.items():
                durations.show(place, exemplar(each))
        if facts.status:
            sent = [float(each.sent_bytes) for each in group]
            self.sent.at(key, attributes).value.add(sent)
            first = [each.first_byte_s for each in group]
            self.first_bytes.at(key, attributes).value.add(first)
        if received := [float(each.received_bytes) for each in group if each.received_bytes]:
            self.received.at(key, attributes).value.add(received)

    def _count_ours(self, facts: Facts, group: Group) -> None:
        """What the conventions do not know, by the route alone."""
        route = facts.route
        key = facts.result, route
        self.results.at(key, partial(result_attributes, facts)).value[0] += len(group)
        attributes = partial(route_attributes, route)
        if app := [each.app_s for each in group if each.app_s]:
            if facts.result == "miss":
                self.fills.at(route, attributes).value.add(list(app))
            self.app.at(route, attributes).value.add(app)
        if streams := [each.duration_s - each.first_byte_s for each in group if each.chunks > 1]:
            self.streams.at(route, attributes).value.add(streams)

    def tables(self) -> Iterable[Table[Any]]:
        """Every table."""
        own = [each for each in vars(self).values() if isinstance(each, Table)]
        return [*own, *self.measured.values()]

    def clear(self) -> None:
        """Begin anew."""
        for table in self.tables():
            table.clear()


def grouped(batch: list[Finished]) -> Iterable[tuple[Facts, Group]]:
    """The batch by bounded facts."""
    groups: defaultdict[Facts, Group] = defaultdict(list)
    for raw, group in alike(batch).items():
        groups[bounded(raw)] += group
    return groups.items()


def bounded(raw: Raw) -> Facts:
    """The facts, with everything that a client may choose freely out of them."""
    method, scheme, route, status, version, error, result = raw
    return Facts(
        bounded_method(method),
        scheme if scheme in SCHEMES else OTHER,
        route,
        status,
        VERSIONS.get(version, ""),
        error,
        result,
    )


def bounded_method(method: str) -> str:
    """The method as attributes have it."""
    return method if method in METHODS else OTHER


def request_attributes(request: Facts) -> Attributes:
    """The attributes of a request's durations; what is not known is left out."""
    attributes: Attributes = {
        "http.request.method": request.method,
        "url.scheme": request.scheme,
    }
    if request.version:
        attributes["network.protocol.version"] = request.version
    if request.status:
        attributes["http.response.status_code"] = request.status
    if request.route:
        attributes["http.route"] = request.route
    error = error_type(request.status, request.error)
    if error:
        attributes["error.type"] = error
    return attributes


def result_attributes(request: Facts) -> Attributes:
    """The attributes of what the cache did."""
    attributes: Attributes = {"apsperf.cache.result": request.result}
    if request.route:
        attributes["http.route"] = request.route
    return attributes


def route_attributes(route: str) -> Attributes:
    """The attributes of what is told by route alone."""
    return {"http.route": route} if route else {}


def error_type(status: int, error: str) -> str:
    """The exception's name, else the code of a server error as text, else nothing."""
    return error or (str(status) if status >= 500 else "")
