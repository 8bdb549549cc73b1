"""What the tests of databases share with those of observing, and a real PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.db.postgres import Postgres
from tests.db.wrapped import Place, lite_place
from tests.observe.conftest import make_suite, shell, wrap

__all__ = ["make_suite", "shell", "wrap"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Postgres]:
    """One for all tests."""
    with Postgres() as server:
        yield server


@pytest.fixture
def postgres(cluster: Postgres) -> Postgres:
    """The cluster, with nothing in its database."""
    with psycopg.connect(cluster.conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS other CASCADE")
        connection.execute("CREATE SCHEMA public")
    return cluster


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Place]:
    """A SQLite file, written by wrapped connections and read by an engine."""
    path = tmp_path / "shop.sqlite"
    made = lite_place(tmp_path, lambda **more: sqlite3.connect(path, timeout=1.0, **more))
    yield made
    made.close()


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Place]:
    """The same of PostgreSQL."""
    made = Place(postgres.url(), lambda **more: psycopg.connect(postgres.conninfo, **more))
    yield made
    made.close()
