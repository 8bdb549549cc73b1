"""What a statement gets of rows that another was sent for, whatever has it sent."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from apsperf_mw.cache.policy import Plan, current
from apsperf_mw.db import rows
from apsperf_mw.runtime.step import step
from apsperf_mw.runtime.threads import Waits

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.db.notifying import Notifier
    from apsperf_mw.db.results import Asked, Entry
    from apsperf_mw.db.tables import Tables

    Join = Callable[[Callable[[], None]], None]

LOOK = "the look at what other processes have written"
numbers = count()


class Commits(Protocol):
    """What is asked of transactions."""

    def renew(self, connection: Any, transaction: Any) -> None:
        """Date one anew that has not begun in the database yet."""
        ...

    def is_calm(self, tags: tuple[str, ...]) -> bool:
        """Whether nobody is about to commit something of these."""
        ...


CommitsT = TypeVar("CommitsT", bound=Commits)


class Sharing(Generic[CommitsT]):
    """Of one database's statements; blocks where it waits."""

    def __init__(self, tables: Tables, transactions: CommitsT) -> None:
        self.tables = tables
        self.results = tables.results
        self.transactions = transactions
        # How what was read is noted for a page.
        self.noted = rows.read if tables.rows else Plan.read
        self._alone = tables.results.look is None and tables.results.alook is None
        # Part of the keys: what one database answers is not another's.
        self.number = next(numbers)
        self.ear: Notifier | None = None

    def find(
        self,
        asked: Asked,
        connection: Any,
        transaction: Any,
        *,
        idle: bool,
        waits: bool = True,
    ) -> Entry | None:
        """What is kept and good, here and in the other processes.

        `idle` is a transaction that has not begun in the database: it is dated anew; None is one of
        which nothing is noted yet. Where the caller `waits`, there may be something because another
        has just sent the statement; if there is nothing then, the caller may have become the one
        whom others wait for.
        """
        if not self._look():
            return None
        if idle and transaction is not None:
            self.transactions.renew(connection, transaction)
        found = self.results.find(asked)
        # In a transaction nobody waits: whoever is waited for may wait for this very transaction.
        if found is None and idle and waits:
            join = self.results.lead(asked)
            if join is None:
                return None
            self._wait(join)
            found = self.results.find(asked) if self._look() else None
        if found is None or not self.transactions.is_calm(found.reads):
            return None
        return found

    def take(self, found: Entry) -> None:
        """Note that rows which were kept are those of a statement."""
        self.results.counts.hits += 1
        found.tally.hits += 1
        plan = current.get()
        if plan is not None and found.reads:
            self.noted(plan, found.reads, found.began)

    def _look(self) -> bool:
        """Hear what other processes have written; False where that cannot be told."""
        if self.ear is not None and not self.ear.hears():
            return False
        if self._alone:
            return True
        try:
            self._hear()
        except Exception as fault:
            self.tables.note(LOOK, fault)
            return False
        self.results.heard()
        return True

    def _hear(self) -> None:
        if self.results.look is not None:
            self.results.look()

    def _wait(self, join: Join) -> None:
        """Until another has sent the statement, or for so long."""
        step(Waits().wait(join, self.results.patience_s))
