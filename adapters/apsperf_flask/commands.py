"""`flask apsperf ...`: the suite of an app, from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from flask import current_app
from flask.cli import AppGroup

from apsperf_mw.cli_admin import failing, print_json
from apsperf_mw.cli_report import report
from apsperf_mw.cli_warm import print_report

if TYPE_CHECKING:
    from apsperf_mw.suite import Suite

group = AppGroup("apsperf", help="The suite of this app.")
group.add_command(report)


def suite_of() -> Suite:
    """The current app's suite."""
    suite: Suite = current_app.extensions["apsperf"]
    return suite


@group.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Say what works, what does not, and what may surprise; ends with 1 if something is broken."""
    checkup = suite_of().doctor()
    if as_json:
        print_json(checkup)
    else:
        click.echo(str(checkup))
    raise SystemExit(0 if checkup.healthy else 1)


@group.command()
@click.argument("tags", nargs=-1)
@click.option("--url", "urls", multiple=True, metavar="URL", help="Absolute; or a path, any host.")
@click.option("--prefix", "prefixes", multiple=True, metavar="URL", help="As --url; all below it.")
@click.option("--all", "everything", is_flag=True, help="All that is stored.")
@click.option("--hard", is_flag=True, help="Do not even ask whether it is still good.")
def purge(tags: tuple[str, ...], **what: Any) -> None:
    """Make what is stored and carries one of the TAGS not good any more."""
    with failing():
        suite_of().purge(*tags, **what)
    click.echo("purged")


@group.command()
@click.argument("paths", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def warm(paths: tuple[str, ...], as_json: bool) -> None:
    """Ask the app for the PATHS; without any, for all marked routes that take no parameters."""
    wanted = paths or [each.template for each in suite_of().lists() if each.has_one_url]
    done = suite_of().warm(wanted)
    print_report(done, as_json=as_json)
    raise SystemExit(0 if done.ok else 1)
