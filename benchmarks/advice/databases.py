"""Databases with a workload each."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import tarfile
from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from apsperf_mw.advice.advising import advise
from apsperf_mw.advice.postgres import PostgresPlanner
from apsperf_mw.advice.sqlite import SQLitePlanner
from apsperf_mw.advice.workload import Query, of_script, statements_of
from benchmarks.advice.shop import CHINOOK, SERIES, SHOP, TABLES, rows
from benchmarks.advice.tpch import SCHEMA, TABLE_NAMES
from examples.records.database import copied_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apsperf_mw.advice.advising import Advice
    from tests.db.postgres import Postgres

BUILD = Path(__file__).resolve().parents[2] / "build" / "advice"
ROUNDS = 3
LIMIT_S = 30.0
MOST = 30
HIDDEN = """SELECT 1 FROM pg_class WHERE relkind = 'r' AND relallvisible < relpages
AND relnamespace = 'public'::regnamespace"""
SERIAL = ("max_parallel_workers_per_gather = 0", "jit = off")


class Timed(NamedTuple):
    """A statement's least time, and its plan."""

    took_s: float
    plan: str


class Workload(ABC):
    """A database and its statements."""

    def __init__(self, queries: list[Query]) -> None:
        self.queries = queries

    def timed(self) -> list[Timed]:
        """Each statement."""
        return [Timed(self._least(query), self._plan(query)) for query in self.queries]

    def _least(self, query: Query) -> float:
        least = LIMIT_S
        for _ in range(ROUNDS):
            started = perf_counter()
            self._execute(query)
            least = min(least, perf_counter() - started)
            if least > LIMIT_S / 10:
                break
        return least

    @abstractmethod
    def advise(self) -> Advice:
        """Advice on it."""

    @abstractmethod
    def run(self, statement: str) -> None:
        """Change it."""

    @abstractmethod
    def settle(self) -> None:
        """Have it gather its statistics."""

    @abstractmethod
    def close(self) -> None:
        """Be done with it."""

    @abstractmethod
    def _execute(self, query: Query) -> None: ...

    @abstractmethod
    def _plan(self, query: Query) -> str: ...


class OnPostgres(Workload):
    """In a database of its own."""

    def __init__(self, server: Postgres, name: str, queries: list[Query]) -> None:
        super().__init__(queries)
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        self._where = server.conninfo.replace("dbname=postgres", f"dbname={name}")
        self.connection = psycopg.connect(self._where, autocommit=True)
        self.run("CREATE EXTENSION hypopg")
        for setting in (*SERIAL, f"statement_timeout = {LIMIT_S * 1000:.0f}"):
            self.run(f"SET {setting}")

    def advise(self) -> Advice:
        """Advice on it."""
        with psycopg.connect(self._where) as connection:
            for setting in SERIAL:
                connection.execute(f"SET {setting}".encode())
            connection.commit()
            return advise(PostgresPlanner(connection), self.queries, max_indexes=MOST)

    def run(self, statement: str) -> None:
        """Change it."""
        self.connection.execute(statement.encode())

    def settle(self) -> None:
        """Have it gather its statistics."""
        for _ in range(20):  # what has just been written is not seen to be visible to all at once
            self.run("VACUUM ANALYZE")
            if not self.connection.execute(HIDDEN).fetchone():
                return
            sleep(0.5)

    def close(self) -> None:
        """Be done with it."""
        self.connection.close()

    def _execute(self, query: Query) -> None:
        try:
            self.connection.execute(query.text.encode()).fetchall()
        except psycopg.errors.QueryCanceled:
            return

    def _plan(self, query: Query) -> str:
        return "\n".join(
            row[0] for row in self.connection.execute(f"EXPLAIN {query.text}".encode())
        )


class OnSQLite(Workload):
    """In a file or in memory."""

    def __init__(self, connection: sqlite3.Connection, queries: list[Query]) -> None:
        super().__init__(queries)
        self.connection = connection

    def advise(self) -> Advice:
        """Advice on it."""
        planner = SQLitePlanner(self.connection)
        try:
            return advise(planner, self.queries, max_indexes=MOST)
        finally:
            planner.close()

    def run(self, statement: str) -> None:
        """Change it."""
        self.connection.execute(statement)

    def settle(self) -> None:
        """Have it gather its statistics."""
        self.run("ANALYZE")

    def close(self) -> None:
        """Be done with it."""
        self.connection.close()

    def _execute(self, query: Query) -> None:
        self.connection.execute(query.text).fetchall()

    def _plan(self, query: Query) -> str:
        told = self.connection.execute(f"EXPLAIN QUERY PLAN {query.text}").fetchall()
        return "\n".join(row[3] for row in told)


class Shop(OnPostgres):
    """The web shop."""

    def __init__(self, server: Postgres, scale: float) -> None:
        super().__init__(server, "shop", of_script(SHOP))
        for statement in (*TABLES, *rows(SERIES["postgresql"], scale)):
            self.run(statement)
        self.settle()


class ShopSQLite(OnSQLite):
    """The same in memory."""

    def __init__(self, _: Postgres, scale: float) -> None:
        super().__init__(sqlite3.connect(":memory:", isolation_level=None), of_script(SHOP))
        for statement in (*TABLES, *rows(SERIES["sqlite"], scale)):
            self.run(statement)
        self.settle()


class Chinook(OnSQLite):
    """The record shop of the examples."""

    def __init__(self, _: Postgres, __: float) -> None:
        self._held = copied_file()
        super().__init__(sqlite3.connect(self._held.__enter__(), isolation_level=None),
                         of_script(CHINOOK))  # fmt: skip

    def close(self) -> None:
        """Be done with it."""
        super().close()
        self._held.__exit__(None, None, None)


class TPCH(OnPostgres):
    """The decision-support benchmark, with primary keys alone."""

    def __init__(self, server: Postgres, _: float) -> None:
        super().__init__(server, "tpch", [Query(text) for text in tpch_queries()])
        for statement in statements_of(SCHEMA):
            self.run(statement)
        data = tpch_rows()
        for name in TABLE_NAMES:
            copy = f"COPY {name} FROM STDIN WITH (DELIMITER '|')".encode()
            with self.connection.cursor().copy(copy) as to, (data / f"{name}.tbl").open() as lines:
                for line in lines:
                    to.write(line.rstrip("|\n") + "\n")
        self.settle()


def tpch_rows() -> Path:
    """The directory of the generated rows."""
    place = BUILD / "rows"
    if not (place / "lineitem.tbl").exists():
        pip("install", "-q", "--target", str(BUILD / "generator"), "tpchgen-cli==4.0.0")
        program = BUILD / "generator" / "bin" / "tpchgen-cli"
        program.chmod(0o755)
        subprocess.run([program, "tbl", "-s", "0.2", f"--output-dir={place}"], check=True)
    return place


def tpch_queries() -> Iterator[str]:
    """The 22 queries, as sqlglot's source has them."""
    name = f"sqlglot-{version('sqlglot')}"
    archive = BUILD / f"{name}.tar.gz"
    if not archive.exists():
        flags = ("-q", "--no-deps", "--no-binary", "sqlglot", "--dest", str(BUILD))
        pip("download", *flags, f"sqlglot=={version('sqlglot')}")
    with tarfile.open(archive) as packed:
        found: Any = packed.extractfile(f"{name}/tests/fixtures/optimizer/tpc-h/tpc-h.sql")
        text = found.read().decode()
    for part in re.split(r"-- TPC-H \d+\n-+\n", text)[1:]:
        # The second statement of each part is what sqlglot makes of it.
        yield next(statements_of(part)).replace("AS STRING", "AS TEXT")


def pip(*arguments: str) -> None:
    """Run pip."""
    BUILD.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)
