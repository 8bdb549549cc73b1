"""SQLAlchemy's transactions: what their statements read and write, and when they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from apsperf_mw.cache.policy import current
from apsperf_mw.db.drivers import driver_of
from apsperf_mw.db.facts import OPAQUE
from apsperf_mw.db.seams import stand_in
from apsperf_mw.db.texts import Texts
from apsperf_mw.db.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.engine import Engine

    from apsperf_mw.db.facts import Facts
    from apsperf_mw.db.tables import Tables
    from apsperf_mw.db.transactions import Transaction

    Step = tuple[Facts, Any, Transaction]

ENDS, CLOSES = ("do_commit", "do_rollback"), ("do_close", "do_terminate")
PLACE = "the look at a database's schema"


class Following:
    """Of one engine's transactions."""

    def __init__(self, engine: Engine, tables: Tables) -> None:
        dialect = engine.dialect
        self.texts = Texts(dialect.name, tables.tags)
        self.transactions = Transactions(
            self.texts,
            tables.tags,
            driver_of(dialect.driver),
            lambda: str(getattr(dialect, "default_isolation_level", "")),
        )
        self._known, self._open = self.texts.known, self.transactions.open
        # What the engine keeps alive must not keep the engine alive.
        self._engine = ref(engine)
        self._tables = tables
        self._void = self._avoid if dialect.is_async else tables.void
        places = {name: self._ending(getattr(dialect, name)) for name in ENDS}
        places |= {name: self._closing(getattr(dialect, name)) for name in CLOSES}
        self._undo = stand_in(dialect, places)

    def leave(self) -> None:
        """Follow no more."""
        self._undo()

    def before(self, statement: str, more: tuple[Any, ...], named: dict[str, Any]) -> Step | None:
        """A statement is about to be sent, `more` and `named` being what a dialect is given.

        What `after` wants to hear of, or None.
        """
        context = named.get("context") if named else more[-1]
        if context is None:
            return None
        connection = context.root_connection._dbapi_connection.dbapi_connection
        transaction = self._open.get(id(connection)) or self.transactions.of(connection)
        facts = self._known.get(statement) or self.learn(statement, connection, transaction)
        if facts.reads and (plan := current.get()) is not None:
            plan.read(facts.reads, transaction.began)
        return (facts, connection, transaction) if facts.writes or facts.does else None

    def learn(self, statement: str, connection: Any, transaction: Transaction) -> Facts:
        """The facts of a text that is not known yet; all is possible where they cannot be told."""
        try:
            if self.transactions.driver.apart:
                return self.texts.learn(statement, self._ask_apart, self._tables.tags.clock)
            return self.texts.learn(statement, asking(connection), transaction.began)
        except Exception as fault:
            self._tables.note(PLACE, fault)
            return OPAQUE

    def after(self, facts: Facts, connection: Any, transaction: Transaction) -> None:
        """A statement that does more than read was sent."""
        void = self.transactions.sent(facts, connection, transaction)
        if void:
            self._void(void)

    def _ending(self, end: Callable[[Any], Any]) -> Callable[[Any], Any]:
        transactions = self.transactions

        def ended(connection: Any) -> Any:
            plain = getattr(connection, "dbapi_connection", connection)
            found = transactions.open.get(id(plain))
            if found is None or not found.writes:
                transactions.open.pop(id(plain), None)
                return end(connection)
            with transactions.committing(found.writes):
                try:
                    return end(connection)
                finally:
                    self._void(transactions.ended(plain) or ())

        return ended

    def _closing(self, close: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def closed(connection: Any) -> Any:
            self.transactions.gone(connection)
            return close(connection)

        return closed

    def _ask_apart(self, question: str) -> list[tuple[Any, ...]]:
        """Ask on a connection that nobody else has: a question that fails spoils nothing."""
        engine = self._engine()
        assert engine is not None
        connection = engine.pool._invoke_creator(None)  # type: ignore[arg-type]
        try:
            return asking(connection)(question)
        finally:
            connection.close()

    def _avoid(self, tags: Iterable[str]) -> None:
        from sqlalchemy.util import await_only

        await_only(self._tables.avoid(tags))


def asking(connection: Any) -> Callable[[str], list[tuple[Any, ...]]]:
    """Ask a DB-API connection."""

    def ask(question: str) -> list[tuple[Any, ...]]:
        cursor = connection.cursor()
        try:
            cursor.execute(question)
            rows = cursor.fetchall()
        finally:
            cursor.close()
        return [tuple(row.values()) if hasattr(row, "values") else tuple(row) for row in rows]

    return ask
