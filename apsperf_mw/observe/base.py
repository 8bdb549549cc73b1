"""What an observer is.

Any object with some of these methods. A shell collects them once and calls them for each request,
in the order in which the observers stand; one that raises is counted, and the app never feels it.
All are plain functions and must be quick: what is slow belongs into the exporter's thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange, Header


class Starts(Protocol):
    """Is told of requests as they come."""

    def start(self, x: Exchange) -> None:
        """The request has come: `raw`, `method` and `started` are known."""


class Surrounds(Protocol):
    """Stands round the app's call, in its context; not called for hits."""

    def enter(self, x: Exchange) -> object:
        """The app is about to run; the result is handed to `leave`."""

    def leave(self, x: Exchange, token: object) -> None:
        """The app has returned."""


class Heads(Protocol):
    """May add fields to the head of each response; from a WSGI shell it gets an empty one."""

    def head(self, x: Exchange, headers: list[Header]) -> None:
        """`status`, `result` and `head_at` are known."""


class Reads(Protocol):
    """Sees the whole head of each response as it goes out, and changes nothing."""

    def read(self, x: Exchange, headers: list[Header] | list[tuple[str, str]]) -> None:
        """As `Heads.head`, after all of those; bytes or text, as the shell has them."""


class Ends(Protocol):
    """Is told once of each request that is over, well or not."""

    def end(self, x: Exchange) -> None:
        """The last byte is out, or never will be; everything in the exchange is final."""
