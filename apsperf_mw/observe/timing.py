"""What the client is told of a response's time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange, Header


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
