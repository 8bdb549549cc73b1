"""The bottleneck view: each route's times, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins

from apsperf_mw.observe.lines import aligned, safe
from apsperf_mw.observe.loads import Unused  # noqa: TC001 - msgspec looks at the fields' types
from apsperf_mw.observe.verdicts import Facts, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apsperf_mw.observe.leaks import LeakWatch
    from apsperf_mw.observe.tallies import Tallies, Tally

NO_ROUTE = "(unknown route)"
COLUMNS = ("route", "calls", "p50", "p95", "p99", "app", "cpu", "db", "cached", "errors")


class Row(Struct):
    """One route; times in milliseconds, shares from 0 to 1, None where nothing is known."""

    route: str
    calls: int
    errors: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    app_share: float
    cpu_share: float | None
    database_share: float
    queries_per_request: float
    cache_ms: float
    queue_ms: float
    cached_share: float
    results: dict[str, int]
    growth_bytes: float | None
    verdict: str


class Report(Struct):
    """What this process has seen since its first request, the costliest route first.

    `unused` is what was loaded of databases and never looked at.
    """

    seconds: float
    requests: int
    rows: list[Row]
    unused: list[Unused] = []

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        return to_builtins(self)  # type: ignore[no-any-return]

    def __str__(self) -> str:
        head = f"{self.requests} requests in {self.seconds:.0f} s"
        unused = ["", *map(str, self.unused)] if self.unused else []
        if not self.rows:
            return "\n".join([head, *unused])
        table = aligned([COLUMNS, *map(cells, self.rows)], left=0)
        verdicts = [f"{safe(row.route)}: {row.verdict}" for row in self.rows]
        return "\n".join([head, "", *table, "", *verdicts, *unused])


def cells(row: Row) -> tuple[str, ...]:
    """A line of the table."""
    return (
        safe(row.route),
        str(row.calls),
        *(f"{value:.1f} ms" for value in (row.p50_ms, row.p95_ms, row.p99_ms)),
        f"{row.app_share:.0%}",
        "-" if row.cpu_share is None else f"{row.cpu_share:.0%}",
        f"{row.database_share:.0%}",
        f"{row.cached_share:.0%}",
        str(row.errors),
    )


def report(tallies: Tallies, leaks: LeakWatch | None, unused: Sequence[Unused] = ()) -> Report:
    """The report as it is now."""
    rows = list(tallies.rows.values())
    span_s = tallies.last_at - tallies.first_at
    all_app_s = sum(row.app_s for row in rows)
    told = [_row(Facts(row, span_s, all_app_s), leaks) for row in rows]
    told.sort(key=lambda row: -row.app_share)
    return Report(span_s, sum(row.count for row in rows), told, list(unused))


def _row(facts: Facts, leaks: LeakWatch | None) -> Row:
    row: Tally = facts.row
    p50, p95, p99 = (row.durations.quantile(share) * 1000 for share in (0.5, 0.95, 0.99))
    return Row(
        row.route or NO_ROUTE,
        row.count,
        row.errors,
        p50,
        p95,
        p99,
        facts.app_share,
        facts.cpu_share,
        facts.database_share,
        row.queries / row.count,
        row.cache_s / row.count * 1000,
        row.queue_s / row.measured * 1000 if row.measured else 0.0,
        facts.cached,
        dict(row.results),
        leaks.growth_bytes(row.route) if leaks is not None else None,
        _with_growth(verdict(facts), row.route, leaks),
    )


def _with_growth(said: str, route: str, leaks: LeakWatch | None) -> str:
    if leaks is None or route not in leaks.suspicions:
        return said
    left = leaks.growth_bytes(route) or 0.0
    return f"{said}; a request leaves ~{left:.0f} bytes of memory behind"
