"""The commands `apsperf purge` and `apsperf explain`, and what others share with them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from apsperf_mw.errors import APSPerfError
from apsperf_mw.printed import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.cache.channel import Channel
    from apsperf_mw.cache.tags import Purge

NO_WHERE = (
    "neither is given; accepted: --server http://host:port for a running app, --app"
    " module:attribute for one in this process"
)
SHARED = "all that share the store"
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


AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
TOKEN = click.option("--token", help="The server's admin.token; else APSPERF_ADMIN__TOKEN.")
SERVER = click.option("--server", metavar="URL", help="Ask the admin endpoint of a running app.")


def reaching(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where the store is."""
    for option in (
        AS_JSON,
        click.option("--factory", is_flag=True, help="What --app names is called."),
        click.option("--app", metavar="MODULE:ATTR", help="Import an ASGI or WSGI app."),
        TOKEN,
        SERVER,
    ):
        command = option(command)
    return command


@contextmanager
def failing() -> Iterator[None]:
    """Have our errors end the command, with 2, or with 1 where something was done."""
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
@reaching
def purge(
    server: str | None,
    token: str | None,
    app: str | None,
    factory: bool,
    as_json: bool,
    **named: Any,
) -> None:
    """Make what is stored not good any more.

    Asks the server of --server. Without it purges in the store that the workers share, or writes
    for the workers of this host: of the app of --app, else of this directory's settings.
    Ends with 2 where nothing is reached, and with 1 where not all of it is.
    """
    from apsperf_mw.cache.tags import Purge

    with failing():
        what = Purge(**named).check()
        if server is not None:
            told = server_at(server, token).ask("POST", "purge", what._asdict())
        else:
            told = _purged(app, what, factory=factory)
    if as_json:
        print_json(told)
    elif told["reached"] == SHARED:
        click.echo(f"purged for {SHARED}")
    elif "file" in told:
        click.echo(f"written to {told['file']} for {told['reached']}; {UNKNOWN}")
    else:
        click.echo(f"purged in {told['reached']} (process {told['pid']} has answered)")


@click.command()
@click.argument("url")
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="A field of the request.")
@click.option("--fetch", is_flag=True, help="Make the request, and explain its response too.")
@reaching
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
    with failing():
        if app is not None:
            from apsperf_mw.remote.inside import explained

            told = explained(app, query, factory=factory)
        else:
            told = server_at(server, token).ask("GET", f"explain?{query}")
    if as_json:
        print_json(told)
        return
    from msgspec import convert

    from apsperf_mw.explain.steps import Explanation

    click.echo(convert(told, Explanation).text())


def server_at(server: str | None, token: str | None) -> Any:
    """The admin endpoint of a running app."""
    from apsperf_mw.remote.server import Server, admin_settings

    if server is None:
        raise Failed(f"--server, --app: {NO_WHERE}")
    return Server(server, admin_settings(), token)


def _purged(app: str | None, what: Purge, *, factory: bool) -> dict[str, Any]:
    """Purge in the store that the workers share, or write for those of this host."""
    if app is not None:
        from apsperf_mw.remote.inside import purged

        local, channel = purged(app, what, factory=factory)
    else:
        local, channel = _purged_by_settings(what)
    if not local:
        return {"purged": what._asdict(), "reached": SHARED}
    if channel is None:
        raise Failed(NO_CHANNEL)
    return _written(channel, what)


def _purged_by_settings(what: Purge) -> tuple[bool, Channel | None]:
    """Purge in the store of this directory's settings; whether it is in memory, and its channel."""
    from apsperf_mw.suite import Suite

    suite = Suite()
    local = suite.driver("cache").local
    if not local:
        suite.purge(*what.tags, **{k: v for k, v in what._asdict().items() if k != "tags"})
        suite.close()
    return local, suite.channel


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


def print_json(told: object) -> None:
    """Print one JSON object."""
    click.echo(as_json(told))
