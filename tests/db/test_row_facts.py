"""Which rows a statement reads and writes, where `database.rows` wants them told apart."""

from __future__ import annotations

import sqlite3
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.numeric import Int4

from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.tags import Tags
from apsperf_mw.db.asking import asking
from apsperf_mw.db.facts import UNKNOWN
from apsperf_mw.db.rows import MOST_READ, MOST_WRITTEN, coarse, found_by, read, row_tag, written_by
from apsperf_mw.db.texts import Texts
from tests.db.postgres import Postgres

SQLITE_SCHEMA = """
CREATE TABLE kv (k INTEGER PRIMARY KEY, v INT, w TEXT);
CREATE TABLE named (name VARCHAR(40) PRIMARY KEY, v INT);
CREATE TABLE folded (name TEXT PRIMARY KEY COLLATE NOCASE, v INT);
CREATE TABLE taking (k INTEGER PRIMARY KEY, v INT UNIQUE ON CONFLICT REPLACE);
CREATE TABLE loose (k PRIMARY KEY, v INT);
CREATE TABLE pair (a INT, b INT, v INT, PRIMARY KEY (a, b));
CREATE TABLE keyless (a INT);
CREATE TABLE tree (k INTEGER PRIMARY KEY, up INT REFERENCES tree (k) ON DELETE CASCADE);
CREATE TABLE artist (k INTEGER PRIMARY KEY, v INT);
CREATE TABLE album (k INTEGER PRIMARY KEY, v INT REFERENCES artist (k) ON DELETE CASCADE);
CREATE TABLE watched (k INTEGER PRIMARY KEY, v INT);
CREATE TRIGGER t AFTER UPDATE ON watched BEGIN UPDATE kv SET v = 0 WHERE k = new.k + 1; END;
CREATE VIEW seen AS SELECT * FROM kv;
CREATE VIRTUAL TABLE words USING fts5 (line);
"""
POSTGRESQL_SCHEMA = """
CREATE TABLE kv (k int PRIMARY KEY, v int, w text);
CREATE TABLE named (name varchar(40) PRIMARY KEY, v int);
CREATE TABLE uuids (k uuid PRIMARY KEY, v int);
CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE folded (name text COLLATE blind PRIMARY KEY, v int);
CREATE TABLE padded (name char(9) PRIMARY KEY, v int);
CREATE TABLE loose (k numeric PRIMARY KEY, v int);
CREATE TABLE made (k int GENERATED ALWAYS AS (v + 1) STORED PRIMARY KEY, v int);
CREATE TABLE pair (a int, b int, v int, PRIMARY KEY (a, b));
CREATE TABLE keyless (a int);
CREATE TABLE tree (k int PRIMARY KEY, v int, up int REFERENCES tree (k) ON DELETE CASCADE);
CREATE TABLE artist (k int PRIMARY KEY, v int);
CREATE TABLE album (k int PRIMARY KEY, v int REFERENCES artist (k) ON DELETE CASCADE);
CREATE TABLE watched (k int PRIMARY KEY, v int);
CREATE FUNCTION moved() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.k := NEW.k + 1; RETURN NEW; END $$;
CREATE TRIGGER t BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION moved();
CREATE TABLE ruled (k int PRIMARY KEY, v int);
CREATE RULE more AS ON UPDATE TO ruled DO ALSO UPDATE kv SET v = 0;
CREATE TABLE secured (k int PRIMARY KEY, v int);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE TABLE event (k int PRIMARY KEY, v int) PARTITION BY RANGE (k);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (1) TO (9);
CREATE TABLE parent (k int PRIMARY KEY, v int);
CREATE TABLE child () INHERITS (parent);
CREATE FUNCTION others(k kv) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT sum(v) FROM kv $$;
CREATE FUNCTION hidden() RETURNS int LANGUAGE sql AS $$ UPDATE kv SET v = 0; SELECT 1 $$;
CREATE TABLE defaulted (k int PRIMARY KEY, v int DEFAULT hidden());
CREATE TABLE checked (k int PRIMARY KEY, v int CHECK (hidden() = 1));
CREATE TABLE counted (k bigserial PRIMARY KEY, v uuid DEFAULT gen_random_uuid());
CREATE FUNCTION "odd one"(k kv) RETURNS int LANGUAGE sql AS $$ SELECT count(*)::int FROM kv $$;
CREATE VIEW seen AS SELECT * FROM kv;
CREATE SCHEMA other; CREATE TABLE other.twice (k int PRIMARY KEY, v int);
CREATE TABLE twice (k int PRIMARY KEY, v int); CREATE TABLE other.alone (k int PRIMARY KEY, v int);
CREATE TABLE "Odd" ("K" int PRIMARY KEY, k int);
"""
WHOLE = None

# A read, its parameters, and the keys whose rows it depends on where it finds them.
READS: list[tuple[str, tuple[Any, ...], tuple[str, list[Any]] | None]] = [
    ("SELECT * FROM kv WHERE k = {}", (7,), ("kv", [7])),
    ("SELECT v, w AS x FROM kv WHERE kv.k IN ({}, {}) ORDER BY v", (7, 8), ("kv", [7, 8])),
    ("SELECT v FROM kv WHERE v = {} AND k = {}", (1, 7), ("kv", [7])),
    ("SELECT v FROM named WHERE name = {}", ("a'b\udc80",), ("named", ["a'b\udc80"])),
    ("SELECT v FROM kv WHERE k = {}", ("7",), WHOLE),
    ("SELECT v FROM kv WHERE k = {}", (7.0,), WHOLE),
    ("SELECT v FROM kv WHERE k = {}", (True,), WHOLE),
    ("SELECT v FROM kv WHERE k = {}", (None,), WHOLE),
    ("SELECT v FROM kv WHERE k = {}", ([7],), WHOLE),
    ("SELECT v FROM kv WHERE k = {}", (10**5000,), WHOLE),
    ("SELECT v FROM kv WHERE k = {}", (), WHOLE),
    ("SELECT v FROM named WHERE name = {}", (7,), WHOLE),
    ("SELECT v FROM kv WHERE k = 7", (), WHOLE),
    ("SELECT v FROM kv WHERE v = {}", (7,), WHOLE),
    ("SELECT v FROM kv", (), WHOLE),
    ("SELECT v FROM seen WHERE k = {}", (7,), WHOLE),
    ("SELECT v FROM folded WHERE name = {}", ("a",), WHOLE),
    ("SELECT v FROM loose WHERE k = {}", (7,), WHOLE),
    ("SELECT v FROM pair WHERE a = {} AND b = {}", (1, 2), WHOLE),
    ("SELECT a FROM keyless WHERE a = {}", (1,), WHOLE),
    ("SELECT v FROM watched WHERE k = {}", (7,), WHOLE),
    ("SELECT up FROM tree WHERE k = {}", (7,), WHOLE),
    ("SELECT v FROM kv WHERE k = {} AND v IN (SELECT v FROM kv)", (7,), WHOLE),
    ("SELECT v FROM nowhere WHERE k = {}", (7,), WHOLE),
]
SQLITE_READS: list[Any] = [
    ('SELECT v FROM "KV" WHERE k = {}', (7,), ("kv", [7])),
    ("SELECT v FROM kv WHERE rowid = {}", (7,), WHOLE),
    ("SELECT v FROM taking WHERE k = {}", (7,), WHOLE),
    ("SELECT line FROM words WHERE rowid = {}", (7,), WHOLE),
    ("SELECT v FROM main.kv WHERE k = {}", (7,), WHOLE),
]
POSTGRESQL_READS: list[Any] = [
    ("SELECT v FROM kv WHERE k = {}::INTEGER", (7,), ("kv", [7])),
    ("SELECT v FROM public.kv WHERE k = {}::BIGINT", (7,), ("kv", [7])),
    ("SELECT v FROM uuids WHERE k = {}::UUID", (UUID(int=7),), ("uuids", [UUID(int=7)])),
    ("SELECT v FROM kv WHERE k = {}", (Int4(7),), ("kv", [7])),
    ("SELECT v FROM alone WHERE k = {}", (7,), ("other.alone", [7])),
    ("SELECT v FROM other.alone WHERE k = {}", (7,), ("other.alone", [7])),
    ('SELECT k FROM "Odd" WHERE "K" = {}', (7,), ("odd", [7])),
    ('SELECT k FROM "Odd" WHERE k = {}', (7,), WHOLE),
    ("SELECT v FROM public.alone WHERE k = {}", (7,), WHOLE),
    ("SELECT v FROM twice WHERE k = {}", (7,), WHOLE),
    ("SELECT v FROM uuids WHERE k = {}", (str(UUID(int=7)),), WHOLE),
    ("SELECT v FROM kv WHERE k = {}::TEXT", (7,), WHOLE),
    ("SELECT kv.others FROM kv WHERE k = {}", (7,), WHOLE),
    ('SELECT kv."odd one" FROM kv WHERE k = {}', (7,), WHOLE),
    ("SELECT v FROM padded WHERE name = {}", ("a",), WHOLE),
    ("SELECT v FROM made WHERE k = {}", (7,), WHOLE),
    ("SELECT v FROM ruled WHERE k = {}", (7,), WHOLE),
    ("SELECT v FROM secured WHERE k = {}", (7,), WHOLE),
    ("SELECT v FROM event WHERE k = {}", (7,), WHOLE),
    ("SELECT v FROM event_1 WHERE k = {}", (7,), WHOLE),
    ("SELECT v FROM parent WHERE k = {}", (7,), WHOLE),
]

# A write, its parameters, the keys whose rows of the table it makes void, and the tables of which
# all rows are; nothing where every row of any table is.
WRITES: list[tuple[str, tuple[Any, ...], tuple[str, list[Any]], str]] = [
    ("UPDATE kv SET v = {} WHERE k = {}", (1, 7), ("kv", [7]), ""),
    ("UPDATE kv SET v = v + 1, w = lower(w) WHERE kv.k IN ({}, {})", (7, 8), ("kv", [7, 8]), ""),
    ("UPDATE named SET v = {} WHERE name = {}", (1, "a"), ("named", ["a"]), ""),
    ("DELETE FROM kv WHERE k = {}", (7,), ("kv", [7]), ""),
    ("DELETE FROM album WHERE k = {} AND v = {}", (7, 1), ("album", [7]), ""),
    ("DELETE FROM artist WHERE k = {}", (7,), ("artist", [7]), "album"),
    ("INSERT INTO kv (k, v) VALUES ({}, 1)", (7,), ("kv", []), ""),
    ("INSERT INTO kv (v) SELECT v FROM kv", (), ("kv", []), ""),
    ("INSERT INTO kv (k) VALUES ({}) ON CONFLICT DO NOTHING", (7,), ("kv", []), "kv"),
    ("UPDATE kv SET v = {} WHERE k = {}", (1, "7"), ("kv", []), "kv"),
    ("UPDATE kv SET k = {} WHERE k = {}", (8, 7), ("kv", []), "kv"),
    ("UPDATE kv SET v = {}", (1,), ("kv", []), "kv"),
    ("UPDATE kv SET v = 1 WHERE k = 7", (), ("kv", []), "kv"),
    ("UPDATE kv SET v = {} WHERE v = {}", (1, 7), ("kv", []), "kv"),
    ("UPDATE kv SET v = {} WHERE k > {}", (1, 7), ("kv", []), "kv"),
    ("DELETE FROM kv", (), ("kv", []), "kv"),
    ("DELETE FROM pair WHERE a = {} AND b = {}", (1, 2), ("pair", []), "pair"),
    ("DELETE FROM folded WHERE name = {}", ("a",), ("folded", []), "folded"),
    ("DELETE FROM tree WHERE k = {}", (7,), ("tree", []), "tree"),
    ("UPDATE nowhere SET v = 1 WHERE k = {}", (7,), ("nowhere", []), ""),
    ("no statement", (), ("kv", []), ""),
]
SQLITE_WRITES: list[Any] = [
    ('UPDATE kv SET "K" = {} WHERE k = {}', (8, 7), ("kv", []), "kv"),
    ("UPDATE kv SET rowid = {} WHERE k = {}", (8, 7), ("kv", []), "kv"),
    ("UPDATE OR REPLACE kv SET v = {} WHERE k = {}", (1, 7), ("kv", []), "kv"),
    ("INSERT OR REPLACE INTO kv (k) VALUES ({})", (7,), ("kv", []), "kv"),
    ("UPDATE taking SET v = {} WHERE k = {}", (1, 7), ("taking", []), "taking"),
    ("INSERT INTO taking VALUES ({}, 1)", (7,), ("taking", []), "taking"),
    ("UPDATE watched SET v = {} WHERE k = {}", (1, 7), ("watched", []), "kv watched"),
    ("INSERT INTO watched VALUES ({}, 1)", (7,), ("watched", []), "kv watched"),
    ("ALTER TABLE kv ADD COLUMN x", (), ("kv", []), ""),
]
POSTGRESQL_WRITES: list[Any] = [
    ("DELETE FROM uuids WHERE k = {}", (UUID(int=7),), ("uuids", [UUID(int=7)]), ""),
    ("UPDATE watched SET v = {} WHERE k = {}", (1, 7), ("watched", []), "watched"),
    ("INSERT INTO watched VALUES ({}, 1)", (7,), ("watched", []), "watched"),
    ("UPDATE kv SET v = hidden() WHERE k = {}", (7,), ("kv", []), "kv"),
    ("INSERT INTO kv VALUES ({}, hidden())", (7,), ("kv", []), "kv"),
    ("UPDATE seen SET v = {} WHERE k = {}", (1, 7), ("seen", []), "kv seen"),
    ("UPDATE made SET v = {} WHERE k = {}", (1, 7), ("made", []), "made"),
    ("INSERT INTO defaulted VALUES ({})", (7,), ("defaulted", []), "defaulted"),
    ("UPDATE checked SET v = 1 WHERE k = {}", (7,), ("checked", []), "checked"),
    ("UPDATE counted SET v = NULL WHERE k = {}", (7,), ("counted", [7]), ""),
    ("INSERT INTO counted DEFAULT VALUES", (), ("counted", []), ""),
    ("UPDATE ruled SET v = {} WHERE k = {}", (1, 7), ("ruled", []), ""),
    ("UPDATE event SET v = {} WHERE k = {}", (1, 7), ("event", []), "event event_1"),
    ("UPDATE parent SET v = {} WHERE k = {}", (1, 7), ("parent", []), "child parent"),
    ("DELETE FROM twice WHERE k = {}", (7,), ("twice", []), "twice other.twice"),
    ("TRUNCATE kv", (), ("kv", []), "kv"),
    ("COPY kv FROM STDIN", (), ("kv", []), "kv"),
    ("MERGE INTO kv USING pair ON k = a WHEN MATCHED THEN DELETE", (), ("kv", []), "kv"),
    ("WITH x AS (DELETE FROM kv WHERE k = {} RETURNING k) SELECT * FROM x", (7,), ("kv", []), "kv"),
    ("CALL anything()", (), ("kv", []), ""),
]


def placed(statement: str, place: str) -> str:
    return statement.replace("{}", place)


def check_read(known: tuple[Texts, Any], statement: str, given: Any, keys: Any) -> None:
    texts, ask = known
    facts = texts.learn(statement, ask, 0)
    assert not any(each.startswith("row:") for each in facts.reads)
    tables = {each.partition(":")[2] for each in facts.reads} - {"*", "?"}
    assert {f"{kind}:{each}" for kind in ("table", "rows") for each in tables} <= set(facts.reads)
    if keys is WHOLE:
        assert all(found_by(facts, given, count) is facts for count in range(3))
        return
    table, values = keys
    exact = found_by(facts, given, len(values))
    tags = sorted(row_tag(table, each) for each in values)
    assert exact.reads == ("table:*", f"table:{table}", *tags)
    assert exact.fixed
    for found in {0, 1, 2} - {len(values)}:
        assert found_by(facts, given, found) is facts
    assert coarse(exact.reads) == facts.reads


def check_write(known: tuple[Texts, Any], statement: str, given: Any, keys: Any, all_: str) -> None:
    texts, ask = known
    facts = texts.learn(statement, ask, 0)
    writes = set(written_by(facts, given, None, many=False).writes)
    if "table:*" in writes:
        assert (keys[1], all_) == ([], "")
        return
    assert UNKNOWN in writes
    assert {each for each in writes if each.startswith("table:")} - {UNKNOWN} == {
        f"table:{each}" for each in all_.split()
    }
    some = set() if keys[0] in all_.split() else {f"rows:{keys[0]}"}
    assert {each for each in writes if each.startswith("rows:")} == some
    assert {each for each in writes if each.startswith("row:")} == {
        row_tag(keys[0], each) for each in keys[1]
    }


@pytest.fixture(scope="module")
def sqlite() -> Any:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SQLITE_SCHEMA)
    yield Texts("sqlite", Tags(), rows=True), asking(connection)
    connection.close()


@pytest.mark.parametrize(("statement", "given", "keys"), READS + SQLITE_READS)
def test_sqlite_s_reads(sqlite: Any, statement: str, given: Any, keys: Any) -> None:
    check_read(sqlite, placed(statement, "?"), given, keys)


@pytest.mark.parametrize(("statement", "given", "keys", "all_"), WRITES + SQLITE_WRITES)
def test_sqlite_s_writes(sqlite: Any, statement: str, given: Any, keys: Any, all_: str) -> None:
    check_write(sqlite, placed(statement, "?"), given, keys, all_)


@pytest.fixture(scope="module")
def postgresql(cluster: Postgres) -> Any:
    with psycopg.connect(cluster.conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS other CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute(POSTGRESQL_SCHEMA)
        yield Texts("postgresql", Tags(), rows=True), asking(connection)


@pytest.mark.parametrize(("statement", "given", "keys"), READS + POSTGRESQL_READS)
def test_postgresql_s_reads(postgresql: Any, statement: str, given: Any, keys: Any) -> None:
    check_read(postgresql, placed(statement, "%s"), given, keys)


@pytest.mark.parametrize(("statement", "given", "keys", "all_"), WRITES + POSTGRESQL_WRITES)
def test_postgresql_s_writes(
    postgresql: Any, statement: str, given: Any, keys: Any, all_: str
) -> None:
    check_write(postgresql, placed(statement, "%s"), given, keys, all_)


def test_without_the_setting_there_are_tables_alone() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SQLITE_SCHEMA)
    texts = Texts("sqlite", Tags())
    for statement, *_ in READS + WRITES:
        facts = texts.learn(placed(statement, "?"), asking(connection), 0)
        assert facts.keyed is None
        assert not any(each.startswith("row") for each in (*facts.reads, *facts.writes))
    connection.close()


def test_many_sets_of_parameters_are_as_many_rows(sqlite: Any) -> None:
    texts, ask = sqlite
    facts = texts.learn("DELETE FROM kv WHERE k = ?", ask, 0)
    few = written_by(facts, [(1,), (2,), (2,)], None, many=True)
    assert set(few.writes) == {UNKNOWN, "rows:kv", row_tag("kv", 1), row_tag("kv", 2)}
    many = written_by(facts, [(k,) for k in range(MOST_READ * 2)], None, many=True)
    odd = written_by(facts, [(1,), ("2",)], None, many=True)
    crowded = {f"row:{number}" for number in range(MOST_WRITTEN)}
    late = written_by(facts, (1,), crowded, many=False)
    assert many is odd is late is facts
    assert "table:kv" in facts.writes


def test_a_page_of_many_rows_depends_on_their_tables() -> None:
    plan = Plan()
    for number in range(MOST_READ * 4):
        read(plan, ("table:*", "table:kv", f"row:{number}"), number)
    assert plan.tables is not None
    assert {"table:kv", "rows:kv"} <= plan.tables
    assert len(plan.tables) <= MOST_READ + 2
    assert plan.since == 0


def test_rows_have_so_many_tags_and_no_more() -> None:
    tags = {row_tag("kv", number) for number in range(200_000)}
    assert 60_000 < len(tags) <= 65_536
    assert all(len(each) == len("row:0000") for each in tags)
    assert row_tag("kv", 1) != row_tag("vk", 1)
