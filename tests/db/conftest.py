"""What the tests of databases share with those of observing, and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.db.postgres import Postgres
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
