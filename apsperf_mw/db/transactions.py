"""What an engine's transactions read and write, and what is void once they have ended.

A reader notes the tick before its transaction's first statement; whoever writes purges the tables'
tags after the commit. So whatever was read before a commit is older than its purge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.db.busy import Busy
from apsperf_mw.db.facts import (
    ALTERS_SCHEMA,
    ALTERS_SESSION,
    ALTERS_TRANSACTION,
    COMMITS,
    ROLLS_BACK,
    SCHEMA,
    Facts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.cache.tags import Tags
    from apsperf_mw.db.drivers import Driver
    from apsperf_mw.db.notifying import Notifier
    from apsperf_mw.db.texts import Texts

    Void = Callable[[Iterable[str]], object]

# Past so many transactions those are forgotten that have not written anything.
MOST_OPEN = 10_000
IN_ERROR = 3  # libpq's PQTRANS_INERROR


class Transaction(Struct, eq=False):
    """One that is open, or that will be with its next statement.

    `began` is the tick before its first statement; `altered` tells that the session is not as
    others are, so that what it reads is not what they read.
    """

    began: int
    writes: set[str] | None = None
    altered: bool = False


class Transactions:
    """Of one engine, by the numbers of its connections."""

    def __init__(self, texts: Texts, tags: Tags, driver: Driver, usual: Callable[[], str]) -> None:
        self.texts = texts
        self.tags = tags
        self.driver = driver
        self.usual = usual
        self.open: dict[int, Transaction] = {}
        self.altered: dict[int, None] = {}
        self.busy = Busy()

    def of(self, connection: object) -> Transaction:
        """The connection's."""
        key = id(connection)
        found = self.open.get(key)
        if found is None:
            if len(self.open) >= MOST_OPEN:  # of connections that were dropped without a word
                for number in [each for each, found in self.open.items() if not found.writes]:
                    self.open.pop(number, None)
            self.texts.heed()
            found = self.open[key] = Transaction(self.tags.clock, None, key in self.altered)
        return found

    def is_new(self, connection: object) -> bool:
        """Whether nothing is noted of the connection: neither a transaction, nor its session."""
        key = id(connection)
        return key not in self.open and key not in self.altered

    def sent(self, facts: Facts, connection: object, transaction: Transaction) -> set[str] | None:
        """A statement that writes, or does something else, was sent: what is void already."""
        if facts.does:
            self._alter(facts.does, connection, transaction)
        if facts.writes:
            transaction.writes = {*(transaction.writes or ()), *facts.writes}
        begun = self.driver.begun(connection)
        if not begun and begun is not None:
            return self.ended(connection)
        if facts.does & (COMMITS | ROLLS_BACK):
            return self.ended(connection)
        return transaction.writes if begun is None else None

    def _alter(self, does: int, connection: object, transaction: Transaction) -> None:
        if does & (ALTERS_SESSION | ALTERS_TRANSACTION):
            transaction.altered = True
        if does & ALTERS_SESSION:
            self.altered[id(connection)] = None
        if does & ALTERS_SCHEMA:
            self.texts.forget()
            transaction.writes = {*(transaction.writes or ()), SCHEMA}

    def ended(self, connection: object) -> set[str] | None:
        """Its transaction has ended: the tags of what it may have written, whichever way.

        Also of one that was rolled back: what was made of its own rows meanwhile never was.
        """
        found = self.open.pop(id(connection), None)
        if found is None or not found.writes:
            return None
        if SCHEMA in found.writes:
            self.texts.forget()
        return found.writes

    def end(self, connection: object, run: Callable[[], Any], void: Void) -> Any:
        """Have its transaction end by `run`, and have `void` hear of what it may have written."""
        found = self.open.get(id(connection))
        if found is None or not found.writes:
            self.open.pop(id(connection), None)
            return run()
        with self.busy.committing(found.writes):
            try:
                return run()
            finally:
                void(self.ended(connection) or ())

    def tell(self, connection: object, driver: Any, notifier: Notifier) -> None:
        """Have a transaction that is about to be committed tell the other processes itself.

        `driver` is the driver's own connection. One that has failed is rolled back by its commit.
        """
        found = self.open.get(id(connection))
        info = getattr(driver, "info", None)
        failed = getattr(info, "transaction_status", None) == IN_ERROR
        if found is not None and found.writes and not failed:
            notifier.tell(driver, found.writes)

    def may_share(self, facts: Facts, transaction: Transaction) -> bool:
        """Whether what is read now may be kept for others, or read by them before."""
        writes = transaction.writes
        return not transaction.altered and (not writes or writes.isdisjoint(facts.reads))

    def renew(self, connection: Any, transaction: Transaction) -> None:  # noqa: ARG002
        """Date a transaction anew that has not begun in the database yet."""
        transaction.began = self.tags.clock

    def is_idle(self, connection: Any) -> bool:
        """Whether the connection's transaction has not begun in the database yet."""
        return self.driver.begun(connection) is False

    def sees_now(self, connection: Any) -> bool:
        """Whether the next statement of a transaction sees what is committed by then."""
        return self.driver.sees_now(connection, self.usual)

    def is_late(self, facts: Facts, connection: Any) -> bool:
        """Whether a write that was sent may be committed only once its rows are fetched."""
        return self.driver.late and bool(facts.writes) and not self.driver.begun(connection)

    def is_calm(self, tags: tuple[str, ...]) -> bool:
        """Whether nobody is about to commit something of these."""
        return self.busy.is_calm(tags)

    def gone(self, connection: object) -> None:
        """The connection is closed."""
        self.open.pop(id(connection), None)
        self.altered.pop(id(connection), None)
