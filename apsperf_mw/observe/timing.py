"""Request durations: until the first byte, and until the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange, Header
    from apsperf_mw.observe.export import MetricsExporter


class Timing:
    """Hands each finished request to the exporter."""

    def __init__(self, exporter: MetricsExporter) -> None:
        self._exporter = exporter
        self._add = exporter.ledger.add

    def end(self, x: Exchange) -> None:
        """The last byte is out, so the clock stops; background work is not in it."""
        exporter = self._exporter
        if not exporter.started and not exporter.start():
            return
        facts = (x.method, x.scheme, x.route, x.status, x.http_version, x.error, x.result)
        started = x.started
        self._add((facts, x.ended_at - started, x.head_at - started))


class ServerTiming:
    """Tells the client: `Server-Timing`, in milliseconds until the response began."""

    def head(self, x: Exchange, headers: list[Header]) -> None:
        """Add the field; the app's own stays as it is."""
        elapsed_ms = (x.head_at - x.started) * 1000
        if x.result == "hit":
            told = "cache;desc=hit"  # the app has not run
        elif x.result == "collapsed":
            told = f"cache;desc=collapsed;dur={elapsed_ms:.3f}"
        else:
            told = f"app;dur={elapsed_ms:.3f}, cache;desc={x.result}"
        headers.append((b"server-timing", told.encode("ascii")))
