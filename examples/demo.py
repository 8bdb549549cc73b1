"""The record shop twice, bare and with the suite round it, under the same requests.

python examples/demo.py [--requests N] [--seed S] [--json FILE] [--serve]
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples.replay.race import race
from examples.replay.report import Figures, as_json, table, verdict, what_next, what_to_ask
from examples.replay.servers import Server, ServerFailed, running
from examples.replay.sink import Sink, listening
from examples.replay.workload import session_cookie, workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from examples.replay.race import Outcome
    from examples.replay.workload import Chunk

EXPORT_PATIENCE_S = 10.0


@click.command()
@click.option(
    "--requests",
    type=click.IntRange(1, 1_000_000),
    default=4000,
    show_default=True,
    help="Requests to replay against each shop; the log has 4,000.",
)
@click.option("--seed", default=1, show_default=True, help="Draws the pages behind the log's URLs.")
@click.option("--serve", is_flag=True, help="Keep both shops up until Ctrl-C.")
@click.option(
    "--json",
    "file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the figures to this file too.",
)
def main(requests: int, seed: int, serve: bool, file: Path | None) -> None:
    """Replay a real access log against the record shop, bare and wrapped, and compare."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        different = run(requests, seed, file, serve=serve)
    except ServerFailed as failure:
        raise click.ClickException(str(failure)) from failure
    except KeyboardInterrupt:
        click.echo("\nStopped.")
        sys.exit(130)
    sys.exit(1 if different else 0)


def run(requests: int, seed: int, file: Path | None, *, serve: bool) -> bool:
    """The whole demo; whether any response was different."""
    secret = secrets.token_hex()
    chunks = workload(requests, seed, secret)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="apsperf-demo-")))
        sink = stack.enter_context(listening())
        click.echo("Starting the record shop twice: bare, and with the suite round it ...")
        bare, wrapped = stack.enter_context(running(directory, secret, sink.url))
        outcome = replay(bare, wrapped, chunks)
        report(outcome, sink, file)
        if serve:
            click.echo(what_to_ask(bare, wrapped, session_cookie(1, secret)))
            keep_up(bare, wrapped)
        else:
            click.echo(what_next(click.get_current_context().command_path))
    return bool(outcome.different)


def replay(bare: Server, wrapped: Server, chunks: list[Chunk]) -> Outcome:
    """Play the chunks; a server that fails on the way is named with its log."""
    total = sum(len(chunk.reads) for chunk in chunks)
    try:
        with progress(total) as advance:
            return asyncio.run(race(bare, wrapped, chunks, advance))
    except OSError as failure:
        time.sleep(0.5)  # a server that is dying gets to say so
        bare.check()
        wrapped.check()
        raise ServerFailed(f"a shop stopped answering: {failure!r}") from failure


def report(outcome: Outcome, sink: Sink, file: Path | None) -> None:
    """Print the table and the verdict; write the file."""
    sink.wait_for_exports(2, EXPORT_PATIENCE_S)  # the first may have been under way
    bare, wrapped = Figures.of(outcome.bare), Figures.of(outcome.wrapped, sink)
    click.echo(f"\n{table(bare, wrapped)}\n{verdict(outcome)}\n")
    if file is not None:
        figures = as_json(bare, wrapped, outcome)
        file.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


def keep_up(bare: Server, wrapped: Server) -> None:
    """Return at Ctrl-C only; `ServerFailed` if a shop dies."""
    try:
        while True:
            bare.check()
            wrapped.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        click.echo("\nStopping both shops.")


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], object]]:
    """A bar on a terminal, some lines elsewhere."""
    if sys.stdout.isatty():
        with click.progressbar(length=total, label="Replaying", show_pos=True) as bar:
            yield bar.update
    else:
        yield Lines(total).advance


class Lines:
    """Progress for a log: a line for each tenth."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def advance(self, steps: int) -> None:
        """So many more are done."""
        before, self._done = self._done, self._done + steps
        if self._done * 10 // self._total > before * 10 // self._total:
            click.echo(f"Replayed {self._done:,} of {self._total:,} requests")


if __name__ == "__main__":
    main()
