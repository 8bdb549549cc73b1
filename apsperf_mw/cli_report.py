"""The command `apsperf report`."""

from __future__ import annotations

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
        return
    from msgspec import convert

    from apsperf_mw.observe.report import Report

    click.echo(f"process {told['pid']}: {convert(told, Report)}")
