"""What the app's lines load of a database and never look at: relations, and wide columns.

A load that is watched notes each look in the dictionaries of its objects, and is judged when the
last of these is gone: by then nobody can look any more. What is still held somewhere is not judged.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from sys import getrefcount
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, json

from apsperf_mw.observe.ids import random_bits
from apsperf_mw.observe.lines import event, safe
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.observe.channels import Channels

# Objects of one load that are watched at most: of more nothing is said.
MOST_OBJECTS = 1000
# Loads of a line that must have been in vain, and none of them not, before a word is said.
ENOUGH = 3
# What is remembered of lines, and verdicts that wait.
MOST_KNOWN = 1024
MOST_WAITING = 1024
# A column is wide where its values take so many bytes on average.
WIDE_BYTES = 1024


class Part(Struct, eq=False):
    """Something that a load has brought: a relation or a column, and what to type without it."""

    what: str
    fix: str
    rows: int = 0
    size_bytes: int = 0
    column: bool = False

    @property
    def counts(self) -> bool:
        """Whether leaving it out would be worth a word."""
        return not self.column or self.size_bytes >= WIDE_BYTES * max(self.rows, 1)


class Verdict(NamedTuple):
    """A load that is over: its line, its parts by their paths, and those that were looked at."""

    site: str
    parts: dict[str, Part]
    seen: set[str]


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


class Load:
    """What one statement has brought, for as long as anybody has one of its objects."""

    __slots__ = ("__weakref__", "_judge", "parts", "seen", "site")

    def __init__(self, site: str, judge: Callable[[Verdict], object]) -> None:
        self.site = site
        self.parts: dict[str, Part] = {}
        self.seen: set[str] = set()
        self._judge = judge

    def all_seen(self, below: str = "") -> None:
        """Whoever copies or lists what is there may look at all of it."""
        self.seen.update([each for each in list(self.parts) if each.startswith(below)])

    def forget(self) -> None:
        """Say nothing of it."""
        self.parts = {}

    def __del__(self) -> None:
        # Any thread may come here at any time, with any lock: it is told of later.
        if self.parts:
            self._judge(Verdict(self.site, self.parts, self.seen))


class Noted(dict[str, Any]):
    """A dictionary of an object's, as it was, which notes what is looked at."""

    __slots__ = ("_below", "_load")

    def __init__(self, own: dict[str, Any], load: Load, below: str = "") -> None:
        super().__init__(own)
        self._load = load
        self._below = below

    def __getitem__(self, name: str) -> Any:
        self._load.seen.add(self._below + name)
        return dict.__getitem__(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """As a dictionary's."""
        self._load.seen.add(self._below + name)
        return dict.get(self, name, default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """As a dictionary's."""
        self._load.seen.add(self._below + name)
        return dict.setdefault(self, name, default)

    def __iter__(self) -> Iterator[str]:
        # Only who finds this here asks for each value by its name, as `dict(...)` does.
        return dict.__iter__(self)

    def items(self) -> Any:
        """As a dictionary's."""
        self._load.all_seen(self._below)
        return dict.items(self)

    def values(self) -> Any:
        """As a dictionary's."""
        self._load.all_seen(self._below)
        return dict.values(self)

    def copy(self) -> dict[str, Any]:
        """As a dictionary's: a plain one."""
        return dict(self.items())

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __eq__(self, other: object) -> bool:
        self._load.all_seen(self._below)
        return dict.__eq__(self, other)

    __hash__ = None

    def __repr__(self) -> str:
        return repr(self.copy())

    def __reduce_ex__(self, _: Any) -> Any:
        return dict, (self.copy(),)


class Loads:
    """The loads of one suite that are watched: a share of all, drawn at random."""

    def __init__(self, channels: Channels, share: float) -> None:
        self._channels = channels
        self._below = round(share * (1 << 24))
        self._waiting: deque[Verdict] = deque(maxlen=MOST_WAITING)
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        # What has to be done now and then by who watches, and at the end.
        self.tidy: Callable[[], object] | None = None
        self.leave: Callable[[], object] | None = None

    def close(self) -> None:
        """Leave nothing behind of who watches."""
        self._below = 0
        if self.leave is not None:
            self.leave()

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
        if self.tidy is not None:
            self.tidy()
        while self._waiting:
            verdict = self._waiting.popleft()
            with self._lock:
                wasted = list(self._taken(verdict))
            for each in wasted:
                self._tell(each)

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


def size_of(value: object) -> int:
    """The bytes of a value that may be long, about as a database sends them; 0 of any other."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, memoryview):
        return value.nbytes
    if isinstance(value, bytes | bytearray):
        return len(value)
    if type(value) in {dict, list}:
        try:
            return len(json.encode(value))
        except (TypeError, ValueError, RecursionError):
            return 0
    return 0


class _Plain:
    """Has a dictionary that nobody else has."""

    def __init__(self) -> None:
        self.own = 1


_plain = _Plain()
ALONE = getrefcount(vars(_plain))


def is_shared(own: dict[str, Any]) -> bool:
    """Whether somebody else has an object's dictionary, which must stay the object's then."""
    return getrefcount(own) > ALONE + 1
