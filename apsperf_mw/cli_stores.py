"""The commands `apsperf drivers` and `apsperf cache ...`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from apsperf_mw.cli_admin import (
    AS_JSON,
    SERVER,
    TOKEN,
    Failed,
    PartlyFailed,
    failing,
    print_json,
    purge,
    reaching,
    server_at,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.admin.stores import DataBody

COLUMNS = ("name", "source", "url", "health", "ms", "entries", "bytes", "hits")


def _storing(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which data, and where it is."""
    for option in (
        AS_JSON,
        TOKEN,
        SERVER,
        click.option("--space", default="", help="The space that suite.cache was given."),
        click.option("--driver", default="", help="Its driver; else the one of the cache."),
    ):
        command = option(command)
    return command


@click.command()
@SERVER
@TOKEN
@AS_JSON
def drivers(server: str | None, token: str | None, as_json: bool) -> None:
    """List the drivers: where each comes from, whether it answers, and what it holds.

    Each that the settings name is asked, by a set, a get and a delete: those of this directory,
    or with --server those of a running app, whose memory only it knows. Ends with 1 where one
    does not answer.
    """
    with failing():
        if server is None:
            from apsperf_mw.remote.stores import drivers_here

            told = drivers_here()
        else:
            told = server_at(server, token).ask("GET", "drivers")["drivers"]
    if as_json:
        print_json({"drivers": told})
    else:
        click.echo(_table([COLUMNS, *map(_row, told)]))
    if any(each["url"] and each["round_trip_ms"] is None for each in told):
        raise PartlyFailed("a driver does not answer")


def _row(told: dict[str, Any]) -> tuple[str, ...]:
    numbers = (told[name] for name in ("round_trip_ms", "entries", "size_bytes"))
    ratio = told["hit_ratio"]
    cells = ("-" if each is None else str(each) for each in numbers)
    share = "-" if ratio is None else f"{ratio:.1%}"
    return told["name"], told["source"], told["url"] or "-", told["health"], *cells, share


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


@click.group()
def cache() -> None:
    """What is stored: of a running app, or in a driver that its processes share."""


cache.add_command(purge)


@cache.command()
@click.option("--driver", default="", help="A shared driver; else the one of the cache.")
@reaching
def stats(
    driver: str,
    server: str | None,
    token: str | None,
    app: str | None,
    factory: bool,
    as_json: bool,
) -> None:
    """Print the numbers of the process that answers; a server may have more of them.

    Without --server those of a driver that processes share.
    """
    with failing():
        if app is not None or factory:
            from apsperf_mw.remote.inside import IN_MEMORY

            raise Failed(IN_MEMORY)
        if server is None:
            from apsperf_mw.remote.stores import stats_of

            told = stats_of(driver)
        elif driver:
            raise Failed("--driver: not together with --server; apsperf drivers asks for all")
        else:
            told = server_at(server, token).ask("GET", "stats")
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        click.echo(f"{name:12}{value if not isinstance(value, dict) else value or 'none'}")


@cache.command()
@click.argument("key")
@_storing
def get(key: str, as_json: bool, **where: Any) -> None:
    """Print the value that the app keeps under KEY in `suite.cache`; 1 where there is none."""
    told = _asked(where, get=key)
    if as_json:
        print_json(told)
    elif told["found"]:
        _print_value(told["value"])
    if not told["found"]:
        raise PartlyFailed(f"{key!r}: nothing is kept under this key")


def _print_value(value: Any) -> None:
    from msgspec import json

    click.echo(value if isinstance(value, str) else json.encode(value).decode())


@cache.command()
@click.argument("tags", nargs=-1, required=True, metavar="TAG...")
@_storing
def invalidate(tags: tuple[str, ...], as_json: bool, **where: Any) -> None:
    """Make void what `suite.cache` keeps with one of the tags."""
    told = _asked(where, invalidate=tags)
    _say(told, as_json, f"void: what carries {', '.join(tags)}")


@cache.command()
@_storing
def clear(as_json: bool, **where: Any) -> None:
    """Forget everything that `suite.cache` keeps in a space; `purge --all` is for responses."""
    told = _asked(where, clear=True)
    _say(told, as_json, f"cleared: space {where['space']!r}")


def _say(told: dict[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        print_json(told)
    else:
        click.echo(text)


def _asked(where: dict[str, Any], **what: Any) -> dict[str, Any]:
    """What came of it, at the server or in the shared driver."""
    from apsperf_mw.admin.stores import DataBody

    with failing():
        asked = DataBody(where["driver"], where["space"], **what).check()
        return _answer(where["server"], where["token"], asked)


def _answer(server: str | None, token: str | None, asked: DataBody) -> dict[str, Any]:
    from msgspec import to_builtins

    if server is None:
        from apsperf_mw.remote.stores import data_here

        return data_here(asked)
    told: dict[str, Any] = server_at(server, token).ask("POST", "data", to_builtins(asked))
    return told
