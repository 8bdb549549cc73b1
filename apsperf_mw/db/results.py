"""Rows of statements, kept until a table that they were read of is written.

Rows are kept, not objects: each reader makes its own of them. An entry knows the tick at which its
transaction began; it is good while none of its tables' tags was purged since.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import Struct

from apsperf_mw.db.plain import MOMENTS
from apsperf_mw.db.turns import Turn, Turns
from apsperf_mw.errors import SettingError
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence

    from apsperf_mw.cache.tags import Tags
    from apsperf_mw.db.facts import Facts
    from apsperf_mw.drivers.base import LocalDriver
    from apsperf_mw.settings import Settings

    Rows = list[tuple[Any, ...]]

# The execution option, and what stands for the class of the settings.
OPTION = "apsperf_cache"
CLASSES = ("short", "medium", "long")
# What a value and a row take in memory, measured on CPython 3.11.
VALUE_BYTES, TEXT_BYTES, ROW_BYTES, ENTRY_BYTES = 32, 49, 56, 600
# A statement that nobody asks to be cached is, where it takes longer and comes again.
WORTH_S = 0.00005
MOST_SEEN = 8192
# Texts whose hits are counted.
MOST_TALLIES = 4096
# Equal values of these are the same to a database, and nobody can change them.
PLAIN = frozenset({str, int, bool, bytes, type(None), UUID, date})
SAFE = PLAIN | {float, Decimal, datetime, time, timedelta}


class Tally(Struct, eq=False, gc=False):
    """How often rows of a statement's were there."""

    text: str
    hits: int = 0


class Entry(Struct, eq=False, gc=False):
    """Rows that are kept, and what their columns are.

    `copied` is whether they hold what a reader could change, so that each gets a copy.
    """

    rows: Rows
    columns: Any
    reads: tuple[str, ...]
    began: int
    until: float
    copied: bool
    tally: Tally

    def own(self) -> Rows:
        """Rows for one reader."""
        return deepcopy(self.rows) if self.copied else self.rows


class Counts(Struct):
    """What came of the statements that might have been answered from the cache.

    `bypasses` were asked for and could not be: their tables are being written, or the transaction
    sees what was there before.
    """

    hits: int = 0
    misses: int = 0
    stores: int = 0
    bypasses: int = 0


class Asked(Struct, eq=False):
    """A statement whose rows are to be kept for so long; `worth` is whether it must be worth it.

    While it is sent for others too, `turn` is set. `text` is what is sent, where that is known.
    """

    key: Any
    ttl_s: float
    worth: bool
    turn: Turn | None = None
    text: str = ""


class Results:
    """Of one suite, in this process.

    `look`, or what `alook` gives to await, brings the tags in step with the other processes; None
    where there are none.
    """

    def __init__(
        self,
        settings: Settings,
        driver: LocalDriver,
        tags: Tags,
        look: Callable[[], None] | None,
        alook: Callable[[], Awaitable[None]] | None,
    ) -> None:
        database = settings.database
        self.counts = Counts()
        self.look = look
        self.alook = alook
        self.all_s = class_s(database.query_ttl, settings) if database.cache_all else 0.0
        self._usual_s = class_s(database.query_ttl, settings)
        self._classes_s = {name: class_s(name, settings) for name in CLASSES}
        self._driver = driver
        self._find = driver.find
        self._tags = tags
        self._most_bytes = database.query_cache_limit * 1024
        self._seen: dict[Hashable, None] = {}
        self.tallies: dict[str, Tally] = {}
        self._turns = Turns()
        self.patience_s = settings.cache.patience_s
        self._lock = Lock()
        # Rows that were read before the other processes were heard of are not kept.
        self._since = 0 if look is None else None

    def asked(self, engine: int, statement: str, parameters: Any, option: Any) -> Asked | None:
        """What an execution option asks for; None where the rows are not to be kept.

        `option` is a class, seconds, True for the class of the settings, or False; None leaves it
        to `cache_all`. `SettingError` for anything else.
        """
        if option is False or (option is None and not self.all_s):
            return None
        values = key_of(parameters)
        if values is None:
            return None
        ttl_s = self.all_s if option is None else self._seconds(option)
        text = statement if type(statement) is str else ""
        return Asked((engine, statement, values), ttl_s, option is None, None, text)

    def find(self, asked: Asked) -> Entry | None:
        """What is kept and good, as far as is known here."""
        slot = self._find(asked.key)
        if slot is None or type(found := slot.value) is not Entry:
            return None
        now, tags = monotonic(), self._tags
        if found.until <= now:
            return None
        if found.began != tags.clock and not tags.good(found.reads, found.began):
            return None
        slot.hits += 1
        slot.used = now
        return found

    def keep(
        self, asked: Asked, facts: Facts, began: int, took_s: float, columns: Any, rows: Rows
    ) -> None:
        """Keep rows whose transaction began at that tick, where that is worth it and they fit."""
        if self._since is None or began < self._since:
            return
        if asked.worth and not self._is_worth_it(asked.key, took_s):
            return
        try:
            size, copied = weigh(rows, self._most_bytes)
            if size > self._most_bytes:
                return
            until, tally = monotonic() + asked.ttl_s, self._tally(asked.text)
            entry = Entry(rows, columns, facts.reads, began, until, copied, tally)
            if copied:
                entry.rows = entry.own()
        except Exception:
            return  # what cannot be copied is not kept
        if self._driver.keep(asked.key, entry, size, asked.ttl_s, took_s):
            self.counts.stores += 1

    def heard(self) -> None:
        """The tags are in step with the other processes: what they have purged before is not told.

        So what was read until the first time may be void already.
        """
        if self._since is None:
            if self.alook is None:  # else the ticks are the store's
                self._tags.purge(())
            self._since = self._tags.clock

    def lead(self, asked: Asked) -> Callable[[Callable[[], None]], None] | None:
        """Nothing where the caller is to send the statement; else what tells when another has."""
        turn, own = self._turns.take(asked.key)
        if not own:
            return turn.join
        asked.turn = turn
        return None

    def land(self, asked: Asked) -> None:
        """The statement was sent, or not."""
        turn, asked.turn = asked.turn, None
        if turn is not None:
            self._turns.leave(asked.key, turn)

    def _tally(self, text: str) -> Tally:
        """Whose hits are those of a text; past so many texts, of all others."""
        found = self.tallies.get(text)
        if found is None:
            name = text if len(self.tallies) < MOST_TALLIES else ""
            found = self.tallies.setdefault(name, Tally(name))
        return found

    def _seconds(self, option: Any) -> float:
        if option is True:
            return self._usual_s
        if isinstance(option, str) and (known := self._classes_s.get(option)) is not None:
            return known
        if isinstance(option, int | float) and option > 0 and isfinite(option):
            return float(option)
        accepted = "short, medium, long, seconds above 0, True or False"
        raise SettingError(f"{OPTION}: {option!r} given; accepted: {accepted}")

    def _is_worth_it(self, key: Hashable, took_s: float) -> bool:
        """Whether it takes long enough, and was wanted before."""
        if took_s < WORTH_S:
            return False
        with self._lock:
            if key in self._seen:
                return True
            if len(self._seen) >= MOST_SEEN:
                self._seen.clear()
            self._seen[key] = None
        return False


def class_s(name: str, settings: Settings) -> float:
    """The seconds of a class."""
    return float(getattr(settings.ttl, name))


def key_of(parameters: Any) -> Hashable | None:
    """Parameters as part of a key: the same only where they are the same to a database."""
    values: Iterable[Any] = parameters.values() if type(parameters) is dict else parameters or ()
    parts: list[Any] = []
    for value in values:
        kind = type(value)
        if kind is str and MOMENTS.search(value):
            return None  # it may be taken for a date
        if kind in PLAIN:
            parts += (kind, value)
        elif kind in SAFE or is_number(kind):
            parts += (kind, repr(value))
        else:
            return None
    if type(parameters) is dict:
        parts += parameters
    return tuple(parts)


def is_number(kind: type) -> bool:
    """Whether values of this type are a driver's numbers of a certain width."""
    return kind.__module__.startswith("psycopg") and issubclass(kind, int | float | Decimal)


def weigh(rows: Sequence[tuple[Any, ...]], most: int) -> tuple[int, bool]:
    """The bytes that rows take, and whether somebody could change what is in them."""
    size, copied = ENTRY_BYTES, False
    for row in rows:
        size += ROW_BYTES
        for value in row:
            kind = type(value)
            if kind is str or kind is bytes:
                size += TEXT_BYTES + len(value)
            elif kind in SAFE:
                size += VALUE_BYTES
            else:
                copied = True
                size += len(repr(value)) + TEXT_BYTES
        if size > most:
            break
    return size, copied
