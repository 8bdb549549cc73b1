"""Run the ORMs' own tests, bare and with recorder and cache on: python -m tests.orm_suites."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import msgspec
import psycopg
from psycopg.sql import SQL, Identifier

from tests.apps.servers import ROOT
from tests.conformance.servers import clean_environ
from tests.db.postgres import Postgres
from tests.orm_suites.results import MOST_TIMES, Tally, differing, fitting, times
from tests.transparency.__main__ import HERE as TRANSPARENCY
from tests.transparency.__main__ import Broken, unpacked
from tests.transparency.results import Exemptions, wrongs

PLACE = ROOT / "build" / "orm_suites"
HERE = Path(__file__).parent
# Without the suite, as users have it, with the rows of every statement kept at once, and with what
# else there is to set.
MODES = ("bare", "on", "eager", "all")
SMOKE_MODES = {"sqlite": ("bare", "on", "all"), "postgresql": ("bare", "all")}
DJANGO = (
    *("aggregation", "aggregation_regress", "annotations", "basic", "expressions", "lookup"),
    *("many_to_many", "prefetch_related", "queries", "select_related", "transactions"),
)
SMOKE_DJANGO = ("basic", "select_related", "prefetch_related", "transactions", "lookup")
SQLALCHEMY = ("test/orm", "test/sql")
SMOKE_SQLALCHEMY = (
    *("test/orm/test_query.py", "test/orm/test_transaction.py", "test/orm/test_unitofwork.py"),
    *("test/sql/test_query.py", "test/sql/test_resultset.py", "test/sql/test_defaults.py"),
)
DATABASES = ("sqlite", "postgresql")
RUNS = tuple((orm, database) for orm in ("django", "sqlalchemy") for database in DATABASES)
# On PostgreSQL, what each change has to pass is less.
SMOKE_POSTGRESQL = {
    "django": ("basic", "transactions"),
    "sqlalchemy": ("test/orm/test_transaction.py", "test/sql/test_query.py"),
}
# What SQLAlchemy's README.unittests has one make, but for extensions: its tests make those.
SCHEMAS = ("test_schema", "test_schema_2")
RUN_S = 3600.0


@click.command()
@click.option("--only", type=click.Choice(["django", "sqlalchemy"]))
@click.option("--on", type=click.Choice(DATABASES))
@click.option("--smoke", is_flag=True, help="The part that each change has to pass.")
def main(only: str | None, on: str | None, smoke: bool) -> None:
    """Fail where a test ends otherwise than bare, unless the list allows it, or takes too long."""
    allowed = msgspec.toml.decode((HERE / "allowed.toml").read_bytes(), type=Exemptions)
    good = True
    try:
        for orm, database in RUNS:
            if only in {None, orm} and on in {None, database}:
                good = held(orm, database, allowed, smoke=smoke) and good
    except Broken as why:
        raise click.ClickException(str(why)) from None
    sys.exit(0 if good else 1)


def held(orm: str, database: str, allowed: Exemptions, *, smoke: bool) -> bool:
    """Run one ORM's tests in each mode; whether all is as it should be."""
    modes = SMOKE_MODES[database] if smoke else MODES
    with ExitStack() as stack:
        port = stack.enter_context(Postgres()).port if database == "postgresql" else None
        tallies = {mode: run(orm, mode, port, smoke=smoke) for mode in modes}
    bare = tallies.pop("bare")
    click.echo(f"{orm} on {database}, bare: {told(bare)}")
    slow: list[str] = []
    found: dict[str, list[str]] = {}
    for mode, tally in tallies.items():
        found[mode] = differing(bare, tally)
        took = times(bare, tally)
        click.echo(f"  {mode}: {told(tally)}; {took:.2f} times bare; {len(found[mode])} differ")
        click.echo(f"    {', '.join(f'{count} {name}' for name, count in tally.counts.items())}")
        if mode == "on" and took > MOST_TIMES and not smoke:
            slow.append(f"{mode}: {took:.2f} times the time without; {MOST_TIMES} at most")
    exempt = fitting(allowed.allowed, bare, orm, database)
    wrong = [*slow, *wrongs(orm, {each for some in found.values() for each in some}, exempt)]
    for each in wrong:
        click.echo(f"  ! {each}")
    return not wrong


def told(tally: Tally) -> str:
    """One run in a few words."""
    ends = ", ".join(f"{tally.count(each)} {each}" for each in ("passed", "failed", "skipped"))
    return f"{ends} in {tally.cpu_s:.1f} s ({tally.wall_s:.1f} by the clock)"


def run(orm: str, mode: str, port: int | None, *, smoke: bool) -> Tally:
    """One run, and what it said."""
    source = unpacked(orm)
    PLACE.mkdir(parents=True, exist_ok=True)
    tally = PLACE / f"{orm}-{port or 'sqlite'}-{mode}.json".replace(str(port), "postgresql")
    tally.unlink(missing_ok=True)
    paths = [ROOT, ROOT / "adapters", HERE, TRANSPARENCY]
    environ = clean_environ() | {
        "PYTHONPATH": ":".join(map(str, paths)),
        "ORM_MODE": mode,
        "ORM_PORT": str(port or ""),
        "ORM_TALLY": str(tally),
    }
    uri = prepared(port, mode) if port and orm == "sqlalchemy" else ""
    place = source / "tests" if orm == "django" else source
    with tally.with_suffix(".log").open("wb") as log:
        more: dict[str, Any] = {"cwd": place, "env": environ, "stdout": log, "stderr": log}
        command = command_of(orm, labels_of(orm, on_server=bool(port), smoke=smoke), uri)
        subprocess.run(command, check=False, timeout=RUN_S, **more)
    return read(tally)


def prepared(port: int, mode: str) -> str:
    """Make a database as SQLAlchemy's tests want it; its address."""
    name = f"orm_{mode}"
    server = f"host=127.0.0.1 port={port} user=apsperf"
    with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    with psycopg.connect(f"{server} dbname={name}", autocommit=True) as connection:
        for schema in SCHEMAS:
            connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(schema)))
    return f"postgresql+psycopg://apsperf@127.0.0.1:{port}/{name}"


def labels_of(orm: str, *, on_server: bool, smoke: bool) -> tuple[str, ...]:
    """Which of an ORM's tests are run."""
    if smoke and on_server:
        return SMOKE_POSTGRESQL[orm]
    if orm == "django":
        return SMOKE_DJANGO if smoke else DJANGO
    return SMOKE_SQLALCHEMY if smoke else SQLALCHEMY


def command_of(orm: str, labels: tuple[str, ...], uri: str) -> list[str]:
    """What runs an ORM's tests. SQLAlchemy's take the one that is installed, by `-s`."""
    if orm == "django":
        own = ("--settings=orm_settings", "--parallel=1", "--noinput")
        return [sys.executable, "-W", "ignore", "runtests.py", *own, *labels]
    flags = ("-q", "-p", "no:cacheprovider", "--maxfail=0", *([f"--dburi={uri}"] if uri else []))
    return [sys.executable, "-s", "-m", "pytest", "-p", "keeping", *flags, *labels]


def read(tally: Path) -> Tally:
    """What a run has left; `Broken` where that is nothing."""
    try:
        found = msgspec.json.decode(tally.read_bytes(), type=Tally)
    except (OSError, msgspec.DecodeError):
        raise Broken(f"a run left no tally; see {tally.with_suffix('.log')}") from None
    if not found.count("passed") or (found.counts and not found.counts["statements"]):
        raise Broken(f"nothing was tested; see {tally.with_suffix('.log')}")
    return found


if __name__ == "__main__":
    main()
