"""What each shape of statements is told by: its rows, and its answers from what is kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
from sqlalchemy import create_engine, text

from apsperf_mw import Suite
from tests.db.postgres import Postgres

MADE = (
    "CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT)",
    "INSERT INTO artist VALUES (1, 'a'), (2, 'b'), (3, 'c')",
)
ALL = "SELECT id, name FROM artist"
CHANGE = "UPDATE artist SET name = 'x' WHERE id < 3"


def rows_and_hits(suite: Suite) -> dict[str, tuple[int, int]]:
    return {row.statement: (row.rows, row.hits) for row in suite.database().stats().rows}


def test_rows_and_hits_of_an_engine(postgres: Postgres) -> None:
    suite = Suite()
    engine = suite.database().attach(create_engine(postgres.url()))
    with engine.begin() as connection:
        for statement in MADE:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(CHANGE)
    for _ in range(3):
        with engine.connect() as connection:
            asked = text(ALL).execution_options(apsperf_cache="long")
            assert len(connection.execute(asked).all()) == 3
    told = rows_and_hits(suite)
    assert told[ALL] == (3, 2)
    assert told["UPDATE artist SET name = ? WHERE id < ?"] == (2, 0)
    assert "rows" in str(suite.database().stats())
    engine.dispose()
    suite.close()


def test_rows_of_wrapped_connections(postgres: Postgres, tmp_path: Path) -> None:
    suite = Suite()
    database = suite.database()
    with closing(database.wrap(psycopg.connect(postgres.conninfo))) as connection:
        for statement in MADE:
            connection.execute(statement)
        for _ in range(2):
            connection.commit()
            assert len(database.read(connection, ALL, cache="long")) == 3
        assert rows_and_hits(suite)[ALL] == (3, 1)
    suite.close()
    suite = Suite()
    with closing(suite.database().wrap(sqlite3.connect(tmp_path / "a.db"))) as connection:
        for statement in (*MADE, CHANGE, ALL):
            connection.execute(statement)
        told = rows_and_hits(suite)
    assert told["UPDATE artist SET name = ? WHERE id < ?"] == (2, 0)
    assert told[ALL] == (0, 0)  # sqlite3 does not say how many there will be
    suite.close()
