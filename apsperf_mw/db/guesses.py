"""What a statement may do, by its words alone."""

from __future__ import annotations

from functools import lru_cache

from apsperf_mw.db.facts import ALTERS_SESSION, ALTERS_TRANSACTION, ANY, OPAQUE, UNKNOWN, Facts
from apsperf_mw.db.plain import verbs_of, words_of

# First words of statements that only read, whatever the database.
READS = frozenset({"SELECT", "SHOW", "DESCRIBE", "EXPLAIN", "VALUES"})
# Words of those that do more.
MORE = frozenset({"into", "analyze", "analyse"})
# What gives a connection to SQLite tables and triggers that others do not have.
OWN = frozenset({"temp", "temporary", "attach", "detach", "writable_schema", "read_uncommitted"})
# First words of statements that leave a session as it is, but for what these words do.
USUAL = frozenset(
    (
        *("INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "ALTER", "DROP"),
        *("BEGIN", "START", "SAVEPOINT", "RELEASE", "COMMIT", "END", "ROLLBACK"),
    )
)
UNUSUAL = frozenset({"set_config", "temp", "temporary"})


@lru_cache(maxsize=1024)
def guessed(text: str) -> Facts:
    """The facts of a statement to a database of which nothing is known."""
    first = verbs_of(text)[0]
    reads = first in READS and ";" not in text.rstrip("; \n\t") and MORE.isdisjoint(words_of(text))
    return Facts((ANY, UNKNOWN), () if reads else OPAQUE.writes)


def is_own(facts: Facts, text: str) -> bool:
    """Whether it may make what this connection to SQLite alone has."""
    unclear = facts.does & ALTERS_SESSION or ANY in facts.writes
    return bool(unclear) and not OWN.isdisjoint(words_of(text))


def may_alter(facts: Facts, text: str) -> bool:
    """Whether the session may not be as others are after it."""
    if facts.does & (ALTERS_SESSION | ALTERS_TRANSACTION):
        return True
    usual = verbs_of(text)[0] in USUAL and UNUSUAL.isdisjoint(words_of(text))
    return ANY in facts.writes and not usual
