"""What the client is told: a response's time, and its request's id."""

from __future__ import annotations

import re
from hmac import compare_digest
from typing import TYPE_CHECKING

from apsperf_mw.errors import SettingError
from apsperf_mw.observe.ids import random_bits

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange, Header
    from apsperf_mw.settings import TimingSettings

TOKEN = b"apsperf-token"
REQUEST_ID = b"x-request-id"
ENVIRON_ID = "HTTP_X_REQUEST_ID"
# Where a request's exchange has it.
KNOWN = "apsperf.request_id"
# An id of the caller's goes into logs and headers of others: no more than this is passed on.
_SOUND = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class ServerTiming:
    """Tells the client: `Server-Timing`, in milliseconds until the response began."""

    def __init__(self, settings: TimingSettings) -> None:
        self._asks = settings.server_timing == "token"
        self._token = settings.token.encode("ascii")
        if self._asks and not self._token:
            raise SettingError(
                "timing.token: not set; accepted where timing.server_timing is token: "
                "text of 16 to 512 visible characters"
            )

    def head(self, x: Exchange, headers: list[Header]) -> None:
        """Add the field; the app's own stays as it is."""
        if self._asks and not compare_digest(b",".join(x.fields(TOKEN)), self._token):
            return
        elapsed_ms = (x.head_at - x.started) * 1000
        if x.result == "hit":
            told = "cache;desc=hit"  # the app has not run
        elif x.result == "collapsed":
            told = f"cache;desc=collapsed;dur={elapsed_ms:.3f}"
        else:
            told = f"app;dur={elapsed_ms:.3f}, cache;desc={x.result}"
        costs = None if x.plan is None else x.plan.costs
        if costs is not None and costs.queries:
            told += f", db;dur={costs.database_s * 1000:.3f};desc={costs.queries}"
        headers.append((b"server-timing", told.encode("ascii")))


class RequestIds:
    """Gives each request an id: the caller's where it is sound, else a new one.

    The app finds it in the request's own field, the client in the response's.
    """

    def start(self, x: Exchange) -> None:
        """Put the id where the app looks for it."""
        lines = x.fields(REQUEST_ID)
        if len(lines) == 1 and _SOUND.fullmatch(lines[0]):
            x.raw[KNOWN] = lines[0]
            return
        made = b"%032x" % random_bits(128)
        raw = x.raw
        raw[KNOWN] = made
        if "headers" in raw:
            others = [field for field in raw["headers"] if field[0] != REQUEST_ID]
            raw["headers"] = [*others, (REQUEST_ID, made)]
        if "wsgi.url_scheme" in raw:
            raw[ENVIRON_ID] = made.decode("ascii")

    def head(self, x: Exchange, headers: list[Header]) -> None:
        """Add the field, unless the app has its own."""
        if not any(name == REQUEST_ID for name, _ in headers):
            headers.append((REQUEST_ID, x.raw[KNOWN]))
