"""Statements by what they cost."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins

from apsperf_mw.observe.fingerprints import shape_of
from apsperf_mw.observe.lines import aligned, safe

if TYPE_CHECKING:
    from apsperf_mw.db.results import Results
    from apsperf_mw.observe.shapes import Shape
    from apsperf_mw.observe.statements import Statements

COLUMNS = ("calls", "total", "p50", "p95", "p99", "longest", "errors", "rows", "hits", "statement")


class Row(Struct):
    """One shape of statements; times in milliseconds. `site` is where a slow one was sent last.

    `rows` are those that it returned or changed, as far as its driver says so when it is sent
    (SQLite's says it of changes alone), `hits` its answers from the query cache.
    """

    statement: str
    system: str
    calls: int
    errors: int
    total_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    longest_ms: float
    site: str
    rows: int = 0
    hits: int = 0


class Stats(Struct):
    """What this process has sent since its first statement, the costliest first.

    `hits`, `misses`, `stores` and `bypasses` are the query cache's: a bypass was asked for and
    could not be answered from it, as in a transaction that has written the table. `prepared` is
    how many statements connections to PostgreSQL have prepared, `prepared_calls` how many calls
    found theirs so.
    """

    calls: int
    total_ms: float
    rows: list[Row]
    hits: int = 0
    misses: int = 0
    stores: int = 0
    bypasses: int = 0
    prepared: int = 0
    prepared_calls: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return to_builtins(self)  # type: ignore[no-any-return]

    def __str__(self) -> str:
        head = f"{self.calls} statements in {self.total_ms:.1f} ms"
        if self.hits or self.misses or self.bypasses:
            head += f"; {self.hits} answered from the cache, {self.misses} not, "
            head += f"{self.bypasses} could not be; {self.stores} results kept"
        if self.prepared:
            head += f"; {self.prepared} prepared, {self.prepared_calls} calls of them"
        if not self.rows:
            return head
        table = aligned([COLUMNS, *map(cells, self.rows)], left=len(COLUMNS) - 1)
        return "\n".join([head, "", *table])


def cells(row: Row) -> tuple[str, ...]:
    """A line of the table."""
    times = (row.total_ms, row.p50_ms, row.p95_ms, row.p99_ms, row.longest_ms)
    shown = [f"{ms:.2f} ms" for ms in times]
    where = f"  (slow at {safe(row.site)})" if row.site else ""
    told = (str(row.errors), str(row.rows), str(row.hits))
    return (str(row.calls), *shown, *told, safe(row.statement) + where)


def stats(statements: Statements, results: Results | None = None) -> Stats:
    """The figures as they are now."""
    rows = sorted(map(_row, statements.shapes()), key=lambda row: -row.total_ms)
    calls, total_ms = sum(row.calls for row in rows), sum(row.total_ms for row in rows)
    made = Stats(calls, total_ms, rows)
    made.prepared, made.prepared_calls = statements.prepared.made, statements.prepared.used
    if results is not None:
        counts, hits = results.counts, hits_of(results)
        for row in rows:
            row.hits = hits.pop(row.statement, 0)
        made.hits, made.misses = counts.hits, counts.misses
        made.stores, made.bypasses = counts.stores, counts.bypasses
    return made


def _row(shape: Shape) -> Row:
    p50, p95, p99 = (shape.sketch.quantile(share) * 1000 for share in (0.5, 0.95, 0.99))
    return Row(
        shape.text,
        shape.system,
        shape.calls,
        shape.errors,
        shape.total_s * 1000,
        p50,
        p95,
        p99,
        shape.longest_s * 1000,
        shape.site,
        shape.rows,
    )


def hits_of(results: Results) -> Counter[str]:
    """The hits of each shape."""
    found: Counter[str] = Counter()
    for tally in list(results.tallies.values()):
        found[shape_of(tally.text)] += tally.hits
    return found
