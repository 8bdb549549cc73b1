"""The command `apsperf advise`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from apsperf_mw.cli_admin import AS_JSON, SERVER, TOKEN, failing, print_json, server_at
from apsperf_mw.errors import AdviceError

if TYPE_CHECKING:
    from apsperf_mw.advice.advising import Advice
    from apsperf_mw.advice.workload import Query

WHERE = (
    "accepted: --server for what a running app has sent, or --database with --queries or"
    " --statistics"
)


@click.command()
@SERVER
@TOKEN
@click.option("--engine", help="Of the app's databases, by its name or Django's alias.")
@click.option("--database", metavar="URL", help="postgresql://... or sqlite:///path")
@click.option("--queries", metavar="FILE", help="SQL statements that semicolons end; - for stdin.")
@click.option(
    "--statistics", is_flag=True, help="What PostgreSQL's pg_stat_statements has counted."
)
@click.option("--budget", "budget_s", default=30.0, show_default=True, metavar="SECONDS")
@click.option("--max-indexes", default=10, show_default=True)
@AS_JSON
def advise(
    server: str | None,
    token: str | None,
    engine: str | None,
    database: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Say which indexes a workload wants, each tried on the database's own planner.

    Nothing is made. PostgreSQL needs its extension HypoPG; an SQLite database is copied.
    """
    with failing():
        if server is not None:
            told = asked(server, token, engine, options)
            advice = of_answer(told)
        else:
            advice = advised(database, options)
            told = advice.as_dict()
    if as_json:
        print_json(told)
    else:
        click.echo(str(advice))


def asked(server: str, token: str | None, engine: str | None, options: Any) -> dict[str, Any]:
    """What a running app answers."""
    wish = {"budget_s": options["budget_s"], "max_indexes": options["max_indexes"]}
    query = urlencode({**wish, **({"engine": engine} if engine else {})})
    return server_at(server, token).ask(  # type: ignore[no-any-return]
        "GET", f"advise?{query}", within_s=options["budget_s"] + 60.0
    )


def of_answer(told: dict[str, Any]) -> Advice:
    """The advice in an app's answer."""
    from msgspec import convert

    from apsperf_mw.advice.advising import Advice

    return convert(told, Advice)


def advised(database: str | None, options: Any) -> Advice:
    """Advice given in this process."""
    from apsperf_mw.advice.sources import advise_at

    if database is None:
        raise AdviceError(f"--server, --database: neither is given; {WHERE}")
    limits = {name: options[name] for name in ("budget_s", "max_indexes")}
    return advise_at(database, workload(database, options), **limits)


def workload(database: str, options: Any) -> list[Query]:
    """The statements of a file, or those that the server has counted."""
    from apsperf_mw.advice.sources import statistics_of
    from apsperf_mw.advice.workload import of_script

    if (options["queries"] is not None) == options["statistics"]:
        raise AdviceError(f"--queries, --statistics: one of them is needed; {WHERE}")
    if options["statistics"]:
        return statistics_of(database)
    return of_script(read(options["queries"]))


def read(name: str) -> str:
    """A file's text."""
    try:
        with click.open_file(name, encoding="utf-8") as opened:
            return str(opened.read())
    except (OSError, UnicodeDecodeError) as fault:
        raise AdviceError(f"--queries: {name}: {fault}") from None
