"""The tables of a storm, of each database."""

from __future__ import annotations

from tests.db.storm.board import BULK_ROWS, KEYS

COMMON = (
    "CREATE TABLE kv (k INTEGER PRIMARY KEY, v INTEGER NOT NULL)",
    "CREATE TABLE label (k INTEGER PRIMARY KEY, name TEXT, kv_id INTEGER)",
    "CREATE TABLE inbox (k INTEGER PRIMARY KEY, n INTEGER NOT NULL)",
    "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
    """CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER NOT NULL
    REFERENCES parent (id) ON UPDATE CASCADE)""",
    "CREATE TABLE bulk (k INTEGER PRIMARY KEY, v INTEGER NOT NULL)",
    "CREATE TABLE wide (id INTEGER, v INTEGER NOT NULL)",
    "CREATE VIEW seen AS SELECT k, v FROM kv",
    "INSERT INTO parent VALUES (0)",
    "INSERT INTO child VALUES (1, 0), (2, 0)",
    "INSERT INTO wide VALUES (1, 0)",
    *(f"INSERT INTO kv VALUES ({k}, 0)" for k in range(KEYS)),
    *(f"INSERT INTO label VALUES ({k}, 'label', {k})" for k in range(KEYS)),
    *(f"INSERT INTO inbox VALUES ({k}, 0)" for k in range(KEYS)),
    *(f"INSERT INTO bulk VALUES ({k}, 0)" for k in range(BULK_ROWS)),
)
SQLITE = (
    "PRAGMA journal_mode = WAL",
    *COMMON,
    """CREATE TRIGGER post AFTER UPDATE ON inbox BEGIN
    UPDATE kv SET v = v + 1 WHERE k = NEW.k; END""",
    """CREATE TRIGGER see INSTEAD OF UPDATE ON seen BEGIN
    UPDATE kv SET v = NEW.v WHERE k = NEW.k; END""",
)
POSTGRESQL = (
    *COMMON,
    """CREATE FUNCTION post() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE kv SET v = v + 1 WHERE k = NEW.k; RETURN NULL; END $$""",
    "CREATE TRIGGER post AFTER UPDATE ON inbox FOR EACH ROW EXECUTE FUNCTION post()",
    """CREATE FUNCTION raise_it(i int) RETURNS void LANGUAGE sql AS
    $$ UPDATE kv SET v = v + 1 WHERE k = i $$""",
)
# How a table is altered to hold the next version; the tables are locked by then.
ALTERS = (
    (
        "ALTER TABLE wide DROP COLUMN v",
        "ALTER TABLE wide ADD COLUMN v INTEGER NOT NULL DEFAULT {next}",
    ),
    (
        "CREATE TABLE wider AS SELECT id, v + 1 AS v FROM wide",
        "DROP TABLE wide",
        "ALTER TABLE wider RENAME TO wide",
    ),
    (
        "ALTER TABLE wide ADD COLUMN extra INTEGER",
        "UPDATE wide SET v = v + 1, extra = 1",
        "ALTER TABLE wide DROP COLUMN extra",
    ),
)
