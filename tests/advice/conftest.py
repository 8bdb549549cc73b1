"""A PostgreSQL that has HypoPG, and a shop's rows in both databases."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.advice.shop import ROWS, TABLES
from tests.db.conftest import cluster
from tests.db.postgres import Postgres

__all__ = ["cluster"]


@pytest.fixture(scope="module")
def shop(cluster: Postgres) -> Iterator[str]:
    """The URL of a database with the shop's rows; skips where the server has no HypoPG."""
    with psycopg.connect(cluster.conninfo, autocommit=True) as connection:
        known = "SELECT 1 FROM pg_available_extensions WHERE name = 'hypopg'"
        if connection.execute(known).fetchone() is None:
            pytest.skip("this PostgreSQL server has no hypopg")
        connection.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)")
        connection.execute("CREATE DATABASE shop")
    url = f"postgresql://apsperf@127.0.0.1:{cluster.port}/shop"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION hypopg")
        for statement in (*TABLES, *ROWS["postgresql"]):
            connection.execute(statement.encode())
        connection.execute("VACUUM ANALYZE")
    yield url
    with psycopg.connect(cluster.conninfo, autocommit=True) as connection:
        connection.execute("DROP DATABASE shop WITH (FORCE)")
