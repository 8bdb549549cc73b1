"""A pytest plugin for SQLAlchemy's own tests: a suite follows each engine, and a tally is kept.

Loaded by its bare name, for their tests are a package `test` of their own. `ORM_MODE` in the
environment says how: `bare` only tallies, so that the runs differ in nothing else; with `on` all
rows are kept that are worth it, with `eager` the rows of each statement from its first time on;
with `all` they depend on single rows besides, and each load is watched for what nobody looks at.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw import Suite

SETTINGS: dict[str, Any] = {
    "cache": {"purge_file": "none"},
    "database": {"cache_all": True},
    "exporter": {"kind": "none"},
}
MODE = os.environ.get("ORM_MODE", "bare")
EAGER = MODE in {"eager", "all"}
if MODE == "all":
    SETTINGS["database"] |= {"rows": True, "unused_loads": 1.0}
outcomes: dict[str, str] = {}
engines: Counter[str] = Counter()
began: list[float] = []


def keep_all() -> None:
    """Have whatever could be kept be worth it."""
    from apsperf_mw.db.results import Results

    setattr(Results, "_is_worth_it", lambda *_: True)  # noqa: B010 - types would not have it


def write(outcomes: dict[str, str], since: list[float], suite: Suite | None) -> None:
    """Write the tally down."""
    times = [now - then for now, then in zip(times_now(), since, strict=True)]
    tally = {"outcomes": outcomes, "cpu_s": times[0], "wall_s": times[1], "counts": told(suite)}
    Path(os.environ["ORM_TALLY"]).write_text(json.dumps(tally), "utf-8")


def times_now() -> list[float]:
    """The clocks by which runs are compared."""
    return [process_time(), perf_counter()]


def told(suite: Suite | None) -> dict[str, int]:
    """What a suite has seen."""
    if suite is None or suite.tables is None:
        return {}
    counts = suite.tables.results.counts
    statements = sum(each.calls for each in suite.children.statements.shapes())
    names = ("hits", "misses", "stores", "bypasses")
    return {"statements": statements, **{name: getattr(counts, name) for name in names}}


def attached(create: Callable[..., Any], suite: Suite) -> Callable[..., Any]:
    """What makes an engine, and has the suite follow it."""
    database = suite.database()

    def create_engine(*given: Any, **named: Any) -> Any:
        engines["made"] += 1
        return database.attach(create(*given, **named))

    create_engine.__doc__ = create.__doc__
    return create_engine


def follow_engines() -> Suite:
    """Attach each engine once it is made, before their tests have `create_engine`'s name."""
    import sqlalchemy
    from sqlalchemy import engine
    from sqlalchemy.engine import create

    from apsperf_mw import Suite
    from apsperf_mw.db.sqlalchemy import holds

    holds()  # it makes an engine to find out, which is nobody's
    suite = Suite(**SETTINGS)
    made = attached(create.create_engine, suite)
    for module in (sqlalchemy, engine, create):
        setattr(module, "create_engine", made)  # noqa: B010
    return suite


following = None if MODE == "bare" else follow_engines()
if EAGER:
    keep_all()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    """Have those extensions alone made that the PostgreSQL server has."""
    if port := os.environ.get("ORM_PORT"):
        import psycopg
        from sqlalchemy.dialects.postgresql import provision

        server = f"host=127.0.0.1 port={port} user=apsperf dbname=postgres"
        with psycopg.connect(server) as connection:
            names = {
                name for (name,) in connection.execute("SELECT name FROM pg_available_extensions")
            }
        provision._extensions[:] = [each for each in provision._extensions if each[0] in names]


def pytest_collection_finish() -> None:
    """Time the tests alone."""
    began[:] = times_now()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep each test's worst phase."""
    if report.when == "call" or report.outcome != "passed":
        outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish() -> None:
    """Write the tally down."""
    if began:
        write(outcomes, began, following)
