"""The command `apsperf`."""

from __future__ import annotations

import json
from importlib import metadata
from typing import TYPE_CHECKING

import click
from msgspec import to_builtins

from apsperf_mw.__about__ import __version__
from apsperf_mw.cli_admin import explain, purge
from apsperf_mw.cli_advise import advise
from apsperf_mw.cli_demo import demo
from apsperf_mw.cli_report import doctor, report
from apsperf_mw.cli_stores import cache, drivers
from apsperf_mw.cli_warm import warm
from apsperf_mw.errors import SettingError
from apsperf_mw.settings import catalogue, flatten, load, mask
from apsperf_mw.settings.masking import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ADAPTERS = "apsperf_mw.adapters"


class BadSettings(click.ClickException):
    """Settings that are not accepted, as the user sees them."""

    exit_code = 2


@click.group()
@click.version_option(__version__, prog_name="apsperf")
def main() -> None:
    """Performance suite for Python web apps."""


for command in (demo, warm, purge, explain, report, doctor, advise, cache, drivers):
    main.add_command(command)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def config(as_json: bool) -> None:
    """Print the effective settings and where each comes from."""
    try:
        settings, sources = load()
    except SettingError as error:
        raise BadSettings(str(error)) from None
    values = {path: _masked(path, value) for path, value in flatten(settings).items()}
    if as_json:
        tree = {path: {"value": value, "source": sources[path]} for path, value in values.items()}
        click.echo(json.dumps(tree, indent=2))
    else:
        rows = [(path, sources[path], _text(value)) for path, value in values.items()]
        click.echo(_columns(rows))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def adapters(as_json: bool) -> None:
    """List the framework adapters that are installed."""
    found = sorted(map(_described, metadata.entry_points(group=ADAPTERS)))
    if as_json:
        names = "name", "object", "distribution", "version"
        click.echo(json.dumps([dict(zip(names, each, strict=True)) for each in found], indent=2))
    elif found:
        click.echo(_columns(found))
    else:
        click.echo("no adapter is installed", err=True)


def _described(adapter: metadata.EntryPoint) -> tuple[str, str, str, str]:
    return adapter.name, adapter.value, _field(adapter, "Name"), _field(adapter, "Version")


def _field(adapter: metadata.EntryPoint, name: str) -> str:
    """A metadata field of the distribution; a damaged installation may lack it."""
    if adapter.dist is None or name not in adapter.dist.metadata:
        return "?"
    return adapter.dist.metadata[name]


def _masked(path: str, value: object) -> object:
    if value and path in {each.path for each in catalogue() if each.secret}:
        return HIDDEN
    return mask(value) if isinstance(value, str) else to_builtins(value)


def _text(value: object) -> str:
    return "unset" if value is None else json.dumps(value)


def _columns(rows: Iterable[Sequence[str]]) -> str:
    """The rows as lines, every column but the last padded to one width."""
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    widths[-1] = 0
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
