"""The command `apsperf warm`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from apsperf_mw import printed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.warm.command import Order
    from apsperf_mw.warm.report import Report

# The value of `--openapi` when it stands alone.
OWN = "the app's own"

FAILED = 1
INTERRUPTED = 130

NO_SOURCE = "no source is given; accepted: --urls, --sitemap, --log, --openapi"
NOT_LASTING = (
    "note: the cache is in the memory of this process and ends with it. To warm a server ask it"
    " over HTTP (--base without --app), or call suite.warm() as it starts."
)


@click.command()
@click.option(
    "--urls", multiple=True, metavar="FILE", help="URLs or paths, one a line; - is stdin."
)
@click.option("--sitemap", multiple=True, metavar="FILE_OR_URL", help="Sitemap or its index; .gz.")
@click.option("--log", multiple=True, metavar="FILE", help="Access log, common or combined; .gz.")
@click.option(
    "--openapi",
    is_flag=False,
    flag_value=OWN,
    metavar="[FILE_OR_URL]",
    help="GETs without parameters; alone: what the app of --app says of itself.",
)
@click.option("--top", type=click.IntRange(1), help="So many pages of each log at most.")
@click.option("--app", metavar="MODULE:ATTR", help="Ask an ASGI or WSGI app in this process.")
@click.option("--factory", is_flag=True, help="What --app names is called, and returns the app.")
@click.option("--base", metavar="URL", help="Ask the server there; with --app: how clients see it.")
@click.option("--host", default="", help="Host that clients ask for, where it is not the base's.")
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="Sent; a name twice: variants.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=4, show_default=True)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests a second at most.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86_400, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds for each request.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000_000),
    default=10_000,
    show_default=True,
    help="So many pages at most.",
)
@click.option("--resume", metavar="FILE", help="Keep there what is done, and go on from it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def warm(as_json: bool, **options: Any) -> None:
    """Put pages into the cache before anybody asks for them.

    Asks only for pages of one host, by GET, without cookies or credentials. Ends with 0 where all
    went through, 1 where a page failed, 2 where the command cannot be carried out as given, and
    130 where it was interrupted.
    """
    from apsperf_mw.warm.apps import LifespanError
    from apsperf_mw.warm.command import OrderError, carry_out
    from apsperf_mw.warm.report import Report

    report, code = Report(), None
    try:
        carry_out(_order(options), report, _progress)
    except OrderError as error:
        raise click.UsageError(str(error)) from None
    except LifespanError as error:
        click.echo(f"Error: {error}", err=True)
        code = FAILED
    except KeyboardInterrupt:
        code = INTERRUPTED
    print_report(report, as_json=as_json)
    raise SystemExit((0 if report.ok else FAILED) if code is None else code)


def _order(options: dict[str, Any]) -> Order:
    from apsperf_mw.warm.command import Order, OrderError
    from apsperf_mw.warm.gather import Sources

    take = options.pop
    openapi = take("openapi")
    own = openapi == OWN
    given = take("urls"), take("sitemap"), take("log"), None if own else openapi
    if not any(given) and not own:
        raise OrderError(NO_SOURCE)
    sources = Sources(*given, top=take("top") or 0)
    return Order(sources=sources, own_openapi=own, timeout_s=take("timeout"), **options)


@contextmanager
def _progress(length: int) -> Iterator[Callable[[], object]]:
    """A progress bar on a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=length, label="warming", file=sys.stderr) as bar:
        yield lambda: bar.update(1)


def print_report(report: Report, *, as_json: bool) -> None:
    """Print what came of it, and what becomes of that."""
    click.echo(printed.as_json(report) if as_json else str(report))
    if not report.lasting:
        click.echo(NOT_LASTING, err=True)
