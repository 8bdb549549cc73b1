"""The commands `apsperf report` and `apsperf doctor`."""

from __future__ import annotations

from typing import Any

import click

from apsperf_mw.cli_admin import AS_JSON, SERVER, TOKEN, failing, print_json, server_at


@click.command()
@SERVER
@TOKEN
@AS_JSON
def report(server: str | None, token: str | None, as_json: bool) -> None:
    """Say where a running app's time goes, route by route, and what to do about it.

    Of several workers behind one address, the one that answers tells of its own requests.
    """
    with failing():
        told = server_at(server, token).ask("GET", "report")
    if as_json:
        print_json(told)
    else:
        click.echo(in_words(told))


def in_words(told: dict[str, Any]) -> str:
    """The report that a process gave, for people."""
    from msgspec import convert

    from apsperf_mw.observe.report import Report

    return f"process {told['pid']}: {convert(told, Report)}"


@click.command()
@click.option("--app", required=True, metavar="MODULE:ATTR", help="Import an ASGI or WSGI app.")
@click.option("--factory", is_flag=True, help="What --app names is called.")
@AS_JSON
def doctor(app: str, factory: bool, as_json: bool) -> None:
    """Say of an app and its suite what works, what does not, and what may surprise.

    Lists its routes, each with its mark and what stands in its way, and asks every driver. Ends
    with 1 where something is broken.
    """
    from apsperf_mw.remote.inside import checked_up

    with failing():
        found = checked_up(app, factory=factory)
    if as_json:
        print_json(found)
    else:
        click.echo(str(found))
    raise SystemExit(0 if found.healthy else 1)
