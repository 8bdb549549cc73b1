"""Which drivers' connections are understood once they are wrapped, and how far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# libpq's PQTRANS_UNKNOWN: the connection is bad.
BAD = 4
# What may be called on a cursor and a connection without anything being written or ended.
CURSOR = frozenset(
    (
        *("fetchone", "fetchmany", "fetchall", "close", "setinputsizes", "setoutputsize"),
        *("mogrify", "row_factory"),
    )
)
LITE = frozenset(
    (
        *("create_function", "create_aggregate", "create_window_function", "create_collation"),
        *("set_authorizer", "set_progress_handler", "set_trace_callback", "interrupt"),
        *("getlimit", "setlimit", "getconfig", "row_factory", "text_factory"),
    )
)
PSYCOPG_CURSOR = CURSOR | {"nextset", "scroll"}
PSYCOPG = frozenset(
    (
        *("cancel", "cancel_safe", "fileno", "xid", "notifies", "row_factory", "cursor_factory"),
        *("add_notice_handler", "remove_notice_handler", "add_notify_handler"),
        *("remove_notify_handler", "server_cursor_factory"),
    )
)
# What may end a transaction and writes nothing.
PSYCOPG_TURNS = frozenset(
    (
        *("set_autocommit", "set_isolation_level", "set_read_only", "set_deferrable"),
        *("tpc_begin", "tpc_recover"),
    )
)


class Kind(NamedTuple):
    """Of one driver.

    `begun` tells whether a transaction is open, None where that is not known, as in a pipeline;
    `tells` is whether it ever is, `anew` whether the end of one begins the next, `written` whether
    one that is open may have written. `calm` and `calm_cursor` are what may be called without a
    thought, `turns` what may end a transaction. `text` gives a statement's text. `lite` is SQLite,
    `waits` whether all that is sent goes through a method `wait`.
    """

    name: str
    begun: Callable[[Any], bool | None]
    tells: bool
    anew: Callable[[Any], bool]
    written: Callable[[Any], bool]
    text: Callable[[Any, Any], str | None]
    calm: frozenset[str] = frozenset()
    calm_cursor: frozenset[str] = CURSOR
    turns: frozenset[str] = frozenset()
    lite: bool = False
    waits: bool = False


def sqlite_begun(connection: Any) -> bool | None:
    """SQLite's own word; None of a connection that is closed."""
    try:
        return bool(connection.in_transaction)
    except Exception:
        return None


def sqlite_anew(connection: Any) -> bool:
    """As of Python 3.12, where `autocommit` is False."""
    return getattr(connection, "autocommit", None) is False


def sqlite_written(connection: Any) -> bool:
    """Whether it has changed a row yet."""
    return bool(connection.total_changes)


def psycopg_begun(connection: Any) -> bool | None:
    """What libpq says, which is behind in a pipeline."""
    pgconn = connection.pgconn
    if pgconn.pipeline_status:
        return None
    status = pgconn.transaction_status
    return None if status == BAD else status != 0


def psycopg_text(statement: Any, connection: Any) -> str | None:
    """The text of what psycopg takes: text, bytes, or a composition."""
    if type(statement) is str:
        return statement
    try:
        if isinstance(statement, bytes):
            return statement.decode()
        return str(statement.as_string(connection))
    except Exception:
        return None


def text(statement: Any, _: Any) -> str | None:
    """The text of what any driver takes."""
    return statement if isinstance(statement, str) else None


def untold(_: Any) -> None:
    """It is not known."""


def no(_: Any) -> bool:
    """It is not so."""
    return False


def yes(_: Any) -> bool:
    """It may be so."""
    return True


SQLITE3 = Kind(
    "sqlite3", sqlite_begun, True, sqlite_anew, sqlite_written, text, calm=LITE, lite=True
)
PSYCOPG3 = Kind(
    *("psycopg", psycopg_begun, True, no, yes, psycopg_text, PSYCOPG, PSYCOPG_CURSOR),
    turns=PSYCOPG_TURNS,
    waits=True,
)
OTHER = Kind("", untold, False, no, no, text)
KINDS = {"sqlite3": SQLITE3, "psycopg": PSYCOPG3}


def kind_of(connection: object) -> Kind:
    """How a driver's connection is understood, by the modules of its class."""
    for each in type(connection).__mro__:
        if found := KINDS.get(each.__module__.partition(".")[0]):
            return found
    return OTHER
