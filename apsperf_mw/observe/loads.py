"""What the app's lines load of a database and never look at: relations, and wide columns."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from apsperf_mw.observe.ids import random_bits
from apsperf_mw.observe.lines import event, safe
from apsperf_mw.observe.noted import Load, Part, Verdict
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apsperf_mw.observe.channels import Channels

# Loads of a line that must have been in vain, and none of them not, before a word is said.
ENOUGH = 3
# What is remembered of lines, and verdicts that wait.
MOST_KNOWN = 1024
MOST_WAITING = 1024


class Unused(Struct):
    """What a line has loaded so many times, and never looked at; the bytes are those of one load.

    The bytes are known of columns alone.
    """

    what: str
    site: str
    fix: str
    loads: int
    rows: int
    bytes_per_load: int

    def __str__(self) -> str:
        size = f", {self.bytes_per_load} bytes a load" if self.bytes_per_load else ""
        at = f" at {self.site}" if self.site else ""
        times = f"{self.loads} times{at} and never looked at{size}"
        return f"{safe(self.what)} was loaded {safe(times)}; {safe(self.fix)}"


class Known(Struct, eq=False):
    """What is known of one part of one line's loads."""

    part: Part
    used: bool = False
    loads: int = 0
    rows: int = 0
    size_bytes: int = 0

    def told(self, site: str) -> Unused:
        """As people are told."""
        times = self.loads
        size = self.size_bytes // times if self.part.column else 0
        return Unused(self.part.what, site, self.part.fix, times, self.rows // times, size)


class Watcher(Protocol):
    """Looks at what a mapper loads."""

    def tidy(self) -> None:
        """Take away what is there for loads that are over."""

    def leave(self) -> None:
        """Take away everything."""

    def renew(self) -> None:
        """A forked child begins: its locks may be held by threads that it has not."""


# Seconds between two looks at loads whose objects are gone.
TIDY_S = 5.0


class Loads:
    """The loads of one suite that are watched: a share of all, drawn at random."""

    def __init__(self, channels: Channels, share: float) -> None:
        self._channels = channels
        self._below = round(share * (1 << 24))
        self._waiting: deque[Verdict] = deque(maxlen=MOST_WAITING)
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        # Those who look at what mappers load.
        self.watchers: list[Watcher] = []

    def close(self) -> None:
        """Leave nothing behind of who watches."""
        self._below = 0
        for each in self.watchers:
            each.leave()
        self.watchers.clear()

    @property
    def wanted(self) -> bool:
        """Whether any load is watched."""
        return self._below > 0

    def drawn(self) -> bool:
        """Whether this one is."""
        return random_bits(24) < self._below

    def begin(self, site: str) -> Load:
        """Watch a load of this line."""
        return Load(site, self._waiting.append)

    def drain(self, _: object = None) -> None:
        """Take in what was judged, and tell what has been in vain for long enough."""
        for each in list(self.watchers):
            each.tidy()
        while (verdict := self._next()) is not None:
            with self._lock:
                wasted = list(self._taken(verdict))
            for unused in wasted:
                self._tell(unused)

    def unused(self) -> list[Unused]:
        """What was loaded in vain each time, the most bytes first."""
        with self._lock:
            told = [known.told(site) for (site, _), known in self._known.items() if is_bad(known)]
        return sorted(told, key=lambda each: (-each.bytes_per_load, -each.rows, each.what))

    def clear(self) -> None:
        """Forget everything: in a forked child it belongs to the parent."""
        self._lock = Lock()
        self._waiting.clear()
        self._known.clear()
        for each in self.watchers:
            each.renew()

    def _next(self) -> Verdict | None:
        try:
            return self._waiting.popleft()
        except IndexError:  # another thread may take them, too
            return None

    def _taken(self, verdict: Verdict) -> Iterator[Unused]:
        """What a verdict adds; of what is unused its parts go without saying."""
        site, parts, seen = verdict
        for path, part in parts.items():
            if not part.counts:
                continue
            known = self._of(site, part)
            if path in seen:
                known.used = True
            elif not is_below(path, parts, seen):
                known.loads += 1
                known.rows += part.rows
                known.size_bytes += part.size_bytes
                if is_bad(known):
                    yield known.told(site)

    def _of(self, site: str, part: Part) -> Known:
        key = site, part.what
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Known(part)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return known

    def _tell(self, unused: Unused) -> None:
        facts = {
            "what": unused.what,
            "count": unused.loads,
            "rows": unused.rows,
            "bytes_per_load": unused.bytes_per_load,
            "site": unused.site,
            "fix": unused.fix,
        }
        text = "unused load: {what} was loaded {count} times and never looked at"
        text += ", {bytes_per_load} bytes each" if unused.bytes_per_load else ""
        text += (" (at {site})" if unused.site else "") + "; {fix}"
        cause = f"{unused.site} {unused.what}"
        self._channels.tell(event("database", "unused_load", text, facts, cause=cause))


def is_bad(known: Known) -> bool:
    """Whether it was in vain often, and each time."""
    return known.loads >= ENOUGH and not known.used


def is_below(path: str, parts: dict[str, Part], seen: set[str]) -> bool:
    """Whether it hangs on a part that is unused itself."""
    pieces = path.split("__")
    above = ["__".join(pieces[:number]) for number in range(1, len(pieces))]
    return any(each in parts and each not in seen for each in above)
