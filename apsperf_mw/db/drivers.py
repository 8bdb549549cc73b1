"""How the connections of each driver tell of their transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# What SQLite never does, but says no to in other words while a statement is active.
NEVER, IDLE = "VACUUM INTO NULL", "non-text filename"
READ_COMMITTED = frozenset({"READ COMMITTED", "READ_COMMITTED"})


class Driver(NamedTuple):
    """Of one driver's connections.

    `begun` tells whether a transaction is open, None where it cannot be told; `level` gives its
    isolation level, an empty text where it is the server's usual one. `apart` is whether the schema
    is asked for on a connection of its own; `late` whether a write outside of a transaction that
    returns rows is committed only once they are fetched. `held` tells whether a cursor with rows
    left has the connection see what was there when that was opened, and nothing later.
    """

    begun: Callable[[Any], bool | None]
    level: Callable[[Any], str]
    apart: bool
    late: bool = False
    held: Callable[[Any], bool] = lambda _: False

    def sees_now(self, connection: Any, usual: Callable[[], str]) -> bool:
        """Whether each statement of a transaction sees what was committed before it."""
        return (self.level(connection) or usual()).upper() in READ_COMMITTED


def sqlite(connection: Any) -> bool:
    """A file's or a memory's."""
    return bool(connection.in_transaction)


def sqlite_held(connection: Any) -> bool:
    """Whether a statement of sqlite3's connection is active.

    In WAL mode such a one keeps its snapshot, outside of transactions too. Where what SQLite says
    leaves it open, as in a transaction, the word is whether it refuses to undo a collation; to undo
    one has every statement of the connection compiled anew, which takes far longer.
    """
    try:
        connection.execute(NEVER)
    except connection.Error as fault:
        if fault.args[:1] == (IDLE,):
            return False
    return _keeps_collation(connection)


def _keeps_collation(connection: Any) -> bool:
    try:
        connection.create_collation("apsperf", _equal)
        connection.create_collation("apsperf", None)
    except connection.Error:
        return True
    return False


def _equal(*_: str) -> int:
    return 0


def aiosqlite(connection: Any) -> bool:
    """The same, in a thread of its own."""
    return bool(connection._connection.in_transaction)


def psycopg(connection: Any) -> bool:
    """psycopg's, plain or wrapped by SQLAlchemy; `connection.info` takes ten times longer."""
    try:
        pgconn = connection.pgconn
    except AttributeError:
        pgconn = connection._connection.pgconn
    return bool(pgconn.transaction_status != 0)


def psycopg_level(connection: Any) -> str:
    """The level that was set for psycopg's connection."""
    plain = getattr(connection, "_connection", connection)
    level = plain.isolation_level
    return "" if level is None else str(level.name)


def psycopg2(connection: Any) -> bool:
    """Its predecessor's."""
    return int(connection.get_transaction_status()) != 0


def psycopg2_level(connection: Any) -> str:
    """Its level; the numbers are the driver's."""
    return {2: "REPEATABLE READ", 3: "SERIALIZABLE"}.get(connection.isolation_level or 0, "")


def asyncpg(connection: Any) -> bool:
    """asyncpg's, as SQLAlchemy wraps it."""
    return connection._transaction is not None or connection._connection.is_in_transaction()


def asyncpg_level(connection: Any) -> str:
    """Its level."""
    return str(connection.isolation_level or "").replace("_", " ")


def untold(_: Any) -> None:
    """It cannot be told."""


def snapshot(_: Any) -> str:
    """A transaction sees what was there when it began."""
    return "SERIALIZABLE"


DRIVERS = {
    "pysqlite": Driver(sqlite, snapshot, apart=False, late=True, held=sqlite_held),
    "aiosqlite": Driver(aiosqlite, snapshot, apart=False),
    "psycopg": Driver(psycopg, psycopg_level, apart=True),
    "psycopg_async": Driver(psycopg, psycopg_level, apart=True),
    "psycopg2": Driver(psycopg2, psycopg2_level, apart=True),
    "asyncpg": Driver(asyncpg, asyncpg_level, apart=True),
}
OTHER = Driver(untold, snapshot, apart=True)


def driver_of(name: str) -> Driver:
    """How a driver's connections tell, by the name that SQLAlchemy has for it."""
    return DRIVERS.get(name, OTHER)
