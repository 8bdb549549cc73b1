"""PostgreSQL's planner, with indexes that HypoPG has it believe in: none is ever made."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from apsperf_mw.advice.candidates import Candidate, Index, Table
from apsperf_mw.advice.planners import Plan, Unplanned
from apsperf_mw.advice.workload import numbered
from apsperf_mw.errors import AdviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apsperf_mw.advice.workload import Query

SESSION = (
    "SET statement_timeout = '10s'",
    "SET default_transaction_read_only = on",
    "SET plan_cache_mode = force_generic_plan",
)
NAME = "CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END"
TABLES = f"""
SELECT {NAME}, a.attname, format_type(a.atttypid, NULL), c.reltuples, c.relpages, c.relkind
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT LIKE 'pg\\_%'
  AND n.nspname <> 'information_schema' ORDER BY c.oid, a.attnum"""  # noqa: S608 - a constant
VALUES = f"""
SELECT {NAME}, s.attname, s.n_distinct, s.null_frac, s.most_common_vals::text::text[],
  s.most_common_freqs, s.avg_width
FROM pg_stats s JOIN pg_namespace n ON n.nspname = s.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"""  # noqa: S608
INDEXES = f"""
SELECT i.relname, {NAME}, x.indisunique, x.indnkeyatts, x.indoption::int2[]::int[],
  COALESCE(pg_get_expr(x.indpred, x.indrelid), ''), pg_get_indexdef(x.indexrelid),
  ARRAY(SELECT pg_get_indexdef(x.indexrelid, k, true)
    FROM generate_series(1, x.indnatts) k ORDER BY k),
  pg_relation_size(x.indexrelid), COALESCE(u.idx_scan, 0),
  EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = x.indexrelid),
  m.amname = 'btree' AND NOT EXISTS (SELECT 1 FROM unnest(x.indclass::oid[]) o
    JOIN pg_opclass p ON p.oid = o WHERE NOT p.opcdefault),
  COALESCE((SELECT sum(seq_scan + idx_scan) FROM pg_stat_user_tables t
    WHERE t.relid = x.indrelid), 0), x.indcollation::oid[]::bigint[]
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am m ON m.oid = i.relam
LEFT JOIN pg_stat_user_indexes u ON u.indexrelid = x.indexrelid
WHERE x.indisvalid AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
ORDER BY i.relname"""  # noqa: S608 - a constant
CREATE = "SELECT indexrelid, indexname FROM hypopg_create_index"
DESCENDING = 1
# Bytes of a column's values on average; PostgreSQL takes less than 2,700 in an index.
MOST_WIDTH = 400
# A row that is written costs about so much an index: a way down its pages, and a page to write.
WRITE_COST = 1.0
# What is shown of a plan's nodes.
SHOWN = ("Index Cond", "Recheck Cond", "Filter", "Hash Cond", "Merge Cond", "Join Filter")
_VALUES = re.compile(r"'(?:[^']|'')*'|(?<![\w$.\"])-?\d+(?:\.\d+)?\b")
_BARE = re.compile(r"::[\w ]+|[()]")


class PostgresPlanner:
    """A connection that nobody else uses, by a DB-API driver. `AdviceError` without HypoPG."""

    dialect = "postgres"
    unit = "planner's cost"
    least_gain = 20.0
    wide = True

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._added: dict[Candidate, tuple[int, str, int]] = {}
        self._set_up()
        if not self._ask("SELECT 1 FROM pg_extension WHERE extname = 'hypopg'"):
            raise AdviceError(
                "the extension hypopg is not in this database: install it on the server and send "
                "CREATE EXTENSION hypopg"
            )
        self._ask("SELECT hypopg_reset()")
        self._twins = dict(self._doubled())

    def _set_up(self) -> None:
        for setting in SESSION:
            self._run(setting)
        self._connection.commit()

    def _doubled(self) -> Iterator[tuple[str, str]]:
        """Have each index believed in once more, so that all are valued by HypoPG's measure.

        One that it makes up seems cheaper than the same where it exists.
        """
        for index in self.indexes():
            if index.plain and (made := self._believe(index.ddl)):
                yield made[1], index.name

    def _believe(self, ddl: str) -> tuple[int, str, int] | None:
        """HypoPG's number, name and size for an index; None where it can make nothing of it."""
        asked = ddl.replace("'", "''")
        try:
            number, name = self._ask(f"{CREATE}('{asked}')")[0]
            return (
                int(number),
                str(name),
                int(self._ask(f"SELECT hypopg_relation_size({number})")[0][0]),
            )
        except Exception:
            self._connection.rollback()
            return None

    def tables(self) -> dict[str, Table]:
        """Those outside the system's schemas, with their statistics."""
        found: dict[str, Table] = {}
        for name, column, kind, rows, pages, sort in self._ask(TABLES):
            table = found.setdefault(name, Table(name, {}, max(rows, 0.0), pages))
            table.columns[column] = kind
            table.partitioned = sort in {"p", b"p"}
        for name, column, distinct, nulls, values, shares, width in self._ask(VALUES):
            table = found.get(name, Table(name, {}))
            if width > MOST_WIDTH:
                table.wide.add(column)
            table.distinct[column] = -distinct * table.rows if distinct < 0 else distinct
            table.nulls[column] = nulls
            table.common[column] = dict(zip(values or (), shares or (), strict=False))
        return found

    def indexes(self) -> list[Index]:
        """Those that are valid; one that a constraint has made is never unused."""
        return list(map(_index, self._ask(INDEXES)))

    def plan(self, query: Query) -> Plan:
        """The plan for the values that are known, else for any."""
        try:
            root = plan_of(self._connection, query)
        except Exception as fault:
            raise Unplanned(str(fault).partition("\n")[0]) from None
        finally:
            self._connection.rollback()  # it holds no lock from plan to plan
        told = {str(node["Index Name"]) for node in _nodes(root) if "Index Name" in node}
        names = frozenset(self._twins.get(name, name) for name in told)
        tries = {each for each, (_, name, __) in self._added.items() if name in told}
        text = "\n".join(_lines(root, 0, self._names()))
        return Plan(float(root["Total Cost"]), names, frozenset(tries), text)

    def _names(self) -> dict[str, str]:
        """What there is to say in place of HypoPG's names."""
        return self._twins | {name: each.name for each, (_, name, __) in self._added.items()}

    def chosen(self, query: Query, candidates: list[Candidate]) -> list[Candidate]:
        """Those that it would use."""
        new = [each for each in candidates if each not in self._added]
        for candidate in new:
            self.add(candidate)
        try:
            return list(self.plan(query).tries)
        finally:
            for candidate in new:
                self.drop(candidate)

    def add(self, candidate: Candidate) -> None:
        """Have it believed in."""
        if candidate not in self._added:
            self._added[candidate] = self._believe(candidate.ddl()) or (0, "", 0)

    def drop(self, candidate: Candidate) -> None:
        """Have it believed in no more."""
        number, _, __ = self._added.pop(candidate)
        if number:
            self._ask(f"SELECT hypopg_drop_index({number})")

    def size(self, candidate: Candidate) -> int:
        """HypoPG's estimate."""
        return self._added[candidate][2]

    def write_cost(self, candidate: Candidate) -> float:  # noqa: ARG002 - the same for all
        """About a page."""
        return WRITE_COST

    def _ask(self, question: str) -> list[tuple[Any, ...]]:
        rows = self._run(question)
        self._connection.commit()
        return rows

    def _run(self, statement: str) -> list[tuple[Any, ...]]:
        return run(self._connection, statement)


def run(connection: Any, statement: str, given: Any = None) -> list[tuple[Any, ...]]:
    """The rows of a statement, where it gives some."""
    cursor = connection.cursor()
    try:
        if given is None:
            cursor.execute(statement)
        else:
            cursor.execute(statement, given)
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        cursor.close()


def plan_of(connection: Any, query: Query) -> dict[str, Any]:
    """The root of a statement's plan, for its values where they are known, else for any.

    `Unplanned` for what may be several: all but the first would be executed.
    """
    if not query.is_one:
        raise Unplanned("it may be several statements")
    if query.given:
        told = run(connection, f"EXPLAIN (FORMAT JSON) {query.text}", query.given)
    else:
        text, places = numbered(query.text)
        told = _generic(connection, text, places)
    first = told[0][0]
    read = json.loads(first) if isinstance(first, (str, bytes)) else first
    return read[0]["Plan"]  # type: ignore[no-any-return]


def _generic(connection: Any, text: str, places: int) -> list[tuple[Any, ...]]:
    """The plan for any values."""
    if not places:
        return run(connection, f"EXPLAIN (FORMAT JSON) {text}")
    run(connection, f"PREPARE apsperf_advice AS {text}")
    try:
        nulls = ", ".join(["NULL"] * places)
        return run(connection, f"EXPLAIN (FORMAT JSON) EXECUTE apsperf_advice({nulls})")
    finally:
        _forget(connection)


def _forget(connection: Any) -> None:
    """What was prepared outlives a transaction that fails."""
    try:
        run(connection, "DEALLOCATE apsperf_advice")
    except Exception:
        connection.rollback()
        run(connection, "DEALLOCATE apsperf_advice")


def explained(connection: Any, query: Query) -> str:
    """A statement's plan for people, without values; nothing is executed."""
    for setting in SESSION:
        run(connection, setting)
    return "\n".join(_lines(plan_of(connection, query), 0, {}))


def _index(row: tuple[Any, ...]) -> Index:
    name, table, unique, keys, options, where, ddl, columns, size, scans, *more = row
    kept, plain, asked, collations = more
    plain_columns = [_unquoted(str(column)) for column in columns]
    down = tuple(plain_columns[at] for at in range(keys) if options[at] & DESCENDING)
    return Index(
        name,
        table,
        tuple(plain_columns[:keys]),
        ddl,
        down,
        tuple(plain_columns[keys:]),
        unique,
        _BARE.sub("", where),
        size,
        asked > 0 and scans == 0 and not unique and not kept,
        plain,
        tuple(f"{option} {each}" for option, each in zip(options, collations, strict=False)),
    )


def _unquoted(column: str) -> str:
    quoted = column.startswith('"') and column.endswith('"')
    return column[1:-1].replace('""', '"') if quoted else column


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _lines(plan: dict[str, Any], depth: int, names: dict[str, str]) -> Iterator[str]:
    """The plan for people, without values."""
    on = f" on {plan['Relation Name']}" if "Relation Name" in plan else ""
    index = plan.get("Index Name", "")
    using = f" using {names.get(index, index)}" if index else ""
    told = [f"{key}: {_VALUES.sub('?', str(plan[key]))}" for key in SHOWN if key in plan]
    cost = f"cost {plan['Total Cost']:.0f}, {plan['Plan Rows']} rows"
    yield "  " * depth + f"{plan['Node Type']}{using}{on} ({'; '.join([cost, *told])})"
    for child in plan.get("Plans", ()):
        yield from _lines(child, depth + 1, names)
