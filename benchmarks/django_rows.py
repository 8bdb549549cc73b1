"""What one object of Django's costs by its key: bare, noted, and where its row is kept.

`python -m benchmarks.django_rows [--rounds N]`: `get(pk=...)`, a list of ten objects and an
aggregate of 50,000 rows, on SQLite and on a PostgreSQL of its own, by turns; the least CPU time of
the thread over all rounds, but for the aggregate, which is the wall's.
"""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportIndexIssue=false, reportCallIssue=false

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.db import connections, models
from django.db.models.sql.compiler import SQLCompiler

from benchmarks.report import table
from tests.db.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[[str], Any]

ROUNDS = 10
ROWS = 50_000
HEAD = (
    *("database", "query", "bare us", "noted us", "hit us", "hit / bare"),
    *("hit with cache_all us", "miss over bare us"),
)
SLICES = {"get by key": 200, "ten objects": 50, "aggregate": 1}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.django_rows", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds: int = parser.parse_args(arguments).rounds
    rows: list[tuple[str, ...]] = []
    with Postgres() as server, tempfile.TemporaryDirectory() as place:
        set_up(server, Path(place))
        for alias in ("sqlite", "postgresql"):
            rows += [(alias, *row) for row in measured(alias, rounds)]
        connections.close_all()
    print(table(HEAD, rows))
    return 0


def set_up(server: Postgres, place: Path) -> None:
    """Two databases with the same rows."""
    settings.configure(
        INSTALLED_APPS=["apsperf_django"],
        DATABASES={
            "default": {},
            "sqlite": {"ENGINE": "django.db.backends.sqlite3", "NAME": place / "rows.sqlite"},
            "postgresql": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "postgres",
                "USER": "apsperf",
                "HOST": "127.0.0.1",
                "PORT": server.port,
            },
        },
        USE_TZ=False,
    )
    django.setup()


def measured(alias: str, rounds: int) -> list[tuple[str, ...]]:
    """The rows of one database."""
    from apsperf_django import get_suite
    from apsperf_django.gets import _get, get
    from apsperf_django.rows import _execute_sql, execute_sql

    get_suite()
    thing = model()
    connection = connections[alias]
    fill(alias, thing)
    connection.close()
    runs: dict[str, Run] = {
        "get by key": lambda how: asked(thing, how, alias).get(pk=7),
        "ten objects": lambda how: list(asked(thing, how, alias).filter(id__lt=11)),
        "aggregate": lambda how: asked(thing, how, alias).aggregate(m=models.Max("name")),
    }
    found: list[tuple[str, ...]] = []
    for name, run in runs.items():
        least: dict[str, float] = {}
        run("kept")
        for _ in range(rounds):
            wrappers, connection.execute_wrappers[:] = list(connection.execute_wrappers), []
            models.QuerySet.get, SQLCompiler.execute_sql = _get, _execute_sql
            timed(least, "bare", name, partial(run, "plain"))
            connection.execute_wrappers[:] = wrappers
            models.QuerySet.get, SQLCompiler.execute_sql = get, execute_sql
            timed(least, "noted", name, partial(run, "plain"))
            timed(least, "hit", name, partial(run, "kept"))
            with all_kept():
                timed(least, "all", name, partial(run, "all"))
            timed(least, "miss", name, partial(missed, run))
        bare, hit = least["bare"], least["hit"]
        over = "" if name == "aggregate" else f"{least['miss'] - bare:+.0f}"
        shown = (f"{bare:.1f}", f"{least['noted']:.1f}", f"{hit:.1f}", f"{hit / bare:.3f}")
        found.append((name, *shown, f"{least['all']:.1f}", over))
    return found


def missed(run: Run) -> None:
    """A query whose rows are not there."""
    from apsperf_django import get_suite

    tables = get_suite().tables
    assert tables is not None
    tables.results._driver.clear()
    run("kept")


@contextmanager
def all_kept() -> Iterator[None]:
    """As `database.cache_all` has it."""
    from apsperf_django import get_suite

    tables = get_suite().tables
    assert tables is not None
    tables.results.all_s = 86_400.0
    try:
        yield
    finally:
        tables.results.all_s = 0.0


def asked(thing: Any, how: str, alias: str) -> Any:
    """The rows, kept or not."""
    if how == "all":
        return thing.objects.db_manager(alias)
    rows = thing.objects.using(alias)
    return rows.cached("long") if how == "kept" else rows


def timed(least: dict[str, float], arm: str, name: str, run: Callable[[], Any]) -> None:
    """Keep the least time of a run."""
    clock = perf_counter if name == "aggregate" else thread_time
    started = clock()
    for _ in range(SLICES[name]):
        run()
    took = (clock() - started) / SLICES[name] * 1e6
    least[arm] = min(least.get(arm, took), took)


def model() -> Any:
    """A table."""
    meta = type("Meta", (), {"app_label": "apsperf_django", "db_table": "thing"})
    name = "Thing"
    from django.apps import apps

    known = apps.all_models["apsperf_django"].get("thing")
    if known is not None:
        return known
    columns = {"name": models.CharField(max_length=40), "number": models.IntegerField()}
    return type(name, (models.Model,), {"__module__": __name__, "Meta": meta, **columns})


def fill(alias: str, thing: Any) -> None:
    """Make it and fill it."""
    with connections[alias].schema_editor() as editor:
        editor.create_model(thing)
    thing.objects.using(alias).bulk_create(
        [thing(name=f"thing {n}", number=n % 97) for n in range(ROWS)], batch_size=5000
    )


if __name__ == "__main__":
    sys.exit(main())
