"""Which tables a statement reads and writes, through everything that a schema has."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pytest

from apsperf_mw.cache.tags import Purge, Tags
from apsperf_mw.db.asking import asking
from apsperf_mw.db.facts import (
    ALTERS_SCHEMA,
    ALTERS_SESSION,
    ALTERS_TRANSACTION,
    BEGINS,
    COMMITS,
    ROLLS_BACK,
    SCHEMA,
)
from apsperf_mw.db.sqlite import Compiler
from apsperf_mw.db.texts import Texts
from tests.db.postgres import Postgres

ALL = "*?"
# What SQLite reads to write depends on its release.
ANY = "any"

SQLITE_SCHEMA = """
CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT COLLATE own);
CREATE TABLE album (
  id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT,
  artist_id INTEGER REFERENCES artist (id) ON DELETE CASCADE);
CREATE TABLE track (id INTEGER PRIMARY KEY, album_id INTEGER REFERENCES album (id));
CREATE TABLE log (line TEXT);
CREATE TRIGGER noted AFTER DELETE ON album BEGIN INSERT INTO log VALUES (old.title); END;
CREATE VIEW both AS SELECT name, title FROM artist JOIN album ON artist.id = artist_id;
CREATE VIEW deep AS SELECT name FROM both;
CREATE VIRTUAL TABLE words USING fts5 (line);
"""

# A statement, the tables that it reads and writes, whether the same tables give the same rows, and
# what else it does.
SQLITE = [
    ("SELECT 1", "", "", True, 0),
    ("SELECT name FROM artist WHERE id = ?", "artist", "", True, 0),
    ("SELECT count(*) FROM artist", "artist", "", True, 0),
    ('SELECT * FROM "Artist" -- album', "artist", "", True, 0),
    ("SELECT * FROM deep", "album artist both deep", "", True, 0),
    ("WITH artist AS (SELECT * FROM log) SELECT * FROM artist", "log", "", True, 0),
    ("SELECT * FROM words WHERE words MATCH 'x'", "words", "", True, 0),
    ("SELECT value FROM json_each('[1]')", "json_each", "", True, 0),
    ("SELECT random() FROM log", "log", "", False, 0),
    ("SELECT CURRENT_TIMESTAMP FROM log", "log", "", False, 0),
    ("SELECT strftime('%Y', 'now') FROM log", "log", "", False, 0),
    ("SELECT own_function(line) FROM log", "log", "", False, 0),
    ("SELECT * FROM sqlite_master", "sqlite_master", "", False, 0),
    ("SELECT * FROM not_there", ALL, "", False, 0),
    ("INSERT INTO artist (name) SELECT line FROM log", ANY, "album artist log", False, 0),
    ("INSERT OR REPLACE INTO artist VALUES (1, 'x')", ANY, "album artist log", False, 0),
    ("UPDATE log SET line = ''", ANY, "log", False, 0),
    ("DELETE FROM artist", ANY, "album artist log", False, 0),
    ("DELETE FROM track WHERE id = 1", ANY, "track", False, 0),
    ("WITH old AS (SELECT 1) DELETE FROM log", ANY, "log", False, 0),
    ("CREATE TABLE more (a)", ALL, ALL, False, ALTERS_SCHEMA),
    ("DROP TABLE log", ALL, ALL, False, ALTERS_SCHEMA),
    ("ALTER TABLE log ADD COLUMN more", ALL, ALL, False, ALTERS_SCHEMA),
    ("CREATE TEMP TABLE artist (id)", "sqlite_temp_master", "", False, ALTERS_SESSION),
    ("ATTACH 'other.db' AS other", "", "", False, ALTERS_SESSION),
    ("PRAGMA foreign_keys = ON", "", "", False, 0),
    ("PRAGMA case_sensitive_like = ON", "", "", False, ALTERS_SESSION),
    ("PRAGMA table_info(artist)", "", "", False, 0),
    ("EXPLAIN DELETE FROM artist", "", "", False, 0),
    ("BEGIN IMMEDIATE", "", "", False, BEGINS),
    ("COMMIT", "", "", False, COMMITS),
    ("ROLLBACK", "", "", False, ROLLS_BACK),
    ("SAVEPOINT one", "", "", False, 0),
    ("ROLLBACK TO one", "", "", False, 0),
    ("this is no statement", ALL, ALL, False, 0),
]

POSTGRESQL_SCHEMA = """
CREATE TABLE artist (id int PRIMARY KEY, name text);
CREATE TABLE album (
  id int PRIMARY KEY, title text, artist_id int REFERENCES artist ON DELETE CASCADE);
CREATE TABLE track (id int PRIMARY KEY, album_id int REFERENCES album);
CREATE TABLE log (line text);
CREATE TABLE audit (line text);
CREATE VIEW both_of AS SELECT name, title FROM artist JOIN album ON artist.id = artist_id;
CREATE VIEW deep AS SELECT name FROM both_of;
CREATE VIEW moving AS SELECT line, now() FROM log;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM artist;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO log VALUES (old.title); RETURN old; END $$;
CREATE TRIGGER noted AFTER DELETE ON album FOR EACH ROW EXECUTE FUNCTION noted();
CREATE FUNCTION hidden() RETURNS void LANGUAGE sql AS $$ UPDATE audit SET line = 'x' $$;
CREATE FUNCTION outer_one() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM hidden(); END $$;
CREATE FUNCTION whole() RETURNS void BEGIN ATOMIC DELETE FROM audit; END;
CREATE FUNCTION dynamic(q text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE q; END $$;
CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT i * 2 $$;
CREATE FUNCTION how_many() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM artist $$;
CREATE VIEW counting AS SELECT how_many();
CREATE TABLE event (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE secured (a int); ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE TABLE ruled (a int);
CREATE RULE more AS ON INSERT TO ruled DO ALSO INSERT INTO log VALUES ('x');
CREATE SCHEMA other; CREATE TABLE other.thing (a int); CREATE TABLE other.album (a int);
CREATE TABLE "Odd-Name" (a int);
"""
ALBUM = "album other.album"

POSTGRESQL = [
    ("SELECT 1", "", "", True, 0),
    ("SELECT name FROM artist WHERE id = %(id)s AND name <> 'album'", "artist", "", True, 0),
    ("SELECT name FROM artist WHERE id IN ($1::INTEGER, $2::INTEGER)", "artist", "", True, 0),
    ("/* of album */ SELECT * FROM artist -- album", "artist", "", True, 0),
    ("SELECT lower(name), count(*) FROM artist GROUP BY 1", "artist", "", True, 0),
    ("SELECT * FROM artist LIMIT 3 OFFSET 1", "artist", "", True, 0),
    ("SELECT E'it\\'s' FROM artist", "artist", "", True, 0),
    ("TABLE artist", "artist", "", True, 0),
    ('SELECT * FROM "Odd-Name"', "odd-name", "", True, 0),
    ("SELECT * FROM public.thing", "other.thing", "", True, 0),
    ("SELECT * FROM other.album", ALBUM, "", True, 0),
    ("SELECT * FROM deep", "album artist both_of deep", "", True, 0),
    ("SELECT * FROM kept", "kept", "", True, 0),
    ("SELECT * FROM event", "event", "", True, 0),
    ("WITH artist AS (SELECT * FROM log) SELECT * FROM artist", "artist log", "", True, 0),
    ("WITH own AS (SELECT * FROM log) SELECT * FROM own", "log", "", True, 0),
    ("SELECT twice(1) FROM log", "log", "", True, 0),
    ("SELECT row_to_json(l) FROM log l", "log", "", True, 0),
    ("SELECT * FROM moving", "log moving", "", False, 0),
    ("SELECT * FROM counting", "artist counting", "", False, 0),
    ("SELECT * FROM secured", "secured", "", False, 0),
    ("SELECT how_many()", "artist", "", False, 0),
    ("SELECT now() FROM log", "log", "", False, 0),
    ("SELECT current_date FROM log", "log", "", False, 0),
    ("SELECT * FROM log FOR UPDATE", "log", "", False, 0),
    ("SELECT * FROM log TABLESAMPLE SYSTEM (10)", "log", "", False, 0),
    ("SELECT * FROM pg_class", ALL, "", False, 0),
    ("SELECT * FROM not_there", ALL, "", False, 0),
    ("SELECT hidden()", "audit", "audit", False, 0),
    ("SELECT outer_one()", "audit", "audit", False, 0),
    ("SELECT whole()", "audit", "audit", False, 0),
    ("SELECT dynamic('DELETE FROM log')", ALL, ALL, False, 0),
    ("SELECT query_to_xml('DELETE FROM log', true, true, '')", "", ALL, False, 0),
    ("INSERT INTO log SELECT title FROM both_of", "album artist both_of log", "log", False, 0),
    ("INSERT INTO log VALUES (%s), (%s) RETURNING line", "log", "log", False, 0),
    ("INSERT INTO event_1 VALUES (1, '2020-02-02')", "event_1", "event event_1", False, 0),
    ("INSERT INTO ruled VALUES (1)", "ruled", ALL, False, 0),
    ("UPDATE artist SET name = '' FROM log", "artist log", "album artist log", False, 0),
    ("DELETE FROM artist", "artist", "album artist log", False, 0),
    ("DELETE FROM track USING log", "log track", "track", False, 0),
    ("WITH old AS (DELETE FROM track RETURNING *) SELECT * FROM old", "track", "track", False, 0),
    ("MERGE INTO log USING audit ON true WHEN MATCHED THEN DELETE", "audit log", "log", False, 0),
    ("TRUNCATE track, log", "log track", "log track", False, 0),
    ("TRUNCATE album CASCADE", ALL, ALL, False, 0),
    ("COPY log FROM STDIN", "", "log", False, 0),
    ("COPY log TO STDOUT", "log", "", False, 0),
    ("INSERT INTO not_there VALUES (1)", ALL, ALL, False, 0),
    ("REFRESH MATERIALIZED VIEW kept", ALL, ALL, False, 0),
    ("CALL anything()", ALL, ALL, False, 0),
    ("DO $$ BEGIN DELETE FROM log; END $$", ALL, ALL, False, 0),
    ("EXPLAIN SELECT * FROM log", "", "", False, 0),
    ("EXPLAIN ANALYZE DELETE FROM log", ALL, ALL, False, 0),
    ("SELECT 1; DELETE FROM log", ALL, ALL, False, 0),
    ("CREATE TABLE more (a int)", ALL, ALL, False, ALTERS_SCHEMA),
    ("SELECT * INTO more FROM log", ALL, ALL, False, ALTERS_SCHEMA),
    ("CREATE TEMP TABLE artist (id int)", ALL, ALL, False, ALTERS_SESSION),
    ("SET search_path TO other", "", "", False, ALTERS_SESSION),
    ("SET LOCAL timezone = 'UTC'", "", "", False, ALTERS_TRANSACTION),
    ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "", "", False, ALTERS_TRANSACTION),
    ("BEGIN", "", "", False, BEGINS),
    ("BEGIN ISOLATION LEVEL SERIALIZABLE", "", "", False, BEGINS | ALTERS_TRANSACTION),
    ("COMMIT", "", "", False, COMMITS),
    ("COMMIT PREPARED 'x'", ALL, ALL, False, 0),
    ("ROLLBACK", "", "", False, ROLLS_BACK),
    ("ROLLBACK TO SAVEPOINT one", "", "", False, 0),
    ("SHOW timezone", "", "", False, 0),
    ("this is no statement", ALL, ALL, False, 0),
]


def told(tags: tuple[str, ...]) -> set[str]:
    """The tables of tags; those of which all or any are meant by their marks."""
    return {tag.removeprefix("table:") for tag in tags}


def expected(tables: str, mark: str) -> set[str]:
    """What `told` gives for the tables of a row."""
    if tables == ALL:
        return {"*", "?"}
    return {*tables.split(), mark} if tables else set()


@pytest.fixture(scope="module")
def sqlite() -> Any:
    connection = sqlite3.connect(":memory:")
    connection.create_collation("own", lambda one, other: (one > other) - (one < other))
    connection.executescript(SQLITE_SCHEMA)
    yield Texts("sqlite", Tags()), asking(connection)
    connection.close()


@pytest.mark.parametrize(("statement", "reads", "writes", "fixed", "does"), SQLITE)
def test_sqlite_s_compiler_tells(
    sqlite: Any, statement: str, reads: str, writes: str, fixed: bool, does: int
) -> None:
    texts, ask = sqlite
    facts = texts.learn(statement, ask, 0)
    assert reads == ANY or told(facts.reads) == expected(reads, "*")
    assert told(facts.writes) == expected(writes, "?")
    assert (facts.fixed, facts.does) == (fixed, does)


def test_what_is_forgotten_is_told_as_before(sqlite: Any) -> None:
    """Also where SQLite has it compiled already, and by two threads at once."""
    _, ask = sqlite
    compiler = Compiler(ask)
    first, *more = [compiler.facts("SELECT name FROM artist WHERE id = ?") for _ in range(3)]
    assert told(first.reads) == {"*", "artist"}
    assert more == [first, first]


@pytest.fixture(scope="module")
def postgresql(cluster: Postgres) -> Any:
    with psycopg.connect(cluster.conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS other CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute(POSTGRESQL_SCHEMA)
        yield Texts("postgresql", Tags()), asking(connection)


@pytest.mark.parametrize(("statement", "reads", "writes", "fixed", "does"), POSTGRESQL)
def test_postgresql_s_catalogue_tells(
    postgresql: Any, statement: str, reads: str, writes: str, fixed: bool, does: int
) -> None:
    texts, ask = postgresql
    facts = texts.learn(statement, ask, 0)
    assert (told(facts.reads), told(facts.writes)) == (
        expected(reads, "*"),
        expected(writes, "?"),
    )
    assert (facts.fixed, facts.does) == (fixed, does)


def test_of_other_databases_every_write_concerns_every_read() -> None:
    texts = Texts("mysql", Tags())
    read = texts.learn("SELECT * FROM a", lambda _: [], 0)
    assert (told(read.reads), read.writes, read.fixed) == ({"*", "?"}, (), False)
    for statement in ("UPDATE a SET b = 1", "CALL c()", "SELECT 1; DELETE FROM a"):
        assert told(texts.learn(statement, lambda _: [], 0).writes) == {"?"}


def test_values_and_lists_of_any_length_are_one_text() -> None:
    asked: list[str] = []

    def ask(question: str) -> list[tuple[Any, ...]]:
        asked.append(question)
        return []

    texts = Texts("sqlite", Tags())
    for number in range(50):
        numbers = ", ".join(map(str, range(number + 1)))
        rows = ", ".join(["(?, 'x')"] * (number + 1))
        texts.learn(f"SELECT {number} WHERE 1 IN ({numbers}) /* {number} */", ask, 0)
        texts.learn(f"INSERT INTO t VALUES {rows}", ask, 0)
    assert len(texts._plain) == 3  # one value, more of them, and the rows


def test_a_schema_that_changed_is_asked_for_again() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript("CREATE TABLE a (x); CREATE TABLE b (x)")
    tags = Tags()
    texts = Texts("sqlite", tags)
    ask = asking(connection)
    assert told(texts.learn("DELETE FROM a", ask, tags.clock).writes) == {"?", "a"}
    connection.execute("CREATE TRIGGER t AFTER DELETE ON a BEGIN DELETE FROM b; END")
    tags.apply(Purge((SCHEMA,)))
    texts.heed()
    assert told(texts.learn("DELETE FROM a", ask, tags.clock).writes) == {"?", "a", "b"}
    connection.close()


def test_a_table_that_is_new_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = sqlite3.connect(":memory:")
    texts = Texts("sqlite", Tags())
    ask = asking(connection)
    texts.learn("SELECT 1", ask, 0)
    connection.execute("CREATE TABLE late (x)")
    assert told(texts.learn("SELECT * FROM late", ask, 0).reads) == {"*", "?"}
    monkeypatch.setattr("apsperf_mw.db.texts.AGAIN_S", 0.0)
    texts.forget()
    texts.learn("SELECT 1", ask, 0)
    connection.execute("CREATE TABLE later (x)")
    assert told(texts.learn("SELECT x FROM later", ask, 0).reads) == {"*", "later"}
    connection.close()
