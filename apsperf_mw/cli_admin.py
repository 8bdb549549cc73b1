"""The commands `apsperf purge`, `apsperf cache stats` and `apsperf explain`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from apsperf_mw.errors import APSPerfError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.cache.channel import Channel
    from apsperf_mw.cache.tags import Purge

NO_WHERE = (
    "neither is given; accepted: --server http://host:port for a running app, --app"
    " module:attribute for one in this process"
)
NO_CHANNEL = (
    "nothing is reached: cache.purge_file is none, or the cache's driver is outside the app's"
    " processes; accepted: --server http://host:port"
)
UNKNOWN = "how many there are is not known from here"


class Failed(click.ClickException):
    """What was not done, and why."""

    exit_code = 2


class PartlyFailed(Failed):
    """Something was done."""

    exit_code = 1


def _reaching(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where the store is."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        click.option("--factory", is_flag=True, help="What --app names is called."),
        click.option("--app", metavar="MODULE:ATTR", help="Import an ASGI or WSGI app."),
        click.option("--token", help="The server's admin.token; else APSPERF_ADMIN__TOKEN."),
        click.option("--server", metavar="URL", help="Ask the admin endpoint of a running app."),
    ):
        command = option(command)
    return command


@contextmanager
def _failing() -> Iterator[None]:
    from apsperf_mw.errors import PurgeError
    from apsperf_mw.remote.server import PartlyDone

    try:
        yield
    except PartlyDone as error:
        raise PartlyFailed(str(error)) from None
    except PurgeError as error:
        raise Failed(f"nothing is purged: {error.__cause__}") from None
    except APSPerfError as error:
        raise Failed(str(error)) from None


@click.command()
@click.option("--tag", "tags", multiple=True, metavar="TAG")
@click.option("--url", "urls", multiple=True, metavar="URL", help="Absolute; or a path, any host.")
@click.option("--prefix", "prefixes", multiple=True, metavar="URL", help="As --url; all below it.")
@click.option("--all", "everything", is_flag=True)
@click.option("--hard", is_flag=True, help="Never use it again; else the app is asked about it.")
@_reaching
def purge(
    server: str | None,
    token: str | None,
    app: str | None,
    factory: bool,
    as_json: bool,
    **named: Any,
) -> None:
    """Make what is stored not good any more.

    Asks the server of --server. Without it writes for the workers of this host: those of the app
    of --app, else of an app that serves from this directory with this directory's settings.
    Ends with 2 where nothing is reached, and with 1 where not all of it is.
    """
    from apsperf_mw.cache.tags import Purge

    with _failing():
        what = Purge(**named).check()
        if server is not None:
            told = _server(server, token).ask("POST", "purge", what._asdict())
        else:
            told = _written(_channel(app, factory=factory), what)
    if as_json:
        _print_json(told)
    elif "file" in told:
        click.echo(f"written to {told['file']} for {told['reached']}; {UNKNOWN}")
    else:
        click.echo(f"purged in {told['reached']} (process {told['pid']} has answered)")


@click.group()
def cache() -> None:
    """The cache of a running app."""


@cache.command()
@_reaching
def stats(
    server: str | None, token: str | None, app: str | None, factory: bool, as_json: bool
) -> None:
    """Print the numbers of the process that answers; a server may have more of them."""
    with _failing():
        if app is not None or factory:
            from apsperf_mw.remote.inside import IN_MEMORY

            raise Failed(IN_MEMORY)
        if server is None:
            raise Failed("--server: not given; accepted: http://host:port of a running app")
        told = _server(server, token).ask("GET", "stats")
    if as_json:
        _print_json(told)
        return
    for name, value in told.items():
        click.echo(f"{name:12}{value if not isinstance(value, dict) else value or 'none'}")


@click.command()
@click.argument("url")
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="A field of the request.")
@click.option("--fetch", is_flag=True, help="Make the request, and explain its response too.")
@_reaching
def explain(
    url: str,
    header: tuple[str, ...],
    fetch: bool,
    server: str | None,
    token: str | None,
    app: str | None,
    factory: bool,
    as_json: bool,
) -> None:
    """Say step by step why the response to a GET of URL is stored or reused, or is not."""
    from urllib.parse import urlencode

    pairs = [("url", url), *(("header", each) for each in header)]
    query = urlencode([*pairs, ("fetch", "1")] if fetch else pairs)
    with _failing():
        if app is not None:
            from apsperf_mw.remote.inside import explained

            told = explained(app, query, factory=factory)
        else:
            told = _server(server, token).ask("GET", f"explain?{query}")
    if as_json:
        _print_json(told)
        return
    from msgspec import convert

    from apsperf_mw.explain.steps import Explanation

    click.echo(convert(told, Explanation).text())


def _server(server: str | None, token: str | None) -> Any:
    from apsperf_mw.remote.server import Server, admin_settings

    if server is None:
        raise Failed(f"--server, --app: {NO_WHERE}")
    return Server(server, admin_settings(), token)


def _channel(app: str | None, *, factory: bool) -> Channel:
    """The way to the workers of this host."""
    if app is not None:
        from apsperf_mw.remote.inside import channel_file

        channel: Channel | None = channel_file(app, factory=factory)
    else:
        from apsperf_mw.suite import Suite

        channel = Suite().channel
    if channel is None:
        raise Failed(NO_CHANNEL)
    return channel


def _written(channel: Channel, what: Purge) -> dict[str, Any]:
    """Write the purge, unless nobody has ever read there."""
    try:
        path, state = channel.file.path, channel.file.state()
    except OSError as error:
        raise Failed(f"nothing is purged: {error}") from None
    if state is None:
        raise Failed(
            f"nothing is reached: no worker has served a request with {path}, which is made of"
            " the directory from which it was started, its user and cache.namespace;"
            " accepted: --app module:attribute, --server http://host:port"
        )
    channel.publish(what)
    reached = "the workers of this host that serve with it, before their next request"
    return {"purged": what._asdict(), "reached": reached, "file": str(path)}


def _print_json(told: dict[str, Any]) -> None:
    from msgspec import json

    click.echo(json.format(json.encode(told), indent=2))
