"""One value that somebody wants and nobody has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from apsperf_mw.cache.flights import Flight
    from apsperf_mw.data.frames import Terms

# No value: None is one.
MISSING: Final[Any] = object()


class Job(Struct, eq=False):
    """One value that is wanted. While it leads, `flight` is set; it ends in `settle` or `drop`.

    `token` is the driver's lease; `keeps` says whether what is made may be kept.
    """

    name: bytes
    ttl_s: float
    stale_s: float = 0.0
    tags: tuple[str, ...] = ()
    flight: Flight | None = None
    token: bytes | None = None
    keeps: bool = True
    terms: Terms | None = None
    began_at: float = 0.0
