"""Whether the requests of a route leave memory behind. Pure: it sees samples, and no clock.

A leak grows on and on; a cache fills up, a warm-up ends. So the growth of the process during a
route's sampled requests is judged in windows: a route is suspected where the means of several
windows in a row are all above the noise, the growth does not come to an end, and the process as a
whole has grown by at least what those requests have shown. Memory comes in pages, so one sample
says nothing; a sample that stands out, as of a request that fills a cache, counts only so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Sequence

# Samples of a window, and windows that must agree.
WINDOW = 100
WINDOWS = 6
# What a request must leave at least, in bytes.
LEAST_BYTES = 256.0
# What one sample may say at most.
MOST_BYTES = 65_536.0
# Routes that are watched; of further ones nothing is known.
MOST_ROUTES = 256


class Suspicion(NamedTuple):
    """A route that seems to leak, and why."""

    route: str
    bytes_per_request: float
    evidence: str


class Window(NamedTuple):
    """What a window of samples has come to, and how large the process was then."""

    mean_bytes: float
    rss_bytes: int


class Watched(Struct):
    """The samples of the window under way, and the windows before it."""

    samples: list[float] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    told: bool = False


class LeakWatch:
    """Takes the growth of sampled requests, route by route."""

    def __init__(self) -> None:
        self._routes: dict[str, Watched] = {}
        self.suspicions: dict[str, int] = {}

    def add(self, route: str, growth_bytes: float, rss_bytes: int) -> Suspicion | None:
        """Take one sample; a suspicion where it is the last one needed, once for each route."""
        watched = self._routes.get(route)
        if watched is None:
            if len(self._routes) >= MOST_ROUTES:
                return None
            watched = self._routes[route] = Watched()
        watched.samples.append(max(-MOST_BYTES, min(growth_bytes, MOST_BYTES)))
        if len(watched.samples) < WINDOW:
            return None
        watched.windows.append(Window(mean(watched.samples), rss_bytes))
        watched.samples.clear()
        del watched.windows[: -WINDOWS - 1]
        if watched.told or not grows(watched.windows):
            return None
        watched.told = True
        self.suspicions[route] = self.suspicions.get(route, 0) + 1
        return Suspicion(route, leaves(watched.windows), evidence(watched.windows))

    def growth_bytes(self, route: str) -> float | None:
        """What a request of the route has left of late; None where too little is known."""
        watched = self._routes.get(route)
        return leaves(watched.windows) if watched is not None and watched.windows else None

    def clear(self) -> None:
        """Begin anew."""
        self._routes.clear()
        self.suspicions.clear()


def mean(values: Sequence[float]) -> float:
    """The mean of some values."""
    return sum(values) / len(values)


def leaves(windows: list[Window]) -> float:
    """The bytes that a request leaves, over all windows."""
    return mean([each.mean_bytes for each in windows])


def evidence(windows: list[Window]) -> str:
    """What speaks for a leak, in words."""
    grown = windows[-1].rss_bytes - windows[0].rss_bytes
    return (
        f"in each of {WINDOWS} windows of {WINDOW} sampled requests; "
        f"the process grew by {grown / 1048576:.1f} MiB meanwhile"
    )


def grows(windows: list[Window]) -> bool:
    """Whether the latest windows all show growth that has no end, and the process grew too."""
    latest = windows[-WINDOWS:]
    if len(windows) <= WINDOWS or min(each.mean_bytes for each in latest) < LEAST_BYTES:
        return False
    half = WINDOWS // 2
    early, late = (leaves(each) for each in (latest[:half], latest[half:]))
    shown = sum(each.mean_bytes for each in latest) * WINDOW
    return late >= early / 2 and windows[-1].rss_bytes - windows[0].rss_bytes >= shown
