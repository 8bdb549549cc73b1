"""How rows of one kind are written: by COPY, or by a statement of many values."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Text,
    Unicode,
    UnicodeText,
    Uuid,
    bindparam,
    insert,
    update,
)

from apsperf_mw.db.copying import Unwritable, copy
from apsperf_mw.db.drivers import driver_of
from apsperf_mw.db.following import wrote
from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

    Row = Mapping[str, Any]

INSERT, UPDATE, UPSERT = "insert", "update", "upsert"
# What stands before the names of an update's parameters: SQLAlchemy keeps columns' own for itself.
KEY, VALUE = "apsperf_key_", "apsperf_new_"
# The types whose values COPY takes as a statement does.
KINDS: dict[type, frozenset[type]] = {
    **dict.fromkeys((Integer, BigInteger, SmallInteger), frozenset({int})),
    **dict.fromkeys((String, Text, Unicode, UnicodeText), frozenset({str})),
    Numeric: frozenset({Decimal}),
    Float: frozenset({float}),
    Boolean: frozenset({bool}),
    Date: frozenset({date}),
    DateTime: frozenset({datetime}),
    Uuid: frozenset({UUID}),
    LargeBinary: frozenset({bytes}),
}
# Fewer rows are not worth a COPY.
LEAST_COPIED = 50


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Have a savepoint be within a transaction.

    sqlite3 begins none before a SAVEPOINT, and the release of it would commit. Where each statement
    is committed by itself, so is what is written here.
    """
    driver: Any = connection.connection.dbapi_connection
    single = commits_each(driver) and driver_of(connection.dialect.driver).begun(driver) is False
    lite = connection.dialect.name == "sqlite"
    if single or (lite and getattr(driver, "in_transaction", True) is False):
        connection.exec_driver_sql("BEGIN")
    try:
        yield
    except BaseException:
        if single:
            connection.exec_driver_sql("ROLLBACK")
        raise
    if single:
        connection.exec_driver_sql("COMMIT")


def commits_each(driver: Any) -> bool:
    """Whether a driver's connection commits each statement by itself."""
    return getattr(driver, "autocommit", None) is True or (
        hasattr(driver, "in_transaction") and getattr(driver, "isolation_level", "") is None
    )


def write(connection: Connection, kind: tuple[Any, ...], rows: list[dict[str, Any]]) -> None:
    """Write rows of one kind."""
    verb, table, key, _ = kind
    if verb == INSERT and copied(connection, table, rows):
        return
    if verb == INSERT:
        connection.execute(insert(table), rows)
    elif verb == UPDATE:
        connection.execute(changed(table, key, rows[0]), [keyed(row, key) for row in rows])
    else:
        connection.execute(upserted(connection.dialect.name, table, key, rows[0]), rows)


def copied(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> bool:
    """Whether the rows went by COPY."""
    if connection.dialect.name != "postgresql" or len(rows) < LEAST_COPIED:
        return False
    if any(column.default is not None and column.key not in rows[0] for column in table.columns):
        return False  # which Python has to make
    if connection.get_execution_options().get("schema_translate_map"):
        return False
    columns = [table.columns[name] for name in rows[0]]
    if not all(fits(column.type, [row[column.key] for row in rows]) for column in columns):
        return False
    processors = [each.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
                  for each in columns]  # fmt: skip
    quote = connection.dialect.identifier_preparer
    names = ", ".join(quote.quote(each.name) for each in columns)
    values = [tuple(row.values()) for row in rows]
    for at, process in enumerate(processors):
        if process is not None:
            values = [(*row[:at], process(row[at]), *row[at + 1 :]) for row in values]
    try:
        statement = f"COPY {quote.format_table(table)} ({names}) FROM STDIN"
        copy(connection, statement, table.fullname, [each.name for each in columns], values)
    except Unwritable:
        return False
    wrote(connection, f"INSERT INTO {quote.format_table(table)} DEFAULT VALUES")
    return True


def fits(kind: Any, values: list[Any]) -> bool:
    """Whether a column's values are written by COPY as by a statement: plain ones of its type."""
    allowed = KINDS.get(type(kind))
    if allowed is None:
        return False
    types = set(map(type, values)) - {type(None)}
    if type(kind) is DateTime:
        aware = {value.tzinfo is not None for value in values if value is not None}
        return types <= allowed and aware <= {bool(kind.timezone)}
    return types <= allowed


def changed(table: Table, key: tuple[str, ...], row: Row) -> Any:
    """The statement that changes the rows of a key."""
    made = update(table)
    for name in key:
        made = made.where(table.columns[name] == bindparam(f"{KEY}{name}"))
    return made.values({name: bindparam(f"{VALUE}{name}") for name in row if name not in key})


def keyed(row: dict[str, Any], key: tuple[str, ...]) -> dict[str, Any]:
    """The row with the names that `changed` has for the key."""
    return {(KEY if name in key else VALUE) + name: value for name, value in row.items()}


def upserted(dialect: str, table: Table, key: tuple[str, ...], row: Row) -> Any:
    """The statement that puts rows in the place of others."""
    made: Any
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as make
    elif dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as make  # type: ignore[assignment]
    else:
        raise SettingError(f"upsert: a database of {dialect}; accepted: PostgreSQL and SQLite")
    made = make(table)
    changes = {name: made.excluded[name] for name in row if name not in key}
    if not changes:
        return made.on_conflict_do_nothing(index_elements=list(key))
    return made.on_conflict_do_update(index_elements=list(key), set_=changes)
