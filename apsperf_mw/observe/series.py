"""What is counted of requests: histograms and counters by a bounded number of keys. Pure."""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Advised bounds of http.server.request.duration, in seconds (OpenTelemetry semantic conventions).
# fmt: off
DURATION_BOUNDS_S = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0
)
# fmt: on

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
SCHEMES = frozenset({"http", "https"})
VERSIONS = {"1.0": "1.0", "1.1": "1.1", "2": "2", "2.0": "2", "3": "3", "3.0": "3"}
# In place of what a client may make up.
OTHER = "_OTHER"
OVERFLOW: dict[str, str | int | bool] = {"otel.metric.overflow": True}

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


Raw = tuple[str, str, str, int, str, str, str]
# One request that is over: its facts as they came, and the seconds until its last and first byte.
Finished = tuple[Raw, float, float]


class Histogram:
    """Counts by bucket; a value on a bound belongs to the bucket below it."""

    __slots__ = ("buckets", "count", "highest", "lowest", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.lowest = float("inf")
        self.highest = float("-inf")
        self.buckets = [0] * (len(DURATION_BOUNDS_S) + 1)

    def add(self, values: list[float]) -> None:
        """Count a batch, which is sorted on the way: most of the work is done once for all."""
        values.sort()
        self.count += len(values)
        self.total += sum(values)
        self.lowest = min(self.lowest, values[0])
        self.highest = max(self.highest, values[-1])
        below = 0
        for bucket, bound in enumerate(DURATION_BOUNDS_S):
            reached = bisect_right(values, bound, below)
            self.buckets[bucket] += reached - below
            if reached == len(values):
                return
            below = reached
        self.buckets[-1] += len(values) - below


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


class Requests:
    """All series that come from finished requests. The ledger calls it under its lock."""

    def __init__(self, max_series: int) -> None:
        self.durations: Table[Histogram] = Table(max_series, Histogram)
        self.first_bytes: Table[Histogram] = Table(max_series, Histogram)
        self.results: Table[list[int]] = Table(max_series, lambda: [0])

    def count(self, batch: list[Finished]) -> None:
        """Count a batch of requests."""
        for facts, durations, first_bytes in grouped(batch):
            attributes = partial(request_attributes, facts)
            self.durations.at(facts[:-1], attributes).value.add(durations)
            if facts.status:
                self.first_bytes.at(facts[:-1], attributes).value.add(first_bytes)
            did = self.results.at((facts.result, facts.route), partial(result_attributes, facts))
            did.value[0] += len(durations)

    def clear(self) -> None:
        """Begin anew."""
        self.durations.clear()
        self.first_bytes.clear()
        self.results.clear()


def grouped(batch: list[Finished]) -> Iterable[tuple[Facts, list[float], list[float]]]:
    """The batch by bounded facts, with the durations and the times to first byte of each."""
    groups: dict[Facts, tuple[Facts, list[float], list[float]]] = {}
    known: dict[Raw, tuple[Facts, list[float], list[float]]] = {}
    for raw, duration_s, first_byte_s in batch:
        group = known.get(raw)
        if group is None:
            facts = bounded(raw)
            group = known[raw] = groups.setdefault(facts, (facts, [], []))
        group[1].append(duration_s)
        group[2].append(first_byte_s)
    return groups.values()


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


def error_type(status: int, error: str) -> str:
    """The exception's name, else the code of a server error as text, else nothing."""
    return error or (str(status) if status >= 500 else "")
