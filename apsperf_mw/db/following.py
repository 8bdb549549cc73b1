"""SQLAlchemy's transactions: what their statements read and write, and when they end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from msgspec import Struct
from sqlalchemy.util import await_only

from apsperf_mw.cache.policy import current
from apsperf_mw.db.asking import asking, asking_apart
from apsperf_mw.db.buffers import Buffered, Unsent, fetch, may_hold
from apsperf_mw.db.doors import opened
from apsperf_mw.db.drivers import driver_of
from apsperf_mw.db.engines import is_in_memory, notifier_of, number_of
from apsperf_mw.db.facts import OPAQUE, Facts
from apsperf_mw.db.results import OPTION, Asked
from apsperf_mw.db.rows import found_by, written_by
from apsperf_mw.db.seams import stand_in
from apsperf_mw.db.sharing import Sharing
from apsperf_mw.db.texts import Texts
from apsperf_mw.db.transactions import Transaction, Transactions
from apsperf_mw.runtime.loop import Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.engine import Connection, Engine

    from apsperf_mw.db.results import Entry
    from apsperf_mw.db.sharing import Join
    from apsperf_mw.db.tables import Tables

ENDS, CLOSES = ("do_commit", "do_rollback"), ("do_close", "do_terminate")
PLACE = "the look at a database's schema"
_followings: WeakKeyDictionary[Any, list[Following]] = WeakKeyDictionary()


class Step(Struct, eq=False):
    """A statement that is being sent; `asked` where its rows are to be kept.

    `keys` are the parameters of one that reads by keys: what it depends on is known once its rows
    are.
    """

    facts: Facts
    connection: Any
    transaction: Transaction
    context: Any = None
    asked: Asked | None = None
    keys: Any = None


# Instead of one: the rows were there, and the statement need not be sent.
HIT = Step(OPAQUE, None, Transaction(0))


class Following(Sharing[Transactions]):
    """Of one engine's transactions."""

    def __init__(self, engine: Engine, tables: Tables) -> None:
        dialect = engine.dialect
        self.texts = Texts(dialect.name, tables.tags, rows=tables.rows)
        transactions = Transactions(
            self.texts,
            tables.tags,
            driver_of(dialect.driver),
            lambda: str(getattr(dialect, "default_isolation_level", "")),
        )
        super().__init__(tables, transactions)
        self._known, self._open = self.texts.known, transactions.open
        self._plan = current.get
        # What the engine keeps alive must not keep the engine alive.
        self._engine = ref(engine)
        self._all = tables.results.all_s > 0
        self._is_async = dialect.is_async
        self._briefly = dialect.name == "postgresql"
        self._in_memory = is_in_memory(engine)
        self._void = self._avoid if dialect.is_async else tables.void
        self.ear = notifier_of(engine, tables)
        places = {
            name: self._ending(getattr(dialect, name), commits=name == "do_commit") for name in ENDS
        }
        places |= {name: self._closing(getattr(dialect, name)) for name in CLOSES}
        self._undo = stand_in(dialect, places)
        _followings.setdefault(dialect, []).append(self)

    def leave(self) -> None:
        """Follow no more."""
        self._undo()
        for each in list(_followings.values()):
            if self in each:
                each.remove(self)
        if self.ear is not None:
            self.ear.close()

    def before(self, statement: str, context: Any, given: tuple[Any, ...] | None) -> Step | None:
        """A statement is about to be sent; `given` are its parameters and the context.

        What `after` wants to hear of, None, or `HIT`. Where `given` is None nothing is taken from
        the cache.
        """
        connection = context.root_connection._dbapi_connection.dbapi_connection
        transaction = self._open.get(id(connection)) or self.transactions.of(connection)
        facts = self._known.get(statement) or self.learn(statement, connection, transaction)
        if self.ear is not None:
            self.ear.here()
        plan = self._plan()
        if facts.keyed is not None and given:
            if not facts.keyed.reads:
                facts = written_by(facts, given[0], transaction.writes, many=context.executemany)
            elif may_hold(context):
                step = Step(facts, connection, transaction, context, None, given[0])
                return self._by_key(step, statement, given)
        if plan is not None and facts.reads:
            plan.read(facts.reads, transaction.began)
        if given is not None and (self._all or OPTION in context.execution_options):
            step = Step(facts, connection, transaction, context)
            return self._through_cache(step, statement, given)
        if facts.writes or facts.does:
            return Step(facts, connection, transaction, context)
        return None

    def _by_key(self, step: Step, statement: str, given: tuple[Any, ...]) -> Step | None:
        """As the rest of `before`, for a read that may depend on some rows alone."""
        sent = None
        if self._all or OPTION in step.context.execution_options:
            sent = self._through_cache(step, statement, given)
        return step if sent is None and self._plan() is not None else sent

    def wrote(self, connection: Any, statement: str) -> None:
        """What such a statement would write was written in a way that is not heard."""
        transaction = self.transactions.of(connection)
        facts = self._known.get(statement) or self.learn(statement, connection, transaction)
        void = self.transactions.sent(facts, connection, transaction)
        if void:
            self._void(void)

    def learn(self, statement: str, connection: Any, transaction: Transaction) -> Facts:
        """The facts of a text that is not known yet; all is possible where they cannot be told."""
        try:
            if self.transactions.driver.apart:
                with asking_apart(self._reach, briefly=self._briefly) as ask:
                    return self.texts.learn(statement, ask, self.tables.tags.clock)
            return self.texts.learn(statement, asking(connection), transaction.began)
        except Exception as fault:
            self.tables.note(PLACE, fault)
            return OPAQUE

    def after(self, step: Step, cursor: Any, took_s: float | None) -> None:
        """A statement was sent; `took_s` is None where that failed."""
        facts, asked = step.facts, step.asked
        if asked is not None:
            try:
                if took_s is not None and (columns := cursor.description) is not None:
                    self._keep(step, asked, cursor, columns, took_s)
                elif step.keys is not None:
                    self._found(step, None)
            finally:
                self.results.land(asked)
        elif step.keys is not None:
            self._count(step, cursor, took_s)
        elif facts.writes or facts.does:
            try:
                if took_s is not None and self.transactions.is_late(facts, step.connection):
                    fetch(step.context, cursor)
            finally:
                self._sent(step, failed=took_s is None)

    def _sent(self, step: Step, *, failed: bool) -> None:
        void = self.transactions.sent(step.facts, step.connection, step.transaction)
        if void:
            try:
                if self.ear is not None:
                    (self.ear.tell_though if failed else self.ear.tell)(step.connection, void)
            finally:
                self._void(void)

    def _through_cache(self, step: Step, statement: str, given: tuple[Any, ...]) -> Step | None:
        context, facts = step.context, step.facts
        if not facts.fixed or not may_hold(context):
            return step if facts.writes or facts.does else None
        option = context.execution_options.get(OPTION)
        number = number_of(context) if self._in_memory else self.number
        asked = self.results.asked(number, statement, given[0], option)
        if asked is None:
            return None
        if not self.transactions.may_share(facts, step.transaction):
            self.results.counts.bypasses += 1
            return None
        step.asked = asked
        idle = self.transactions.is_idle(step.connection)
        if not idle and not self.transactions.sees_now(step.connection):
            self.results.counts.bypasses += 1
        elif (found := self.find(asked, step.connection, step.transaction, idle=idle)) is not None:
            self._give(found, context)
            return HIT
        else:
            self.results.counts.misses += 1
        return step

    def _wait(self, join: Join) -> None:
        """As `Sharing`'s, without holding the event loop."""
        if self._is_async:
            await_only(Waits().wait(join, self.results.patience_s))
        else:
            super()._wait(join)

    def _hear(self) -> None:
        if self._is_async and self.results.alook is not None:
            await_only(self.results.alook())
        else:
            super()._hear()

    def _give(self, found: Entry, context: Any) -> None:
        """Have the rows that were kept be those of the statement."""
        self.take(found)
        columns, count = found.columns
        context.cursor = Unsent(context.cursor, columns, count)
        context.cursor_fetch_strategy = Buffered(columns, found.own())
        if self._is_async:
            await_only(_nothing())  # SQLAlchemy wants to see that something was awaited

    def _keep(self, step: Step, asked: Asked, cursor: Any, columns: Any, took_s: float) -> None:
        """Keep the rows; who has sent the statement gets them all the same."""
        known, rows = self._fetched(step, cursor, columns)
        facts = step.facts if step.keys is None else self._found(step, len(rows))
        if not self.transactions.driver.held(step.connection):
            self.results.keep(asked, facts, step.transaction.began, took_s, known, rows)

    def _fetched(self, step: Step, cursor: Any, columns: Any) -> tuple[Any, Any]:
        count, rows = cursor.rowcount, cursor.fetchall()
        step.context.cursor_fetch_strategy = Buffered(columns, rows)
        return (columns, count), rows

    def _count(self, step: Step, cursor: Any, took_s: float | None) -> None:
        """Have a page depend on the rows of a statement, if there is one for each of its keys."""
        count = None
        try:
            if took_s is not None and (columns := cursor.description) is not None:
                count = len(self._fetched(step, cursor, columns)[1])
        finally:
            self._found(step, count)

    def _found(self, step: Step, count: int | None) -> Facts:
        """What a read by keys depends on, having found so many rows; so does a page."""
        facts = step.facts if count is None else found_by(step.facts, step.keys, count)
        plan = self._plan()
        if plan is not None:
            self.noted(plan, facts.reads, step.transaction.began)
        return facts

    def _ending(self, end: Callable[[Any], Any], *, commits: bool) -> Callable[[Any], Any]:
        def ended(connection: Any) -> Any:
            plain = getattr(connection, "dbapi_connection", connection)
            if commits and self.ear is not None:
                self.transactions.tell(plain, plain, self.ear)
            return self.transactions.end(plain, partial(end, connection), self._void)

        return ended

    def _closing(self, close: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def closed(connection: Any) -> Any:
            self.transactions.gone(connection)
            return close(connection)

        return closed

    def _reach(self) -> Any:
        """A connection that nobody else has."""
        engine = self._engine()
        assert engine is not None
        return opened(engine)

    def _avoid(self, tags: Iterable[str]) -> None:
        await_only(self.tables.avoid(tags))


def wrote(connection: Connection, statement: str) -> None:
    """Tell whoever follows a connection of what such a statement would write."""
    plain = connection.connection.dbapi_connection
    for each in list(_followings.get(connection.dialect, ())):
        each.wrote(plain, statement)


async def _nothing() -> None:
    pass
