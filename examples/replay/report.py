"""The table that the demo prints, and the same figures for a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .race import Outcome, Tally
    from .servers import Server
    from .sink import Sink

LABEL, COLUMN, NOTE = 24, 12, 24


@dataclass(frozen=True)
class Figures:
    """What the table says of one shop; times in milliseconds."""

    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    hit_ratio: float
    app_calls: int
    sql_statements: int
    rss_mib: float
    spans: int
    metric_points: int

    @classmethod
    def of(cls, tally: Tally, sink: Sink | None = None) -> Figures:
        """The figures of a tally; `sink` is where the shop exported to."""
        latencies_ms = sorted(latency_s * 1000 for latency_s in tally.latencies_s)
        return cls(
            requests_per_s=tally.requests / tally.elapsed_s,
            p50_ms=percentile(latencies_ms, 50),
            p95_ms=percentile(latencies_ms, 95),
            p99_ms=percentile(latencies_ms, 99),
            hit_ratio=tally.hits / tally.requests,
            app_calls=tally.app_calls,
            sql_statements=tally.sql_statements,
            rss_mib=tally.rss_bytes / 2**20,
            spans=sink.spans if sink else 0,
            metric_points=sink.metric_points if sink else 0,
        )


def percentile(ascending: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of the values do not exceed."""
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)]


def table(bare: Figures, wrapped: Figures) -> str:
    """Both shops side by side."""
    head = f"{'':{LABEL}}{'bare':>{COLUMN}}{'wrapped':>{COLUMN}}"
    rule = "-" * (LABEL + 2 * COLUMN + NOTE)
    return "\n".join([rule, head, rule, *_rows(bare, wrapped), rule])


def _rows(bare: Figures, wrapped: Figures) -> Iterator[str]:
    for label, name, form in (
        ("requests/s", "requests_per_s", ",.0f"),
        ("p50 (ms)", "p50_ms", ".2f"),
        ("p95 (ms)", "p95_ms", ".2f"),
        ("p99 (ms)", "p99_ms", ".2f"),
        ("hit ratio", "hit_ratio", ".1%"),
        ("app calls", "app_calls", ",d"),
        ("SQL statements", "sql_statements", ",d"),
        ("RSS (MiB)", "rss_mib", ".1f"),
        ("spans exported", "spans", ",d"),
        ("metric points exported", "metric_points", ",d"),
    ):
        one, other = getattr(bare, name), getattr(wrapped, name)
        note = _note(name, one, other)
        yield f"{label:{LABEL}}{one:>{COLUMN}{form}}{other:>{COLUMN}{form}}{note}".rstrip()


def _note(name: str, bare: float, wrapped: float) -> str:
    """How the second compares with the first, where that means something."""
    if not bare:
        return ""
    if name == "requests_per_s":
        return f"   {wrapped / bare:.1f} times as many"
    if name in {"app_calls", "sql_statements"}:
        return f"   {bare - wrapped:,.0f} saved ({1 - wrapped / bare:.0%})"
    return ""


def verdict(outcome: Outcome) -> str:
    """Whether both shops gave the same answers."""
    total = outcome.identical + len(outcome.different)
    if not outcome.different:
        return f"{total:,} responses identical: status, type and body, after every write too."
    shown = "\n".join(f"  {line}" for line in outcome.different[:10])
    return f"{len(outcome.different):,} of {total:,} responses DIFFER (bare, wrapped):\n{shown}"


def as_json(bare: Figures, wrapped: Figures, outcome: Outcome) -> dict[str, Any]:
    """Everything that was printed, for a file."""
    return {
        "bare": vars(bare),
        "wrapped": vars(wrapped),
        "identical": outcome.identical,
        "different": outcome.different,
    }


WHAT_NEXT = """\
Next: `{serve}` keeps both shops up and shows curl lines for Cache-Status, Age and
Server-Timing; `{more}` replays more, over other pages."""
INSTALLED = "apsperf demo"


def what_next(command: str) -> str:
    """What to try, for who has called it by this command."""
    more = "--requests 20000 --seed 7"
    if command == INSTALLED:
        return WHAT_NEXT.format(serve=f"{command} --serve", more=f"{command} {more}")
    return WHAT_NEXT.format(serve="make demo ARGS=--serve", more=f"make demo ARGS='{more}'")


def what_to_ask(bare: Server, wrapped: Server, cookie: str) -> str:
    """What to try while the shops are up; `cookie` is a customer's."""
    shown = "grep -iE '^(cache|age|server-timing)'"
    return "\n".join(
        [
            f"The bare shop is at {bare.url}, the wrapped one at {wrapped.url}. Try:",
            "",
            "  # twice: a miss that is stored, then a hit; Age counts its seconds",
            f"  curl -si {wrapped.url}/albums/1 | {shown}",
            "  # a customer's own page is never kept; Cache-Status says why",
            f"  curl -si -b {cookie} {wrapped.url}/customers/me | {shown}",
            "  # the same page of the app alone",
            f"  curl -si {bare.url}/albums/1",
            "",
            "Ctrl-C ends both.",
        ]
    )
