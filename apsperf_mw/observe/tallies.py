"""What a report is made of: sums by route, from the records of finished requests. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from math import ceil, exp, inf, log
from typing import TYPE_CHECKING

from msgspec import Struct, field

from apsperf_mw.observe.record import alike
from apsperf_mw.observe.repeats import Repeats

if TYPE_CHECKING:
    from apsperf_mw.exchange import Facts
    from apsperf_mw.observe.record import Costs, Finished

# Routes that have a row of their own; the others share one, which has no name.
MOST_ROUTES = 512
OTHERS = "(other routes)"
# Shapes of statements that are remembered of a route.
MOST_SHAPES = 32
# Two values in one bucket of a sketch differ by so much at most: half of it is the error.
STEP = log(1.04)
LEAST_S, MOST_S = 1e-6, 1e5


class Sketch:
    """Durations in buckets whose bounds grow by 4 %: a quantile is off by 2 % at most.

    The buckets are few, since durations are cut off below a microsecond and above a day.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, values: list[float]) -> None:
        """Count durations in seconds; sorted, those of one bucket are counted at once."""
        values = sorted(values)
        below = 0
        while below < len(values):
            bucket = ceil(log(min(max(values[below], LEAST_S), MOST_S)) / STEP)
            most = exp(bucket * STEP) if values[below] < MOST_S else inf
            reached = max(bisect_right(values, most, below), below + 1)
            self._counts[bucket] += reached - below
            below = reached

    def quantile(self, share: float) -> float:
        """The duration that this share of them does not exceed; 0 without any."""
        rank = share * self._counts.total()
        passed = 0
        for bucket in sorted(self._counts):
            passed += self._counts[bucket]
            if passed >= rank:
                return exp((bucket - 0.5) * STEP)
        return 0.0


class Tally(Struct):
    """The sums of one route; `measured` are the requests whose CPU time and queueing are known."""

    route: str
    count: int = 0
    errors: int = 0
    total_s: float = 0.0
    app_s: float = 0.0
    cache_s: float = 0.0
    queue_s: float = 0.0
    database_s: float = 0.0
    queries: int = 0
    cpu_s: float = 0.0
    measured: int = 0
    measured_s: float = 0.0
    growth_bytes: float = 0.0
    grown: int = 0
    results: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    durations: Sketch = field(default_factory=Sketch)
    repeats: Repeats = field(default_factory=Repeats)


class Tallies:
    """Adds up requests by route; one thread adds while another may read."""

    def __init__(self) -> None:
        self.rows: dict[str, Tally] = {}
        self.first_at = 0.0
        self.last_at = 0.0

    def add(self, batch: list[Finished]) -> None:
        """Add a batch of finished requests."""
        for raw, group in alike(batch).items():
            add_group(self.row(raw[2]), raw, group)
        if batch:
            self.first_at = self.first_at or batch[0].ended_at - batch[0].duration_s
            self.last_at = max(self.last_at, batch[-1].ended_at)

    def row(self, route: str) -> Tally:
        """The sums of a route, or those that further routes share."""
        found = self.rows.get(route)
        if found is None:
            name = route if len(self.rows) < MOST_ROUTES else OTHERS
            found = self.rows.setdefault(name, Tally(name))
        return found

    def clear(self) -> None:
        """Begin anew."""
        self.rows.clear()
        self.first_at = self.last_at = 0.0


def add_group(row: Tally, raw: Facts, group: list[Finished]) -> None:
    """Add requests of one route that came to the same."""
    _, _, _, status, _, error, result = raw
    durations = [each.duration_s for each in group]
    row.count += len(group)
    row.total_s += sum(durations)
    row.app_s += sum([each.app_s for each in group])
    row.durations.add(durations)
    row.results[result] += len(group)
    if status >= 500 or error:
        row.errors += len(group)
    for each in group:
        if each.costs is not None:
            add_costs(row, each.costs, each.app_s)
        if each.key:
            row.repeats.add(each.key, each.ended_at)


def add_costs(row: Tally, costs: Costs, app_s: float) -> None:
    """Add what more is known of a request."""
    row.cache_s += costs.cache_s
    row.database_s += costs.database_s
    row.queries += costs.queries
    if costs.cpu_s is not None:
        row.cpu_s += costs.cpu_s
        row.queue_s += costs.queue_s
        row.measured += 1
        row.measured_s += app_s
    if costs.growth_bytes is not None:
        row.growth_bytes += costs.growth_bytes
        row.grown += 1
    for shape, count in (costs.shapes or {}).items():
        if shape in row.shapes or len(row.shapes) < MOST_SHAPES:
            row.shapes[shape] += count
