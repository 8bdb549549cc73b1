"""What the transactions of wrapped DB-API connections read and write, and when they end.

Whether a transaction is open is told by the driver, which knows it without asking the database.
Nothing is sent on the app's own connection, but that one to SQLite is asked once which file it
has open. What is not understood voids everything.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from apsperf_mw.cache.policy import current
from apsperf_mw.db.busy import Busy
from apsperf_mw.db.facts import (
    ALTERS_SCHEMA,
    ANY,
    COMMITS,
    OPAQUE,
    ROLLS_BACK,
    SCHEMA,
    Facts,
)
from apsperf_mw.db.guesses import guessed, is_own, may_alter
from apsperf_mw.db.kept import Kept
from apsperf_mw.db.kinds import kind_of
from apsperf_mw.db.links import Link, estrange, hear, is_strange
from apsperf_mw.db.plain import MOST_CHARACTERS
from apsperf_mw.db.sights import Sights
from apsperf_mw.db.transactions import MOST_OPEN
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.db.tables import Tables

# What a transaction began at whose start was not seen, or which has read what it wrote itself.
NEVER = -1
_lock = Lock()


class Following:
    """Of the wrapped connections of one suite."""

    def __init__(self, tables: Tables) -> None:
        self._void = tables.void
        self._tags = tables.tags
        self._links: WeakValueDictionary[int, Link] = WeakValueDictionary()
        # Transactions that are open keep what is known of them, whoever lets go of a wrapper.
        self._open: dict[int, Link] = {}
        self._sights = Sights(tables)
        self._busy = Busy()
        self._lock = Lock()
        self.kept = Kept(tables, self)

    def link(self, real: Any, system: str) -> Link:
        """What is known of a connection, from now on."""
        kind = kind_of(real)
        sight, alone = self._sights.of(real, kind, system)
        with self._lock:
            found = self._links.get(id(real))
            if found is None or found.kind is not kind or found.sight is not sight:
                found = self._new(real, Link(id(real), kind, sight), found)
            found.wild = found.wild or not alone
            if kind.waits:
                hear(self, real, found)
        return found

    def _new(self, real: Any, link: Link, before: Link | None) -> Link:
        if before is not None:  # of a connection that is gone: its number is another's now
            self._ended(before)
        self._links[link.key] = link
        link.altered = is_strange(real)
        if link.kind.begun(real):  # with what was done before, of which nothing is known
            self._begin(link, fresh=False)
            link.writes = set(OPAQUE.writes) if link.kind.written(real) else None
        return link

    def before(self, link: Link, real: Any, statement: Any) -> tuple[Facts, int]:
        """A statement is about to be sent: its facts, and the tick of what it reads."""
        began = self.begin(link, real)
        facts = self.facts(link, real, statement)
        if facts.writes:
            link.writes = {*(link.writes or ()), *facts.writes}
        if (facts.does or ANY in facts.writes) and may_alter(facts, str(statement)):
            estrange(link, real)
        if facts.does & ALTERS_SCHEMA:
            self._alter(link)
        writes = link.writes
        if link.wild or (writes and not writes.isdisjoint(facts.reads)):
            began = NEVER
        plan = current.get()
        if plan is not None and facts.reads:
            plan.read(facts.reads, began)
        return facts, began

    def begin(self, link: Link, real: Any) -> int:
        """The tick of the transaction that is open, or that will be now."""
        begun = link.kind.begun(real)
        began = link.began
        if begun is False:
            if link.writes:
                self._ended(link)
            if not link.reading:
                began = None
        if began is None:
            return self._begin(link, fresh=begun is False or not link.kind.tells)
        return began

    def _begin(self, link: Link, *, fresh: bool) -> int:
        if link.sight is not None:
            link.sight.heed()
        if link.key not in self._open:
            if len(self._open) >= MOST_OPEN:
                self._forget()
            self._open[link.key] = link
        began = link.began = self._tags.clock if fresh else NEVER
        return began

    def after(self, link: Link, real: Any, facts: Facts) -> None:
        """It was sent, or failed."""
        if facts.writes:  # another thread may have ended the transaction meanwhile
            link.writes = {*(link.writes or ()), *facts.writes}
        elif not (link.writes or facts.does):
            return
        begun = link.kind.begun(real)
        if begun is False:
            self._ended(link)
        elif ANY in facts.writes or facts.does & (COMMITS | ROLLS_BACK):
            self.void(link)  # it may have committed, and have begun the next
        elif begun is None and facts.writes and not link.kind.tells:
            self.void(link)

    def around(
        self, link: Link, real: Any, run: Callable[..., Any], *given: Any, **named: Any
    ) -> Any:
        """Have something run that may end the transaction."""
        try:
            return run(*given, **named)
        finally:
            if link.kind.begun(real) is False:
                self._ended(link)
            else:
                self.void(link)

    def ending(
        self, link: Link, real: Any, run: Callable[..., Any], *given: Any, **named: Any
    ) -> Any:
        """Have the transaction ended; where that fails it may be open still."""
        with self._busy.committing(tuple(link.writes or ())):
            return self._end(link, real, partial(run, *given, **named))

    def _end(self, link: Link, real: Any, run: Callable[[], Any]) -> Any:
        done = False
        try:
            made = run()
            done = True
        finally:
            anew = done and link.kind.anew(real)
            if anew or (done and not link.kind.tells) or link.kind.begun(real) is False:
                self._ended(link)
            else:
                self.void(link)
            if anew:
                self._begin(link, fresh=not link.reading)
        return made

    def closing(self, link: Link, run: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Have the connection closed."""
        try:
            made = run(*given, **named)
        except BaseException:
            self.void(link)
            raise
        link.reading.clear()
        self._ended(link)
        return made

    def strange(
        self, link: Link, real: Any, run: Callable[..., Any], *given: Any, **named: Any
    ) -> Any:
        """Have something run of which nothing is known."""
        self.begin(link, real)
        estrange(link, real)
        link.writes = {*(link.writes or ()), *OPAQUE.writes}
        plan = current.get()
        if plan is not None:
            plan.read(OPAQUE.reads, NEVER)
        return self.around(link, real, run, *given, **named)

    def settle(self, link: Link, real: Any) -> None:
        """Heed that the transaction has ended, if it has."""
        if link.writes and link.kind.begun(real) is False:
            self._ended(link)

    def void(self, link: Link) -> None:
        """What it has written so far may be committed."""
        writes = link.writes
        if not writes:
            return
        sight = link.sight
        if SCHEMA in writes and sight is not None:
            sight.forget()
        self._void(writes)
        if sight is not None:
            sight.tell(writes)

    def _ended(self, link: Link) -> None:
        self.void(link)
        link.writes = None
        if not link.reading:
            link.began = None
            self._open.pop(link.key, None)

    def _alter(self, link: Link) -> None:
        link.writes = {*(link.writes or ()), SCHEMA}
        if link.sight is not None:
            link.sight.forget()

    def may_share(self, link: Link, facts: Facts) -> bool:
        """Whether what it reads now is what others read."""
        writes = link.writes
        strange = link.wild or link.altered
        return not strange and (not writes or writes.isdisjoint(facts.reads))

    def renew(self, connection: Any, transaction: Link) -> None:
        """Date a transaction anew that has not begun in the database yet."""
        self.begin(transaction, connection)

    def is_calm(self, tags: tuple[str, ...]) -> bool:
        """Whether nobody is about to commit something of these."""
        return self._busy.is_calm(tags)

    def facts(self, link: Link, real: Any, statement: Any) -> Facts:
        """A statement's facts, as far as they can be told on this connection."""
        text = link.kind.text(statement, real)
        if text is None:
            return OPAQUE
        if link.sight is None or not link.sight.reads:
            return guessed(text) if len(text) <= MOST_CHARACTERS else OPAQUE
        facts = link.sight.known.get(text)
        if facts is None:
            if link.writes and ANY in link.writes:
                facts = OPAQUE  # all is void at its end: what would be learned is not needed
            else:
                facts = link.sight.learn(text, self._tags.clock)
        if link.kind.lite and not link.wild and is_own(facts, text):
            link.wild = True
        if link.wild and (facts.writes or facts.does or not link.kind.lite):
            return Facts(OPAQUE.reads, OPAQUE.writes, does=facts.does)
        return facts

    def _forget(self) -> None:
        """Connections that were dropped without a word are too many."""
        for number, each in list(self._open.items()):
            if not each.writes:
                self._open.pop(number, None)
        if len(self._open) >= MOST_OPEN:
            self._open.clear()
            self._void(OPAQUE.writes)


def following_of(tables: Tables) -> Following:
    """Of all that is wrapped for these tables."""
    with _lock:
        found: Following = tables.wrapped or Following(tables)
        tables.wrapped = found
    return found
