"""What PostgreSQL's catalogue says of relations: what stands behind a view, what a write reaches.

Whatever is not understood, such as a function in a language of its own, may have written anything.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from apsperf_mw.db.facts import OPAQUE, Facts, reads_of, writes_of
from apsperf_mw.db.graphs import reached
from apsperf_mw.db.parsing import UNFIXED
from apsperf_mw.db.plain import words_of
from apsperf_mw.db.rows import INTEGER, TEXT, UNIQUE, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.db.parsing import Name, Syntax
    from apsperf_mw.db.rows import Key
    from apsperf_mw.db.shapes import Shape

    Ask = Callable[[str], list[tuple[Any, ...]]]

OURS = "nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
RELATIONS = f"""
SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text, c.relrowsecurity,
  CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) ELSE '' END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {OURS}"""  # noqa: S608 - it is a constant
# What stands behind a view, and where a rule has a write do something else.
RULES = """
SELECT DISTINCT r.ev_class::bigint, r.rulename::text, d.refobjid::bigint
FROM pg_rewrite r LEFT JOIN pg_depend d
  ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
  AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class"""
CHILDREN = "SELECT inhrelid::bigint, inhparent::bigint FROM pg_inherits"
KEYS = """
SELECT confrelid::bigint, conrelid::bigint FROM pg_constraint
WHERE contype = 'f' AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))"""
TRIGGERS = """
SELECT tgrelid::bigint, tgfoid::bigint FROM pg_trigger
WHERE NOT tgisinternal AND tgenabled <> 'D'"""
FUNCTIONS = f"""
SELECT p.oid::bigint, p.proname::text, p.provolatile::text, l.lanname::text,
  COALESCE(pg_get_function_sqlbody(p.oid), p.prosrc)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE {OURS}"""  # noqa: S608 - it is a constant
BUILT_IN = """
SELECT DISTINCT proname::text FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile <> 'i'"""

# Of tables whose defaults and constraints call no functions but the system's.
PRIMARY = """
SELECT k.conrelid::bigint, a.attname::text, t.typname::text
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid AND c.relkind = 'r' AND NOT c.relrowsecurity
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] AND a.attgenerated = ''
JOIN pg_type t ON t.oid = a.atttypid AND t.typnamespace = 'pg_catalog'::regnamespace
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE k.contype = 'p' AND cardinality(k.conkey) = 1 AND COALESCE(l.collisdeterministic, true)
AND NOT EXISTS (
  SELECT FROM pg_depend d LEFT JOIN pg_attrdef v ON v.oid = d.objid
  LEFT JOIN pg_constraint o ON o.oid = d.objid
  WHERE d.refclassid = 'pg_proc'::regclass
  AND (d.classid = 'pg_attrdef'::regclass AND v.adrelid = k.conrelid
    OR d.classid = 'pg_constraint'::regclass AND o.conrelid = k.conrelid))"""

DYNAMIC = re.compile(r"\bexecute\b", re.IGNORECASE)
# They run what their arguments say.
RUNS_TEXT = frozenset(
    {"query_to_xml", "query_to_xml_and_xmlschema", "query_to_xmlschema", "ts_stat"}
)
LANGUAGES = frozenset({"sql", "plpgsql"})
# Built-in functions that depend on a session's settings alone, as all of an engine's have the same.
SETTLED = frozenset(
    (
        *("concat", "concat_ws", "format", "to_json", "to_jsonb", "json_agg", "jsonb_agg"),
        *("json_build_object", "jsonb_build_object", "json_build_array", "jsonb_build_array"),
        *("json_object_agg", "jsonb_object_agg", "row_to_json", "array_to_json", "to_char"),
        *("array_to_string", "string_agg", "date_trunc", "date_part", "to_date", "to_timestamp"),
        *("to_tsvector", "to_tsquery", "plainto_tsquery", "websearch_to_tsquery", "ts_headline"),
        *("phraseto_tsquery", "timezone", "generate_series", "extract"),
    )
)


# The types of keys by which rows are told apart.
KINDS = {
    **dict.fromkeys(("int2", "int4", "int8"), INTEGER),
    **dict.fromkeys(("text", "varchar"), TEXT),
    "uuid": UNIQUE,
}

# Where a graph leads when it cannot be told; functions have the negative of their numbers.
ANYTHING = 0
Graph = dict[int, set[int]]


def alone(syntax: Syntax) -> Facts | None:
    """The facts of a statement for which no catalogue need be asked; None of any other."""
    if syntax.opaque:
        return Facts(OPAQUE.reads, OPAQUE.writes, does=syntax.does)
    if syntax.reads or syntax.writes or syntax.calls:
        return None
    return Facts(fixed=syntax.fixed, does=syntax.does)


class Catalogue:
    """The relations of one database, as they were when it was asked."""

    def __init__(self, ask: Ask) -> None:
        self._names: dict[int, str] = {}
        self._by_name: dict[str, set[int]] = defaultdict(set)
        self._called: dict[str, set[int]] = defaultdict(set)
        self._volatility: dict[int, str] = {}
        self._unfixed: set[int] = set()
        self._keys: dict[int, Key] = {}
        # What reading one reads, and what writing one may write.
        self._read: Graph = defaultdict(set)
        self._written: Graph = defaultdict(set)
        self._unsettled = {name for (name,) in ask(BUILT_IN)} - SETTLED
        functions, relations = ask(FUNCTIONS), ask(RELATIONS)
        for number, name, volatility, _, __ in functions:
            self._called[name.lower()].add(-number)
            self._volatility[-number] = volatility
        for row in relations:
            self._take_relation(*row)
        for number, _, volatility, language, body in functions:
            self._take_function(-number, language, body or "", volatile=volatility == "v")
        self._take_links(ask, {row[0] for row in relations if row[3] == "v"})

    def facts(self, syntax: Syntax) -> Facts:
        """A statement's facts."""
        if (found := alone(syntax)) is not None:
            return found
        calls = {number for name in syntax.calls for number in self._called.get(name, ())}
        wild = set() if syntax.calls.isdisjoint(RUNS_TEXT) else {ANYTHING}
        strange = self.unknown(syntax)
        reads = reached({*self._found(syntax.reads), *calls}, self._read)
        volatile = {number for number in calls if self._volatility[number] == "v"}
        writes = reached({*self._found(syntax.writes), *volatile, *wild}, self._written)
        opaque = ANYTHING in writes or not strange.isdisjoint(syntax.writes)
        vague = bool(strange) or ANYTHING in reads
        fixed = syntax.fixed and not vague and reads.isdisjoint(self._unfixed)
        return Facts(
            (*reads_of(self._told(reads)), *(OPAQUE.reads if vague else ())),
            OPAQUE.writes if opaque else writes_of(self._told(writes)),
            fixed and not opaque and not writes and all(map(self._is_fixed, syntax.calls)),
            syntax.does,
        )

    def unknown(self, syntax: Syntax) -> frozenset[Name]:
        """The names that are neither relations here nor made by the statement itself."""
        return frozenset(
            name
            for name in syntax.reads | syntax.writes
            if name[1] not in self._by_name and name[1] not in syntax.made
        )

    def find_keys(self, ask: Ask) -> None:
        """Of the tables of which nothing else is made, and whose writes do nothing more to them."""
        for number, column, kind in ask(PRIMARY):
            if kind in KINDS and number in self._names and self._is_alone(number):
                key = key_of(self._names[number], column, KINDS[kind])
                if key is not None:
                    self._keys[number] = key

    def key(self, shape: Shape, plain: str) -> Key | None:
        """The key of a statement's table; None where a function may have a hand in it."""
        numbers = self._by_name.get(shape.table.lower(), set())
        if len(numbers) != 1 or self._calls(plain):
            return None
        key = self._keys.get(next(iter(numbers)))
        schema = "public" if key is None or "." not in key.table else key.table.partition(".")[0]
        return key if shape.schema.lower() in {"", schema} else None

    def _calls(self, plain: str) -> bool:
        """Whether a function's name is in it, be it as that of a column."""
        words, text = words_of(plain), plain.lower()
        return any(
            name in words or (not name.isidentifier() and name in text) for name in self._called
        )

    def _is_alone(self, number: int) -> bool:
        """Whether a write of it runs nothing, and does not come back to it by way of others."""
        first = self._written[number]
        return all(each > 0 for each in first) and number not in reached(first, self._written)

    def _take_relation(
        self, number: int, schema: str, name: str, kind: str, secured: bool, view: str
    ) -> None:
        plain = name.lower()
        self._names[number] = plain if schema == "public" else f"{schema.lower()}.{plain}"
        self._by_name[plain].add(number)
        calls = words_of(view)
        moves = UNFIXED.search(view) or not all(map(self._is_fixed, calls))
        if secured or kind == "f" or moves:
            self._unfixed.add(number)
        for called in calls:
            self._read[number] |= self._called.get(called, set())

    def _take_function(self, number: int, language: str, body: str, *, volatile: bool) -> None:
        words = words_of(body)
        touched = self._named_in(words, body.lower())
        touched |= {each for word in words for each in self._called.get(word, ())}
        if language not in LANGUAGES:
            touched = {ANYTHING} if volatile else set()
        elif DYNAMIC.search(body) or not words.isdisjoint(RUNS_TEXT):
            touched.add(ANYTHING)
        self._read[number] |= touched
        self._written[number] |= touched

    def _take_links(self, ask: Ask, views: set[int]) -> None:
        for number, rule, behind in ask(RULES):
            if number in views and behind in self._names:
                self._read[number].add(behind)
                self._written[number].add(behind)
            if rule != "_RETURN":
                self._written[number].add(ANYTHING)
        for child, parent in ask(CHILDREN):
            # Rows of one are rows of the other.
            self._written[child].add(parent)
            self._written[parent].add(child)
        for parent, child in ask(KEYS):
            self._written[parent].add(child)
        for number, function in ask(TRIGGERS):
            # One of the system's own is not known here: it writes nothing but the row itself.
            self._written[number].add(-function)

    def _found(self, names: Iterable[Name]) -> set[int]:
        """The relations of these names, in any schema."""
        return {number for _, name in names for number in self._by_name.get(name, ())}

    def _told(self, numbers: Iterable[int]) -> list[str]:
        return [self._names[number] for number in numbers if number in self._names]

    def _is_fixed(self, called: str) -> bool:
        own = self._called.get(called)
        if own:
            return all(self._volatility[number] == "i" for number in own)
        return called not in self._unsettled

    def _named_in(self, words: set[str], body: str) -> set[int]:
        found: set[int] = set()
        for name, numbers in self._by_name.items():
            if name in words or (not name.isidentifier() and name in body):
                found |= numbers
        return found
