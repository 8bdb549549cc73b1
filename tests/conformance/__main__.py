"""Run the HTTP cache tests: python -m tests.conformance."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from tests.conformance import package
from tests.conformance.results import COUNTED, Exemption, Exemptions, report, unknown
from tests.conformance.servers import SERVERS, chosen

if TYPE_CHECKING:
    from tests.conformance.results import Report

ALLOWED = Path(__file__).with_name("allowed.toml")
SHELLS = ("asgi", "wsgi")


@click.command()
@click.option("--only", type=click.Choice([*SHELLS, *(server.name for server in SERVERS)]))
@click.option("--ids", default="", help="Run these tests only, and those that they depend on.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write all results here.")
@click.option("--dump", is_flag=True, help="Show each request and response.")
def main(only: str | None, ids: str, target: Path | None, *, dump: bool) -> None:
    """Run the public HTTP cache tests on each server; fail where one fails that may not."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    wanted = [name.strip() for name in ids.split(",") if name.strip()]
    try:
        reports, good = run_all(only, wanted, dump=dump)
    except package.Broken as why:
        raise click.ClickException(str(why)) from None
    if target is not None:
        target.write_bytes(msgspec.json.format(msgspec.json.encode(reports)))
    sys.exit(0 if good else 1)


def run_all(only: str | None, ids: list[str], *, dump: bool) -> tuple[list[Report], bool]:
    """A report for each server, and whether all is as it must be."""
    exemptions = msgspec.toml.decode(ALLOWED.read_bytes(), type=Exemptions).allowed
    installed = package.ready()
    reports, good = [], True
    for server in chosen(only):
        began = time.monotonic()
        found = report(server.name, package.run(installed, server, ids, dump=dump))
        if not ids and (wrong := unknown(exemptions, names(), found.cases)):
            raise package.Broken(f"{ALLOWED.name}: {wrong}")
        good &= show(found, exemptions, time.monotonic() - began)
        for fault in package.faults(server):
            click.echo(f"  ! {fault}")
            good = False
        reports.append(found)
    return reports, good


def names() -> list[str]:
    """All servers' names."""
    return [server.name for server in SERVERS]


def show(found: Report, exemptions: tuple[Exemption, ...], took_s: float) -> bool:
    """Print one server's report; whether no test fails but those that may, and those do."""
    passed = {kind: "{}/{}".format(*found.count(kind)) for kind in (*COUNTED, "check")}
    counts = ", ".join(f"{kind} {count}" for kind, count in passed.items())
    click.echo(f"\n{found.server}: {counts} ({took_s:.0f} s)")
    findings = found.findings(exemptions)
    for finding in findings:
        click.echo(f"  {'-' if finding.reason else '!'} {finding}")
    stale = found.stale(exemptions)
    for exemption in stale:
        click.echo(f"  ! {exemption.id} is in {ALLOWED.name}, and passes")
    return not stale and all(finding.reason for finding in findings)


if __name__ == "__main__":
    main()
