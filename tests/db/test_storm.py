"""Threads and processes that read through the cache and write in every way: no read is stale.

What each read shows is held against what was committed, for certain, when it began. `N` and `SEED`
say how many operations of which draw; without `N` it is three small cells.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine

from tests.db.postgres import Postgres
from tests.db.storm.cell import HEAD, Cell, Outcome, Run
from tests.db.storm.ground import POSTGRESQL, SQLITE
from tests.drivers.servers import Server

N = int(os.environ.get("N") or 0)
SEED = int(os.environ.get("SEED") or 1)
# Of one cell; ten of them make a million where N is that of `make soak`.
OPERATIONS = 4 * N or 800
# PostgreSQL's word comes as soon as the listening process gets to hear it.
TOLD_S = 2.0
# SQLite tells nobody of a process that dies between its commit and its purge: rows have a lifetime.
LIFE_S = 3
PROCESSES = 4 if N else 2

CELLS = [
    ("alchemy", "sqlite", 1, ""),
    ("alchemy", "sqlite", PROCESSES, "kills"),
    ("django", "sqlite", 1, ""),
    ("django", "sqlite", PROCESSES, "kills"),
    ("alchemy", "postgresql", 1, "restart"),
    ("alchemy", "postgresql", PROCESSES, "kills restart"),
    ("alchemy", "postgresql", PROCESSES, "notify kills restart"),
    ("alchemy", "postgresql", PROCESSES, "redis"),
    ("django", "postgresql", 1, ""),
    ("django", "postgresql", PROCESSES, "notify kills restart"),
]
SMALL = [CELLS[0], ("alchemy", "postgresql", PROCESSES, ""), CELLS[8]]


class Grounds:
    """Makes databases, and what cells need beside them."""

    def __init__(self, request: pytest.FixtureRequest, directory: Path) -> None:
        self._request = request
        self.directory = directory

    def url(self, system: str) -> str:
        """A database with the tables of a storm."""
        if system == "sqlite":
            url, statements = f"sqlite:///{self.directory}/storm.db", SQLITE
        else:
            url, statements = self.postgres.url(database="storm"), POSTGRESQL
            with psycopg.connect(self.postgres.conninfo, autocommit=True) as connection:
                connection.execute("DROP DATABASE IF EXISTS storm WITH (FORCE)")
                connection.execute("CREATE DATABASE storm")
        engine = create_engine(url)
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()
        return url

    @property
    def postgres(self) -> Postgres:
        """The tests' own."""
        found: Postgres = self._request.getfixturevalue("cluster")
        return found

    @property
    def redis(self) -> Server:
        """One for this cell."""
        server = Server(self.directory / "redis")
        self._request.addfinalizer(server.stop)
        server.start()
        return server


# In a short storm each process that was killed and begins anew, with nothing kept, counts for much.
LEAST_HITS = 0.3 if 0 < N < 5000 else 0.5


@pytest.fixture
def grounds(request: pytest.FixtureRequest, tmp_path: Path) -> Grounds:
    return Grounds(request, tmp_path)


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Callable[[Outcome], None]]:
    """What came of each cell, for people to see where there are many operations."""
    lines = [HEAD]
    yield lambda outcome: lines.append(outcome.line())
    reporter: Any = request.config.pluginmanager.getplugin("terminalreporter")
    capturing: Any = request.config.pluginmanager.getplugin("capturemanager")
    if N and reporter is not None and capturing is not None:
        with capturing.global_and_fixture_disabled():
            reporter.write_line("")
            for line in lines:
                reporter.write_line(line)


def cell_of(grounds: Grounds, kind: str, system: str, processes: int, more: str) -> Cell:
    """A cell by its name; the processes hear of each other by a file where it says nothing else."""
    settings: dict[str, Any] = {"cache": {"purge_file": str(grounds.directory / "purges")}}
    bound_s = killed_s = 0.0
    if "kills" in more and system == "sqlite":
        settings["ttl"], killed_s = {"medium": LIFE_S}, LIFE_S
    elif "kills" in more:
        settings["database"], killed_s = {"notify": True}, TOLD_S
    if "notify" in more:
        settings["cache"]["purge_file"], bound_s = "none", TOLD_S
    return Cell(
        f"{kind}, {system}, {processes} x {4 if processes == 1 else 2}, {more or 'calm'}",
        kind,
        grounds.url(system),
        processes,
        4 if processes == 1 else 2,
        OPERATIONS,
        SEED,
        settings,
        bound_s,
        killed_s,
    )


def events_of(run: Run, grounds: Grounds, more: str) -> Iterator[Callable[[], object]]:
    """What befalls a cell."""
    if "kills" in more:
        yield run.kill_a_writer
    if "restart" in more:
        yield grounds.postgres.end
        yield grounds.postgres.start
    if "kills" in more and N:
        yield run.kill_a_writer
    if "redis" in more:
        redis = grounds.redis
        run.cell.settings["default"] = redis.url
        yield lambda: redis.say("FLUSHALL")
        yield redis.kill
        yield redis.start
        yield lambda: redis.say("FLUSHALL")


def fine(outcome: Outcome) -> None:
    assert outcome.tally.told == []
    assert outcome.tally.stale == 0
    assert outcome.tally.writes > 0
    assert outcome.share >= LEAST_HITS, outcome.line()


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "system", "processes", "more"), CELLS if N else SMALL)
def test_no_read_is_stale(
    grounds: Grounds, table: Any, kind: str, system: str, processes: int, more: str
) -> None:
    run = Run(cell_of(grounds, kind, system, processes, more), grounds.directory)
    outcome = run.outcome(events_of(run, grounds, more))
    table(outcome)
    fine(outcome)


def test_it_would_be_seen(grounds: Grounds) -> None:
    """Where commits make nothing void."""
    cell = cell_of(grounds, "alchemy", "sqlite", 1, "")
    cell.deaf, cell.operations = True, 400
    outcome = Run(cell, grounds.directory).outcome()
    assert outcome.tally.stale > 0
