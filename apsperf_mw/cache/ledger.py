"""What was purged in a store that others share, as this process knows it.

The store keeps a position for each thing that was purged; whoever reads an entry is told where the
positions stand, and asks for what is new. In doubt everything is purged: where the store has
forgotten (another generation, a floor), or where a name does not parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from apsperf_mw.cache.epoch import ALONE, Epoch
from apsperf_mw.cache.tags import Purge
from apsperf_mw.errors import SettingError
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apsperf_mw.cache.tags import Tags
    from apsperf_mw.drivers.versions import Versions

ALL = Purge(everything=True, hard=True)
FIELDS = {"tag": "tags", "url": "urls", "prefix": "prefixes"}
_decode = msgspec.msgpack.Decoder(tuple[str, bool, str]).decode


class Known(NamedTuple):
    """Where the positions of a generation stand."""

    generation: bytes
    position: int


class Ledger:
    """Keeps the tag clock in step with a store's versions.

    `known` is where they stood when it was last in step. `due` is when a store that is not asked
    each time is to be asked next, on the monotonic clock. `news` counts what the store has told of
    by itself; it is in step where it has `seen` as many.
    """

    def __init__(self, tags: Tags) -> None:
        self._tags = tags
        self._lock = Lock()
        self.known = Known(b"", 0)
        self.epoch = ALONE
        self.due = 0.0
        self.news = 0
        self.seen = 0

    def after(self, generation: bytes) -> int:
        """The position after which this process knows nothing of that generation."""
        known = self.known
        return known.position if generation == known.generation else 0

    def take(self, told: Versions) -> None:
        """Take in what the store tells of what came after `after`."""
        with self._lock:
            if told.generation != self.epoch.generation:
                # Nothing that began under another generation can be judged any more.
                base = self._tags.clock + 1
                self._tags.forget(base)
                self.epoch = Epoch(told.generation, base)
            elif told.position <= self.known.position:
                return  # another thread was told more
            base = self.epoch.base
            if told.floor > self.after(told.generation):
                self._tags.forget(base + told.floor)
            for name, position in sorted(told.bumps, key=lambda bump: bump[1]):
                self._tags.apply(purge_of(name), base + position)
            self._tags.advance(base + told.position)
            self.known = Known(told.generation, told.position)


def names_of(what: Purge) -> list[bytes]:
    """The purge as names of things, each by itself."""
    return [msgspec.msgpack.encode(part) for part in _parts(what)]


def _parts(what: Purge) -> Iterator[tuple[str, bool, str]]:
    yield from (("tag", what.hard, tag) for tag in what.tags)
    yield from (("url", what.hard, url) for url in what.urls)
    yield from (("prefix", what.hard, prefix) for prefix in what.prefixes)
    if what.everything:
        yield ("all", what.hard, "")


def purge_of(name: bytes) -> Purge:
    """The purge of one name; of everything, where it does not parse."""
    try:
        kind, hard, text = _decode(name)
        if kind == "all":
            return Purge(everything=True, hard=hard)
        return Purge(**{FIELDS[kind]: (text,)}, hard=hard).check()  # type: ignore[arg-type]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, SettingError):
        return ALL
