"""What the transactions of Django's connections read and write, and when they end."""

from __future__ import annotations

import re
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from apsperf_django.apps import suite_made
from apsperf_django.fetched import counted
from apsperf_mw.cache.policy import current
from apsperf_mw.db.asking import asking, asking_apart
from apsperf_mw.db.drivers import Driver, snapshot, sqlite_held
from apsperf_mw.db.facts import OPAQUE
from apsperf_mw.db.rows import found_by, written_by
from apsperf_mw.db.seams import stand_in
from apsperf_mw.db.sharing import Sharing
from apsperf_mw.db.texts import Texts
from apsperf_mw.db.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.db.facts import Facts
    from apsperf_mw.db.notifying import Notifier
    from apsperf_mw.db.results import Entry
    from apsperf_mw.db.tables import Tables
    from apsperf_mw.db.transactions import Transaction

T = TypeVar("T")
PLACE = "the look at a database's schema"
# Places for values as Django writes them, for SQLite too.
PLACES = re.compile(r"%(?:\((\w+)\)s|s|%)")
ENDS = ("_commit", "_rollback")
_followings: dict[str, Following] = {}


def begun(connection: Any) -> bool:
    """Whether a transaction is open on a connection of Django's."""
    return bool(connection.in_atomic_block or not connection.autocommit)


def held(connection: Any) -> bool:
    """Whether a query set that is not read to its end holds a connection to what it saw first."""
    return connection.connection is not None and sqlite_held(connection.connection)


def level_of(connection: Any) -> str:
    """The isolation level of a connection to PostgreSQL, as the settings have it."""
    level = getattr(connection, "isolation_level", None)
    return str(getattr(level, "name", "") or level or "").replace("_", " ")


class Keys(NamedTuple):
    """A statement that is sent by keys, of a transaction that began at that tick.

    `params` are those of one that reads.
    """

    following: Following
    facts: Facts
    params: Any
    began: int

    def found(self, rows: int) -> Facts:
        """What it depends on, having found so many; a page does, too."""
        facts = self.facts if rows < 0 else found_by(self.facts, self.params, rows)
        plan = current.get()
        if plan is not None and facts.reads:
            self.following.noted(plan, facts.reads, self.began)
        return facts

    def run(self, execute: Callable[..., Any], *given: Any) -> Any:
        """Send it, and count its rows where that matters; the last given is Django's context."""
        count = -1
        try:
            sent = execute(*given)
            if self.params is not None and current.get() is not None:
                count = counted(given[-1]["cursor"])
            return sent
        finally:
            self.found(count)


class Following(Sharing[Transactions]):
    """Of all connections to one of Django's databases."""

    def __init__(self, vendor: str, tables: Tables) -> None:
        self._texts = Texts(vendor, tables.tags, rows=tables.rows)
        level = level_of if vendor == "postgresql" else snapshot
        is_sqlite = vendor == "sqlite"
        more: dict[str, Any] = {"late": True, "held": held} if is_sqlite else {}
        driver = Driver(begun, level, apart=not is_sqlite, **more)
        super().__init__(tables, Transactions(self._texts, tables.tags, driver, str))

    def before(self, text: str, connection: Any) -> Facts:
        """A statement is about to be sent; its facts, for `after`."""
        transaction = self.transactions.of(connection)
        facts = self._texts.known.get(text) or self._learn(text, connection, transaction.began)
        if (notifier := self.notifier(connection)) is not None:
            notifier.here()
        plan = current.get()
        if plan is not None and facts.reads and facts.keyed is None:
            plan.read(facts.reads, transaction.began)
        return facts

    def by_key(self, facts: Facts, connection: Any, params: Any, *, many: bool) -> Keys:
        """What such a statement with these parameters concerns, instead of all its table's rows."""
        transaction = self.transactions.of(connection)
        reads = facts.keyed is not None and facts.keyed.reads
        if not reads and (not many or isinstance(params, (list, tuple))):
            facts = written_by(facts, params, transaction.writes, many=many)
        return Keys(self, facts, params if reads and not many else None, transaction.began)

    def facts(self, text: str, connection: Any) -> tuple[Facts, Transaction]:
        """The facts of a text that may be sent, and the transaction in which it would be."""
        transaction = self.transactions.of(connection)
        self.notifier(connection)
        known = self._texts.known.get(text)
        if known is None:
            connection.ensure_connection()
            known = self._learn(text, connection, transaction.began)
        return known, transaction

    def given(self, found: Entry, connection: Any) -> None:
        """Rows that were kept are those of a query."""
        self.take(found)
        self.settle(connection)

    def settle(self, connection: Any) -> None:
        """Heed that no transaction is open."""
        if not begun(connection) and (void := self.transactions.ended(connection)):
            self.tables.void(void)

    def anything(self, connection: Any) -> None:
        """Something was sent of which nothing is known."""
        void = self.transactions.sent(OPAQUE, connection, self.transactions.of(connection))
        if void:
            self.tables.void(void)

    def after(self, facts: Facts, connection: Any, *, failed: bool) -> None:
        """A statement was sent, or has `failed`."""
        transactions = self.transactions
        if facts.writes or facts.does:
            void = transactions.sent(facts, connection, transactions.of(connection))
            if void:
                try:
                    self._tell(connection, void, failed=failed)
                finally:
                    self.tables.void(void)
        else:
            self.settle(connection)

    def _tell(self, connection: Any, void: set[str], *, failed: bool) -> None:
        notifier = self.notifier(connection)
        if notifier is not None and failed:
            notifier.tell_though(connection.connection, void)
        elif notifier is not None:
            with connection.wrap_database_errors:
                notifier.tell(connection.connection, void)

    def end(self, connection: Any, run: Callable[[], Any], *, commits: bool) -> Any:
        """Have a transaction end, and what it has written make void what was made of it."""
        if commits and (notifier := self.notifier(connection)) is not None:
            with connection.wrap_database_errors:
                self.transactions.tell(connection, connection.connection, notifier)
        return self.transactions.end(connection, run, self.tables.void)

    def notifier(self, connection: Any) -> Notifier | None:
        """What tells the other processes, which is made once."""
        if not self.tables.notify or connection.vendor != "postgresql":
            return None
        if self.ear is None:
            self.ear = self.tables.notifier(conninfo_of(connection))
        return self.ear

    def close(self, connection: Any, run: Callable[[], Any]) -> Any:
        """Have a connection closed; what it has not committed is rolled back."""
        self.transactions.gone(connection)
        return run()

    def _learn(self, text: str, connection: Any, tick: int) -> Facts:
        try:
            if self.transactions.driver.apart:
                reach, briefly = partial(opened, connection), connection.vendor == "postgresql"
                with asking_apart(reach, briefly=briefly) as ask:
                    return self._texts.learn(text, ask, self.tables.tags.clock)
            plain = PLACES.sub(place, text)
            found = self._texts.learn(plain, asking(connection.connection), tick)
            self._texts.known[text] = found
            return found
        except Exception as fault:
            self.tables.note(PLACE, fault)
            return OPAQUE


def place(found: re.Match[str]) -> str:
    """The same place, as SQLite has it."""
    if found[0] == "%%":
        return "%"
    return f":{found[1]}" if found[1] else "?"


def conninfo_of(connection: Any) -> str:
    """Where a connection of Django's to PostgreSQL leads."""
    from psycopg.conninfo import make_conninfo

    known = connection.settings_dict
    parts = {
        "dbname": "NAME",
        "user": "USER",
        "password": "PASSWORD",
        "host": "HOST",
        "port": "PORT",
    }
    return make_conninfo("", **{name: known[key] for name, key in parts.items() if known.get(key)})


def apart(connection: Any, work: Callable[[Any], T]) -> T:
    """What the work gives for a driver's connection to the same database that nobody else has."""
    with closing(opened(connection)) as other:
        return work(other)


def opened(connection: Any) -> Any:
    """A driver's connection to the same database; whoever asked for it closes it."""
    return connection.get_new_connection(connection.get_connection_params())


def follow(connection: Any) -> None:
    """Hear of the ends of a connection's transactions."""
    if "_apsperf_follows" not in vars(connection):
        connection._apsperf_follows = True
        places = {
            name: partial(_ended, connection, getattr(connection, name), commits=name == "_commit")
            for name in ENDS
        }
        places["_set_autocommit"] = partial(_switched, connection, connection._set_autocommit)
        stand_in(connection, {**places, "_close": partial(_closed, connection, connection._close)})


def _ended(connection: Any, run: Callable[[], Any], *, commits: bool) -> Any:
    following = following_of(connection)
    return run() if following is None else following.end(connection, run, commits=commits)


def _switched(connection: Any, run: Callable[..., Any], autocommit: bool) -> Any:
    """Have autocommit switched; a driver may commit then."""
    following = following_of(connection)
    if following is None:
        return run(autocommit)
    return following.end(connection, partial(run, autocommit), commits=bool(autocommit))


def _closed(connection: Any, run: Callable[[], Any]) -> Any:
    following = following_of(connection)
    return run() if following is None else following.close(connection, run)


def keeps_all() -> bool:
    """Whether rows are kept that nobody has asked to be."""
    suite = suite_made()
    tables = None if suite is None else suite.tables
    return tables is not None and tables.results.all_s > 0


def following_of(connection: Any) -> Following | None:
    """Of a connection's database; None before there is a suite, and where it wants none."""
    suite = suite_made()
    tables = None if suite is None else suite.tables
    if tables is None:
        return None
    found = _followings.get(connection.alias)
    if found is None or found.tables is not tables:
        found = _followings[connection.alias] = Following(connection.vendor, tables)
    return found
