"""What is known of a statement before it is sent: the tables it reads and writes, and its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.cache.policy import EVERY_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.db.rows import Keyed

# The first is carried by whatever was made of any table, and purged where a statement may have
# written anything; the second where it is not known of which tables, and purged by every write.
ANY, UNKNOWN = EVERY_TABLE
# Purged where tables themselves are made, altered or dropped.
SCHEMA = "table:schema"

# What a statement does beside reading and writing; a transaction or session that is altered sees
# other rows than those that are not.
BEGINS, COMMITS, ROLLS_BACK, ALTERS_SESSION, ALTERS_SCHEMA, ALTERS_TRANSACTION = 1, 2, 4, 8, 16, 32


class Facts(Struct, frozen=True):
    """Of one statement's text.

    `reads` are the tags of what it depends on, `writes` those that are void once it is committed.
    `fixed` is whether the same tables give the same rows, to anybody and at any time. `keyed` says
    how fewer are told by its parameters, where that is wanted.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    fixed: bool = False
    does: int = 0
    keyed: Keyed | None = None


def tag(table: str) -> str:
    """A table's tag."""
    return f"table:{table}"


def reads_of(tables: Iterable[str]) -> tuple[str, ...]:
    """The tags of what was read of these tables; nothing where it was of none."""
    tags = sorted(map(tag, tables))
    return (ANY, *tags) if tags else ()


def writes_of(tables: Iterable[str]) -> tuple[str, ...]:
    """The tags that a write of these tables makes void."""
    tags = sorted(map(tag, tables))
    return (UNKNOWN, *tags) if tags else ()


# Of a statement of which nothing is known.
OPAQUE = Facts(EVERY_TABLE, EVERY_TABLE)
