"""PostgreSQL's COPY: rows as its text format has them, and how each driver sends them."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.util import await_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy.engine import Connection

    Rows = Sequence[tuple[Any, ...]]

_SPECIAL = re.compile(r"[\\\n\r\t]")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Unwritable(TypeError):
    """A value of a type whose text form is not known here."""


def text_of(value: str) -> str:
    """A text, with what would end a field or a row escaped."""
    if _SPECIAL.search(value):
        return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value)
    return value


FORMS: dict[type, Callable[[Any], str]] = {
    str: text_of,
    int: str,
    float: repr,
    bool: lambda value: "t" if value else "f",
    type(None): lambda _: "\\N",
    Decimal: str,
    UUID: str,
    date: date.isoformat,
    datetime: datetime.isoformat,
    time: time.isoformat,
    bytes: lambda value: "\\\\x" + value.hex(),
}


def lines_of(rows: Iterable[tuple[Any, ...]], encoding: str = "utf-8") -> bytes:
    """The rows, one a line. `Unwritable` for a value that has no form here."""
    forms = FORMS
    try:
        lines = ["\t".join([forms[type(value)](value) for value in row]) for row in rows]
    except KeyError as kind:
        raise Unwritable(kind.args[0].__qualname__) from None
    lines.append("")
    return "\n".join(lines).encode(encoding)


def copy(
    connection: Connection, statement: str, table: str, columns: list[str], rows: Rows
) -> None:
    """Send the rows by the connection's driver. `Unwritable` where it, or a value, cannot be."""
    driver: Any = connection.connection.driver_connection
    kind = type(driver).__module__.partition(".")[0]
    if kind == "asyncpg":
        schema, _, name = table.rpartition(".")
        named = {"columns": columns, "schema_name": schema or None}
        await_only(driver.copy_records_to_table(name, records=rows, **named))
    elif kind == "psycopg":
        data = lines_of(rows, driver.info.encoding)
        if connection.dialect.is_async:
            await_only(_copy_async(driver, statement, data))
        else:
            with driver.cursor() as cursor, cursor.copy(statement) as to:
                to.write(data)
    else:
        raise Unwritable(kind)


async def _copy_async(driver: Any, statement: str, data: bytes) -> None:
    async with driver.cursor() as cursor, cursor.copy(statement) as to:
        await to.write(data)
