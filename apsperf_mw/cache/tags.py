"""What was purged, and when: a purge is a stamp, never a scan.

Every entry knows the tick at which its request began; what was purged after it is not good. A
response that is being made while it is purged is so never stored as good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from apsperf_mw.cache.checks import is_text
from apsperf_mw.cache.keys import LONGEST, fold_host
from apsperf_mw.errors import SettingError
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.keys import Key

T = TypeVar("T")

# Past so many purged tags or URLs everything is purged at once and the tables start anew.
MOST_STAMPS = 100_000
# As well as past so many prefixes, each of which older entries are compared with.
MOST_PREFIXES = 256


class Stamp(NamedTuple):
    """The ticks of the last purge, and of the last hard one."""

    last: int
    hard: int


NEVER = Stamp(0, 0)


class Place(NamedTuple):
    """Part of a URL, as purges name it; an empty scheme and host stand for any."""

    scheme: str
    host: str
    path: str
    query: str


class Purge(NamedTuple):
    """What to purge: entries with one of the tags, of the URLs, below the prefixes, or all.

    Soft, they are asked about before they are used again; `hard`, they are never used.
    """

    tags: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    everything: bool = False
    hard: bool = False

    def check(self) -> Purge:
        """Itself; `SettingError` for a tag or a URL that cannot be, or where nothing is named."""
        if not (self.tags or self.urls or self.prefixes or self.everything):
            raise SettingError("purge: nothing named; accepted: tags, urls, prefixes or everything")
        for tag in self.tags:
            if not is_text(tag):
                raise SettingError(f"purge: tag {tag!r} given; accepted: non-empty strings")
        for url in (*self.urls, *self.prefixes):
            place_of(url)
        return self


# Stands for every URL that is too long to be kept as text.
LONG = Place("", "", "", "")


def _kept(place: Place) -> Place:
    return LONG if len(place.path) + len(place.query) > LONGEST else place


def place_of(url: str) -> Place:
    """The part of a URL that a purge names: absolute, or a path for any host."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
    except (ValueError, TypeError, AttributeError):
        parts = urlsplit("")
    if not parts.path.startswith("/") or bool(parts.scheme) != bool(parts.netloc):
        raise SettingError(f"purge: URL {url!r} given; accepted: http://host/path or /path")
    host = fold_host(parts.netloc, parts.scheme) if parts.netloc else ""
    return Place(parts.scheme.lower(), host, parts.path, parts.query)


class Tags:
    """A clock that ticks at each purge, and the tick of each thing's last purge.

    `swept` is the tick of the last purge that may concern entries without tags: whoever began
    after it need not be looked at for one.
    """

    def __init__(self, most: int = MOST_STAMPS) -> None:
        self._lock = Lock()
        self._most = most
        self._stamps: dict[str | Place, Stamp] = {}
        self._prefixes: dict[Place, Stamp] = {}
        self._floor = NEVER
        self.clock = 0
        self.swept = 0

    def purge(self, tags: Iterable[str]) -> None:
        """Make what carries one of these tags and began before now not good any more."""
        self.apply(Purge(tuple(tags)))

    def apply(self, what: Purge, at: int | None = None) -> None:
        """Make the entries that are named and began before now, or that tick, not good any more."""
        with self._lock:
            clock = self.clock + 1 if at is None else at
            for tag in what.tags:
                self._mark(self._stamps, tag, clock, hard=what.hard)
            for url in what.urls:
                self._mark(self._stamps, _kept(place_of(url)), clock, hard=what.hard)
            for prefix in what.prefixes:
                self._mark(self._prefixes, place_of(prefix), clock, hard=what.hard)
            crowded = len(self._stamps) > self._most or len(self._prefixes) > MOST_PREFIXES
            if what.everything or crowded:
                self._raise_floor(clock, hard=what.hard or crowded)
            if what.urls or what.prefixes or what.everything or crowded:
                self.swept = clock
            self.clock = max(self.clock, clock)

    def forget(self, before: int) -> None:
        """Nothing is known of what was purged before that tick: what began earlier is not good."""
        with self._lock:
            if before > self._floor.last:
                self._raise_floor(before, hard=True)
                self.swept = max(self.swept, before)
                self.clock = max(self.clock, before)

    def advance(self, clock: int) -> None:
        """Whoever begins from now on has begun at that tick."""
        with self._lock:
            self.clock = max(self.clock, clock)

    def good(self, tags: tuple[str, ...], began: int) -> bool:
        """Whether what began at that tick is untouched by purges of its tags and of everything."""
        if self._floor.last > began:
            return False
        stamps = self._stamps
        for tag in tags:  # noqa: SIM110 - a generator would take twice as long
            if tag in stamps and stamps[tag].last > began:
                return False
        return True

    def spares(self, key: Key, entry: Entry) -> bool:
        """Whether nothing that names the entry was purged since its request began."""
        if not self.good(entry.tags, entry.began):
            return False
        return entry.began >= self.swept or self._last(key, entry).last <= entry.began

    def dead(self, key: Key, entry: Entry) -> bool:
        """Whether the entry was purged for good, and may not even be asked about."""
        return self._last(key, entry).hard > entry.began

    def _mark(self, stamps: dict[T, Stamp], name: T, clock: int, *, hard: bool) -> None:
        before = stamps.get(name, NEVER)
        stamps[name] = Stamp(clock, clock if hard else before.hard)

    def _raise_floor(self, clock: int, *, hard: bool) -> None:
        self._floor = Stamp(clock, clock if hard else self._floor.hard)
        if hard:
            self._stamps = {}
            self._prefixes = {}

    def _last(self, key: Key, entry: Entry) -> Stamp:
        """The latest ticks of all that names the entry."""
        found = [self._floor]
        stamps = self._stamps
        if stamps:
            found += [stamps[tag] for tag in entry.tags if tag in stamps]
        if entry.began < self.swept:
            found += self._of_place(key)
        return found[0] if len(found) == 1 else Stamp(*map(max, zip(*found, strict=True)))

    def _of_place(self, key: Key) -> Iterable[Stamp]:
        if len(key) != 6:  # too long to be kept as text: every prefix might be its own
            return (self._stamps.get(LONG, NEVER), *self._prefixes.values())
        scheme, host, root, path, raw, query = (str(part) for part in key)
        found = []
        ways = _ways(root, path, raw)
        # Of either scheme: behind a proxy the app sees another one than the client.
        places = (("http", host), ("https", host), (scheme, host), ("", ""))
        for way in ways:
            for place in places:
                stamp = self._stamps.get(Place(*place, way, query))
                if stamp is not None:
                    found.append(stamp)
        for prefix, stamp in list(self._prefixes.items()):
            here = (prefix.scheme, prefix.host) in places
            if here and any(way.startswith(prefix.path) for way in ways):
                found.append(stamp)
        return found


def _ways(root: str, path: str, raw: str) -> set[str]:
    """The forms in which a path may be named; a WSGI server shows it without its mount point."""
    from urllib.parse import quote

    return {raw, path, root + path, quote(root + path, errors="surrogateescape")}
