"""What a route's sums say in a sentence, with the evidence. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.observe.repeats import WINDOWS_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.observe.tallies import Tally

# Below so many requests nothing is said.
LEAST_REQUESTS = 50
# Statements of one shape in a request that are too many of them.
REPEATED = 5
# What must be saved before caching is worth a word: app seconds per second, and hits.
LEAST_SAVED, LEAST_SHARE = 0.001, 0.2
CLASSES = dict(zip(WINDOWS_S, ("short", "medium", "long"), strict=True))
SERVED = ("hit", "collapsed", "stale", "revalidated")


class Facts(Struct):
    """A route in shares and rates, for the span of time that was observed."""

    row: Tally
    span_s: float
    all_app_s: float

    @property
    def cached(self) -> float:
        """The share of requests that the cache has answered."""
        return sum(self.row.results[each] for each in SERVED) / self.row.count

    @property
    def app_share(self) -> float:
        """The route's share of the time that all routes spend in the app."""
        return self.row.app_s / self.all_app_s if self.all_app_s else 0.0

    @property
    def cpu_share(self) -> float | None:
        """The share of its time in the app in which the route keeps a CPU busy."""
        row = self.row
        return min(row.cpu_s / row.measured_s, 1.0) if row.measured_s else None

    @property
    def database_share(self) -> float:
        """The share of its time in the app that goes into statements."""
        return min(self.row.database_s / self.row.app_s, 1.0) if self.row.app_s else 0.0

    def saved(self, window_s: float) -> float:
        """The app seconds per second that a cache of that lifetime would save."""
        share = self.row.repeats.share(window_s)
        return share * self.row.app_s / self.span_s if self.span_s else 0.0


def repeated(facts: Facts) -> str:
    """Many statements of one shape in a request."""
    row = facts.row
    if not row.shapes:
        return ""
    _, most = row.shapes.most_common(1)[0]
    each, same = row.queries / row.count, most / row.count
    if same < REPEATED:
        return ""
    share = f"{facts.database_share:.0%} in " if facts.database_share else ""
    return f"{share}{each:.0f} queries a request, {same:.0f} of one shape (N+1)"


def database_bound(facts: Facts) -> str:
    """Most of the time goes into statements."""
    if facts.database_share < 0.5 or repeated(facts):
        return ""
    each = facts.row.queries / facts.row.count
    return f"{facts.database_share:.0%} of its time in the database ({each:.1f} queries a request)"


def cpu_bound(facts: Facts) -> str:
    """Most of the time a CPU is busy with it."""
    share = facts.cpu_share
    if share is None or share < 0.7 or facts.app_share < 0.2:
        return ""
    return f"{share:.0%} of its time is the CPU's: a profile would tell where"


def failing(facts: Facts) -> str:
    """Requests that fail."""
    share = facts.row.errors / facts.row.count
    return f"{share:.0%} of its requests fail" if share >= 0.01 else ""


def queueing(facts: Facts) -> str:
    """Requests that wait before they run."""
    waited_s, measured_s = facts.row.queue_s, facts.row.measured_s
    share = waited_s / (waited_s + measured_s) if waited_s else 0.0
    return f"{share:.0%} of its time is spent in the queue: more workers would help" * (share > 0.2)


def cacheable(facts: Facts) -> str:
    """Requests that ask for the same again, and are not answered from the cache."""
    if facts.cached > 0.5:
        return ""
    best = max(WINDOWS_S, key=lambda window_s: (round(facts.saved(window_s), 6), -window_s))
    share, saved = facts.row.repeats.share(best), facts.saved(best)
    if share < LEAST_SHARE or saved < LEAST_SAVED:
        return ""
    return (
        f"cached {facts.cached:.0%}; {share:.0%} of the requests repeat within {best:.0f} s: "
        f"cache it ({CLASSES[best]}) and save ~{saved:.2g} app-seconds per second"
    )


def well_cached(facts: Facts) -> str:
    """The cache does its work."""
    return f"cached {facts.cached:.0%}: fine" if facts.cached > 0.5 else ""


RULES: tuple[Callable[[Facts], str], ...] = (
    failing,
    repeated,
    database_bound,
    cpu_bound,
    queueing,
    cacheable,
    well_cached,
)


def verdict(facts: Facts) -> str:
    """All that there is to say of a route."""
    if facts.row.count < LEAST_REQUESTS:
        return f"only {facts.row.count} requests so far"
    return "; ".join(filter(None, (rule(facts) for rule in RULES))) or "nothing stands out"
