"""`apsperf demo`: the record shop, bare and wrapped, under the same requests."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
INSTALLED = HERE / "_demo"
EXTRA = "pip install 'apsperf-mw[demo]'"


class MissingExtra(click.ClickException):
    """The demo's own dependencies are not installed."""

    def __init__(self, missing: str | None) -> None:
        super().__init__(f"{missing} is not installed; the demo needs it: {EXTRA}")


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Replay a real access log against a record shop, bare and wrapped, and compare."""
    root = INSTALLED if INSTALLED.is_dir() else HERE.parent
    sys.path.insert(0, str(root))
    try:
        module = import_module("examples.demo")
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name) from None
    module.main(list(arguments), prog_name="apsperf demo")
