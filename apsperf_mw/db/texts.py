"""The facts of an engine's statements, found once for each text."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol
from warnings import warn

from apsperf_mw.db.facts import OPAQUE, SCHEMA, UNKNOWN, Facts
from apsperf_mw.db.plain import plain_of, verbs_of
from apsperf_mw.db.rows import by_key, shaped, with_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.cache.tags import Tags
    from apsperf_mw.db.rows import Key
    from apsperf_mw.db.shapes import Shape

    Ask = Callable[[str], list[tuple[Any, ...]]]

# Texts whose facts are kept, and texts without their values.
MOST_TEXTS = 4096
MOST_PLAIN = 2048
# So often the schema is asked for again at most because of names that are not in it, or where that
# has failed.
AGAIN_S = 1.0
READS = ("SELECT", "SHOW", "EXPLAIN", "DESCRIBE", "BEGIN", "SAVEPOINT", "RELEASE", "SET")


class Schema(Protocol):
    """What tells the facts of a statement, of the schema as it was at some time."""

    def find_keys(self, ask: Ask) -> None:
        """Have the tables' primary keys told, too."""
        ...

    def key(self, shape: Shape, plain: str) -> Key | None:
        """The primary key of a statement's table, where it has one and is a table alone."""
        ...

    def facts(self, plain: str, statement: str) -> tuple[Facts, bool]:
        """A statement's facts, and whether it names nothing that is not known."""
        ...


class Texts:
    """Of one engine. `known` may be asked by anybody; where a text is not in it, `learn`."""

    def __init__(self, system: str, tags: Tags, *, rows: bool = False) -> None:
        self._rows = rows
        self.known: dict[str, Facts] = {}
        self._plain: dict[str, Facts] = {}
        self._make = MAKERS.get(system, _unknown)
        self._alone = ALONE.get(system, _none_alone)
        self._tags = tags
        self._schema: Schema | None = None
        self._began = self._clock = 0
        self._made_at = 0.0
        self._failed_at = -AGAIN_S

    def learn(self, statement: str, ask: Ask, tick: int) -> Facts:
        """The facts of a statement; where the schema is not known, or has changed, it is asked for.

        `tick` is when the transaction began in which it is asked.
        """
        plain = plain_of(statement)
        if plain is None:
            return OPAQUE
        found = self._plain.get(plain)
        if found is None:
            if self._schema is None and monotonic() < self._failed_at + AGAIN_S:
                return OPAQUE
            found = self._look(plain, statement, ask, tick)
            if self._rows:
                found = with_rows(found)
            if len(self._plain) >= MOST_PLAIN:
                self._plain.clear()
            self._plain[plain] = found
        if self._rows:
            found = self._by_key(found, plain, statement)
        if len(self.known) >= MOST_TEXTS:
            self.known.clear()
        self.known[statement] = found
        return found

    def heed(self) -> None:
        """Forget all where tables were made, altered or dropped; to be called where ticks pass."""
        clock = self._tags.clock
        if clock != self._clock:
            self._clock = clock
            if self._schema is not None and not self._tags.good((SCHEMA,), self._began):
                self.forget()

    def forget(self) -> None:
        """The schema is not what it was."""
        self._schema = None
        self.known.clear()
        self._plain.clear()

    def _look(self, plain: str, statement: str, ask: Ask, tick: int) -> Facts:
        schema = self._schema
        if schema is None:
            if (found := self._alone(plain, statement)) is not None:
                return found
            schema = self._asked(ask, tick)
        facts, known = schema.facts(plain, statement)
        if not known and monotonic() >= self._made_at + AGAIN_S:
            self.forget()
            facts, _ = self._asked(ask, tick).facts(plain, statement)
        return facts

    def _by_key(self, found: Facts, plain: str, statement: str) -> Facts:
        schema, shape = self._schema, shaped(plain, statement)
        if schema is None or shape is None:
            return found
        return by_key(found, shape, schema.key(shape, plain))

    def _asked(self, ask: Ask, tick: int) -> Schema:
        try:
            schema = self._make(ask)
            if self._rows:
                schema.find_keys(ask)
        except BaseException:
            self._failed_at = monotonic()
            raise
        self._began, self._made_at = tick, monotonic()
        self._schema = schema
        return schema


class Unknown:
    """A database of whose schema nothing is known: every write may concern every read."""

    def find_keys(self, ask: Ask) -> None:
        """Of none."""

    def key(self, shape: Shape, plain: str) -> Key | None:  # noqa: ARG002 - of all
        """None."""
        return None

    def facts(self, plain: str, statement: str) -> tuple[Facts, bool]:
        """By its first word alone."""
        reads = verbs_of(plain)[0] in READS and ";" not in statement.strip(" ;")
        return Facts(OPAQUE.reads, () if reads else (UNKNOWN,)), True


class SQLite:
    """SQLite's own compiler."""

    def __init__(self, ask: Ask) -> None:
        from apsperf_mw.db.sqlite import Compiler

        self._compiler = Compiler(ask)
        self.find_keys = self._compiler.find_keys
        self.key = self._compiler.key

    def facts(self, plain: str, statement: str) -> tuple[Facts, bool]:  # noqa: ARG002 - of all
        """What it says."""
        found = self._compiler.facts(statement)
        return found, UNKNOWN not in found.reads


class PostgreSQL:
    """PostgreSQL's catalogue, and a parser."""

    def __init__(self, ask: Ask) -> None:
        from apsperf_mw.db.catalogue import Catalogue

        self._catalogue = Catalogue(ask)
        self.find_keys = self._catalogue.find_keys
        self.key = self._catalogue.key

    def facts(self, plain: str, statement: str) -> tuple[Facts, bool]:
        """What they say."""
        from apsperf_mw.db.parsing import syntax_of

        syntax = syntax_of(plain, statement)
        return self._catalogue.facts(syntax), not self._catalogue.unknown(syntax)


def _unknown(_: Ask) -> Schema:
    return Unknown()


def _none_alone(plain: str, statement: str) -> Facts | None:  # noqa: ARG001 - of all
    return None


def _postgresql_alone(plain: str, statement: str) -> Facts | None:
    """What its words say, where they say all: making tables asks for none that are there."""
    if not can_parse():
        return None
    from apsperf_mw.db.catalogue import alone
    from apsperf_mw.db.parsing import syntax_of

    return alone(syntax_of(plain, statement))


def _postgresql(ask: Ask) -> Schema:
    return PostgreSQL(ask) if can_parse() else Unknown()


@cache
def can_parse() -> bool:
    """Whether PostgreSQL's statements can be read; says so where they cannot."""
    if find_spec("sqlglot") is not None:
        return True
    warn(
        "apsperf-mw[sql] is not installed: which tables PostgreSQL's statements read and write is "
        "not known, so every write makes void what was made of any table",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


ALONE: dict[str, Callable[[str, str], Facts | None]] = {"postgresql": _postgresql_alone}
MAKERS: dict[str, Callable[[Ask], Schema]] = {"sqlite": SQLite, "postgresql": _postgresql}
