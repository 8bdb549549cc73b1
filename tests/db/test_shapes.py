"""Which statements name their rows by a key, and what is told of the others: nothing."""

from __future__ import annotations

import pytest

from apsperf_mw.db.shapes import Named, Shape, added_to, shape_of

BY_ID = (Named("id", (0,)),)
TWO = (Named("id", (1,)),)

SHAPES = [
    ("SELECT v FROM kv WHERE id = ?", Shape("SELECT", "", "kv", BY_ID)),
    ("select v from kv where id=?", Shape("SELECT", "", "kv", BY_ID)),
    (
        "SELECT artist.id, artist.name \nFROM artist \nWHERE artist.id = %(pk_1)s::INTEGER",
        Shape("SELECT", "", "artist", (Named("id", ("pk_1",), "integer"),)),
    ),
    (
        'SELECT "t"."id" AS "col1" FROM "t" WHERE "t"."id" = %s LIMIT 21',
        Shape("SELECT", "", "t", BY_ID),
    ),
    ("SELECT a.* FROM s.t AS a WHERE a.id = $1", Shape("SELECT", "s", "t", BY_ID)),
    (
        "SELECT a.* FROM t a WHERE a.id = $1::bigint",
        Shape("SELECT", "", "t", (Named("id", (0,), "bigint"),)),
    ),
    ("SELECT * FROM t WHERE id = :id", Shape("SELECT", "", "t", (Named("id", ("id",)),))),
    ("SELECT * FROM t WHERE id IN (?, ?)", Shape("SELECT", "", "t", (Named("id", (0, 1)),))),
    (
        "SELECT * FROM t WHERE (t.id = ? AND t.gone IS NULL AND kind = 'x') ORDER BY t.id, name",
        Shape("SELECT", "", "t", (*BY_ID, Named("gone"), Named("kind"))),
    ),
    ("SELECT 1 AS a FROM t WHERE id = ? LIMIT ?", Shape("SELECT", "", "t", BY_ID)),
    ("UPDATE t SET v=? WHERE t.id = ?", Shape("UPDATE", "", "t", TWO, frozenset({"v"}))),
    (
        'UPDATE "t" SET "v" = ("t"."v" + %s), w = lower(w) WHERE "t"."id" = %s',
        Shape("UPDATE", "", "t", TWO, frozenset({"v", "w"})),
    ),
    (
        "UPDATE t SET v=(t.v + ?), id=? WHERE t.id = ? AND t.version = ? RETURNING t.v",
        Shape(
            "UPDATE", "", "t", (Named("id", (2,)), Named("version", (3,))), frozenset({"v", "id"})
        ),
    ),
    ("DELETE FROM t WHERE t.id IN (?)", Shape("DELETE", "", "t", BY_ID)),
    ('DELETE FROM "T" WHERE "Id" = $1', Shape("DELETE", "", "T", (Named("Id", (0,)),))),
]

NONE = [
    "",
    "COMMIT",
    "SELECT v FROM kv",
    "SELECT v FROM kv WHERE id > ?",
    "SELECT v FROM kv WHERE id = ? OR v = ?",
    "SELECT v FROM kv WHERE id = ? AND v = ? OR w = ?",
    "SELECT v FROM kv WHERE NOT id = ?",
    "SELECT v FROM kv WHERE id = ? + 1",
    "SELECT v FROM kv WHERE id = ? COLLATE nocase",
    "SELECT v FROM kv WHERE id = ?::numeric(3, 1)",
    "SELECT v FROM kv WHERE id = lower(?)",
    "SELECT v FROM kv WHERE lower(id) = ?",
    "SELECT v FROM kv WHERE id NOT IN (?)",
    "SELECT v FROM kv WHERE id IN (?, 7)",
    "SELECT v FROM kv WHERE id IN (SELECT id FROM b)",
    "SELECT v FROM kv WHERE id BETWEEN ? AND ?",
    "SELECT v FROM kv WHERE (id = ?) AND EXISTS (SELECT 1)",
    "SELECT v FROM kv WHERE id = ? -- remark",
    "SELECT v FROM kv /* remark */ WHERE id = ?",
    "SELECT v FROM kv WHERE id = ?; DELETE FROM kv",
    "SELECT v FROM kv WHERE id = ? FOR UPDATE",
    "SELECT v FROM kv WHERE id = ? UNION SELECT 1",
    "SELECT v INTO copy FROM kv WHERE id = ?",
    "SELECT v FROM kv, b WHERE id = ?",
    "SELECT v FROM kv JOIN b ON true WHERE id = ?",
    "SELECT v FROM kv CROSS JOIN b WHERE id = ?",
    "SELECT v FROM ONLY kv AS b WHERE id = ?",
    "SELECT count(*) FROM kv WHERE id = ?",
    "SELECT (SELECT 1) FROM kv WHERE id = ?",
    "SELECT v::text FROM kv WHERE id = ?",
    "SELECT v FROM kv WHERE id = ? GROUP BY v",
    "SELECT '?' FROM kv WHERE id = ?",
    "SELECT v FROM kv WHERE id = ? AND v = $2",
    "SELECT v FROM kv WHERE id = ?1 AND v = ?",
    "SELECT v FROM [kv] WHERE id = ?",
    "SELECT E'\\'' FROM kv WHERE id = ?",
    'SELECT v FROM U&"kv" WHERE id = ?',
    "SELECT v FROM kv WHERE id = ?\0 AND 1",
    f"SELECT v FROM kv WHERE id IN ({', '.join('?' * 17)})",
    f"SELECT {'v, ' * 4000} v FROM kv WHERE id = ?",
    "WITH x AS (SELECT 1) SELECT v FROM kv WHERE id = ?",
    "UPDATE kv SET v = ?",
    "UPDATE OR REPLACE kv SET v = ? WHERE id = ?",
    "UPDATE ONLY kv SET v = ? WHERE id = ?",
    "UPDATE kv AS k SET v = ? WHERE k.id = ?",
    "UPDATE kv SET (v, w) = (?, ?) WHERE id = ?",
    "UPDATE kv SET v = b.v FROM b WHERE kv.id = ?",
    "UPDATE kv SET v = (SELECT max(v) FROM kv) WHERE id = ?",
    "UPDATE kv SET v = ? WHERE id = ? OR true",
    "DELETE FROM kv",
    "DELETE FROM kv USING b WHERE kv.id = ?",
    "DELETE FROM kv WHERE CURRENT OF c",
    "TRUNCATE kv",
    "MERGE INTO kv USING b ON true WHEN MATCHED THEN DELETE",
    "INSERT INTO kv VALUES (?)",
]


@pytest.mark.parametrize(("statement", "shape"), SHAPES)
def test_what_names_its_rows(statement: str, shape: Shape) -> None:
    assert shape_of(statement) == shape


@pytest.mark.parametrize("statement", NONE)
def test_what_does_not(statement: str) -> None:
    assert shape_of(statement) is None


ADDS = [
    ("INSERT INTO kv (k, v) VALUES ($1), ($1)", Shape("INSERT", "", "kv")),
    ('insert into "S"."Kv"(k) select k from b returning k', Shape("INSERT", "S", "Kv")),
    ("INSERT INTO kv DEFAULT VALUES", Shape("INSERT", "", "kv")),
    ("INSERT OR REPLACE INTO kv VALUES (1)", None),
    ("REPLACE INTO kv VALUES (1)", None),
    ("INSERT INTO kv VALUES (1) ON CONFLICT DO NOTHING", None),
    ("INSERT INTO kv VALUES (1) ON CONFLICT (k) DO UPDATE SET v = 1", None),
    ("INSERT INTO kv WITH w AS (DELETE FROM kv RETURNING k) SELECT k FROM w", None),
    ("INSERT INTO a.b.c VALUES (1)", None),
    ("SELECT 1", None),
]


@pytest.mark.parametrize(("plain", "shape"), ADDS)
def test_what_adds_rows_alone(plain: str, shape: Shape | None) -> None:
    assert added_to(plain) == shape
