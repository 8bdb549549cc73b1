"""Run the ORMs' own tests, bare and with recorder and cache on: python -m tests.orm_suites."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import msgspec

from tests.apps.servers import ROOT
from tests.conformance.servers import clean_environ
from tests.db.postgres import Postgres
from tests.orm_suites.results import MOST_TIMES, Tally, differing, times
from tests.transparency.__main__ import HERE as TRANSPARENCY
from tests.transparency.__main__ import Broken, unpacked
from tests.transparency.results import Exemption, Exemptions, wrongs

PLACE = ROOT / "build" / "orm_suites"
HERE = Path(__file__).parent
# Without the suite, as users have it, and with the rows of every statement kept at once.
MODES = ("bare", "on", "eager")
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
# What is run: an ORM on a database. SQLAlchemy's on PostgreSQL want a server that is set up so.
RUNS = (("django", "sqlite"), ("django", "postgresql"), ("sqlalchemy", "sqlite"))
RUN_S = 3600.0


@click.command()
@click.option("--only", type=click.Choice(["django", "sqlalchemy"]))
@click.option("--smoke", is_flag=True, help="The part that each change has to pass.")
def main(only: str | None, smoke: bool) -> None:
    """Fail where a test ends otherwise than bare, unless the list allows it, or takes too long."""
    allowed = msgspec.toml.decode((HERE / "allowed.toml").read_bytes(), type=Exemptions).allowed
    good = True
    try:
        for orm, database in RUNS:
            if only in {None, orm} and not (smoke and database != "sqlite"):
                good = held(orm, database, allowed, smoke=smoke) and good
    except Broken as why:
        raise click.ClickException(str(why)) from None
    sys.exit(0 if good else 1)


def held(orm: str, database: str, allowed: tuple[Exemption, ...], *, smoke: bool) -> bool:
    """Run one ORM's tests in each mode; whether all is as it should be."""
    with ExitStack() as stack:
        port = stack.enter_context(Postgres()).port if database == "postgresql" else None
        tallies = {mode: run(orm, mode, port, smoke=smoke) for mode in MODES}
    bare = tallies.pop("bare")
    click.echo(f"{orm} on {database}, bare: {told(bare)}")
    wrong: list[str] = []
    for mode, tally in tallies.items():
        found = differing(bare, tally)
        took = times(bare, tally)
        click.echo(f"  {mode}: {told(tally)}; {took:.2f} times bare; {len(found)} differ")
        click.echo(f"    {', '.join(f'{count} {name}' for name, count in tally.counts.items())}")
        wrong += [f"{mode}: {each}" for each in wrongs(orm, found, allowed)]
        if mode == "on" and took > MOST_TIMES and not smoke:
            wrong.append(f"{mode}: {took:.2f} times the time without; {MOST_TIMES} at most")
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
    place = source / "tests" if orm == "django" else source
    with tally.with_suffix(".log").open("wb") as log:
        more: dict[str, Any] = {"cwd": place, "env": environ, "stdout": log, "stderr": log}
        subprocess.run(command_of(orm, smoke=smoke), check=False, timeout=RUN_S, **more)
    return read(tally)


def command_of(orm: str, *, smoke: bool) -> list[str]:
    """What runs an ORM's tests. SQLAlchemy's take the one that is installed, by `-s`."""
    if orm == "django":
        labels: tuple[str, ...] = SMOKE_DJANGO if smoke else DJANGO
        own = ("--settings=orm_settings", "--parallel=1", "--noinput")
        return [sys.executable, "-W", "ignore", "runtests.py", *own, *labels]
    labels = SMOKE_SQLALCHEMY if smoke else SQLALCHEMY
    flags = ("-q", "-p", "no:cacheprovider", "--maxfail=0")
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
