"""What the transactions of wrapped DB-API connections read and write, and when they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.policy import current
from apsperf_mw.db.asking import asking
from apsperf_mw.db.drivers import OTHER, Driver, psycopg, psycopg2, snapshot, sqlite
from apsperf_mw.db.facts import OPAQUE
from apsperf_mw.db.texts import Texts
from apsperf_mw.db.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.db.facts import Facts
    from apsperf_mw.db.tables import Tables

PLACE = "the look at a database's schema"
# By the modules of drivers.
DRIVERS = {
    "sqlite3": Driver(sqlite, snapshot, apart=False),
    "psycopg": Driver(psycopg, snapshot, apart=False),
    "psycopg2": Driver(psycopg2, snapshot, apart=False),
}


class Following:
    """Of one wrapped connection. Its schema is asked for on the connection itself."""

    def __init__(self, connection: Any, module: str, system: str, tables: Tables) -> None:
        self._connection = connection
        self._tables = tables
        self._texts = Texts(system, tables.tags)
        driver = DRIVERS.get(module, OTHER)
        self._transactions = Transactions(self._texts, tables.tags, driver, str)

    def before(self, text: str) -> Facts:
        """A statement is about to be sent; its facts, for `after`."""
        self.settle()  # one that has ended in a way that is not seen from here
        transaction = self._transactions.of(self._connection)
        facts = self._texts.known.get(text) or self._learn(text, transaction.began)
        plan = current.get()
        if plan is not None and facts.reads:
            plan.read(facts.reads, transaction.began)
        return facts

    def after(self, facts: Facts) -> None:
        """It was sent, or failed."""
        transactions, connection = self._transactions, self._connection
        if facts.writes or facts.does:
            void = transactions.sent(facts, connection, transactions.of(connection))
            if void:
                self._tables.void(void)
        else:
            self.settle()

    def end(self, run: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Have the transaction end, and what it has written make void what was made of it."""
        return self._transactions.end(
            self._connection, lambda: run(*given, **named), self._tables.void
        )

    def settle(self) -> None:
        """Heed that the transaction has ended, if it has."""
        transactions = self._transactions
        if transactions.driver.begun(self._connection) is False:
            void = transactions.ended(self._connection)
            if void:
                self._tables.void(void)

    def _learn(self, text: str, tick: int) -> Facts:
        try:
            return self._texts.learn(text, asking(self._connection), tick)
        except Exception as fault:
            self._tables.note(PLACE, fault)
            return OPAQUE
