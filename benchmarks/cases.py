"""What is measured in process: each case is a kind of request and the apps that take it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from apsperf_mw import Suite
from apsperf_mw.asgi_gate import ASGIExchange
from benchmarks.contenders import ETAG, FRESH, MOST_KEPT, PRIVATE, STALE, VARIED
from benchmarks.shells import FIELDS, PATH, fresh_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders import Fields
    from benchmarks.shells import App, Request, Shell

    Layers = dict[str, dict[str, Any]]

OTHER_ETAG = '"another"'
# So few that every miss evicts, on our side and in the dict.
FEW = 256


def observed(sample_ratio: float) -> Layers:
    """Settings with every observer on, exporting into memory."""
    return {
        "timing": {"enabled": True},
        "memory": {"enabled": True},
        "tracing": {"enabled": True, "sample_ratio": sample_ratio},
        "exporter": {"kind": "memory"},
    }


NO_CACHE: Layers = {"cache": {"enabled": False}}
QUIET: Layers = {
    "timing": {"enabled": False},
    "memory": {"enabled": False},
    "tracing": {"enabled": False},
    "exporter": {"kind": "none"},
}


@dataclass(frozen=True)
class Plan:
    """One case. `status` and `says` (in Cache-Status) are what the suite must answer.

    `control` and `more` are fields of the response, `asked` is the request's
    If-None-Match. `bars_us` are what it may add over the bare app, on ASGI and WSGI. `most` bounds
    the entries; `emptied` has the caches emptied before each slice, outside the timed part.
    `renewing` has somebody else fetch the entry anew all the time.
    """

    name: str
    title: str
    layers: Layers
    status: int = 200
    says: str = ""
    bars_us: dict[str, float] = field(default_factory=dict)
    new_keys: bool = False
    asked: str = ""
    control: str = FRESH
    more: Fields = ()
    renewing: bool = False
    in_dict: bool = False
    most: int = MOST_KEPT
    emptied: bool = False


STORED = "fwd=uri-miss; stored"
MISS_BARS = {"asgi": 15.0, "wsgi": 15.0}
STALE_BARS = {"asgi": 15.0, "wsgi": 15.0}
VARIED_BARS = {"asgi": 4.0, "wsgi": 3.0}
HIT_BARS = {"asgi": 2.5, "wsgi": 1.5}
OBSERVED_HIT_BARS = {"asgi": 6.5, "wsgi": 5.5}

PLANS = (
    Plan("hit", "hit", QUIET, says="hit", bars_us=HIT_BARS, in_dict=True),
    Plan(
        "varied",
        "hit, two Vary fields, three tags",
        QUIET,
        says="hit",
        bars_us=VARIED_BARS,
        more=VARIED,
    ),
    Plan("304", "hit answered 304", QUIET, status=304, says="hit", asked=ETAG),
    Plan("other-tag", "hit, 200 for another tag", QUIET, says="hit", asked=OTHER_ETAG),
    Plan(
        "stale",
        "stale while revalidated",
        QUIET,
        says="hit; ttl=-",
        bars_us=STALE_BARS,
        control=STALE,
        renewing=True,
    ),
    Plan(
        "miss",
        "miss, stored",
        QUIET,
        says=STORED,
        bars_us=MISS_BARS,
        new_keys=True,
        in_dict=True,
        emptied=True,
    ),
    Plan(
        "evict",
        "miss that evicts",
        QUIET,
        says=STORED,
        bars_us=MISS_BARS,
        new_keys=True,
        in_dict=True,
        most=FEW,
    ),
    Plan("pass", "uncacheable", QUIET, says='detail="no-store"', control=PRIVATE),
    Plan("observed-0", "observed, 0 % traced", {**observed(0.0), **NO_CACHE}),
    Plan("observed-10", "observed, 10 % traced", {**observed(0.1), **NO_CACHE}),
    Plan("observed-100", "observed, 100 % traced", {**observed(1.0), **NO_CACHE}),
    Plan("observed-hit", "hit, 10 % traced", observed(0.1), says="hit", bars_us=OBSERVED_HIT_BARS),
)
CASE_NAMES = tuple(plan.name for plan in PLANS)


@dataclass(frozen=True)
class Contender:
    """An app by the name of what is round it; `reset` empties its cache."""

    name: str
    app: App
    reset: Callable[[], None]


class Case:
    """A plan on one shell, its contenders made, warmed up and checked."""

    def __init__(self, plan: Plan, shell: Shell) -> None:
        self.plan = plan
        self.shell = shell
        url = f"memory://?max_entries={plan.most}"
        self._suite = Suite(None, drivers={"memory": url}, **plan.layers)
        self.contenders = self._made()
        self.check()

    def requests(self, number: int) -> list[Request]:
        """So many requests, none sharing an object with another."""
        asked = self.plan.asked
        fields = (*FIELDS, ("if-none-match", asked)) if asked else FIELDS
        make, new = self.shell.request, self.plan.new_keys
        return [make(fresh_path() if new else PATH, fields) for _ in range(number)]

    def check(self) -> None:
        """Raise `RuntimeError` where the suite does not answer as the plan says."""
        suite_app = self.contenders[-1].app
        self.shell.ask(suite_app, self.shell.request(PATH, FIELDS))
        if self.plan.renewing:
            self._renew_without_end()
        reply = self.shell.ask(suite_app, self.requests(1)[0])
        said = reply.fields.get("cache-status", "")
        if reply.status != self.plan.status or self.plan.says not in said:
            raise RuntimeError(f"{self.shell.name} {self.plan.name}: got {reply}")
        if self._suite.faults.counts:
            raise RuntimeError(f"{self.plan.name}: faults {dict(self._suite.faults.counts)}")

    def _renew_without_end(self) -> None:
        cache = self._suite.responses
        fleet = cache.flights
        for key in list(self._suite.driver("cache")._cache):  # type: ignore[union-attr]
            leader = ASGIExchange({"headers": []}, "GET", 0.0)
            fleet.board(key, (0, ()), cache.tags.clock, leader, alone=False)

    def close(self) -> None:
        """End what the suite began."""
        self._suite.close()

    def _made(self) -> tuple[Contender, ...]:
        plan, shell = self.plan, self.shell
        bare = shell.app(plan.control, plan.more)
        made = [Contender("bare", bare, _nothing)]
        if plan.in_dict:
            kept = shell.in_dict(bare, plan.most)
            made.append(Contender("dict", kept, kept.shelf.clear))
        driver = self._suite.driver("cache")
        empty = getattr(driver, "clear", _nothing)
        made.append(Contender("suite", shell.wrap(self._suite, bare), empty))
        return tuple(made)


def _nothing() -> None:
    """A bare app keeps nothing."""
