"""Both shops under the same requests, by turns, so that the machine's noise meets both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .client import Client
from .workload import Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .client import Reply
    from .servers import Server
    from .workload import Chunk

CONNECTIONS = 8
WARM_UP = [Ask("GET", "/warm-up")] * 50


@dataclass
class Tally:
    """What one shop did."""

    requests: int = 0
    hits: int = 0
    elapsed_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    app_calls: int = 0
    sql_statements: int = 0
    rss_bytes: int = 0

    def add(self, replies: Sequence[Reply], elapsed_s: float) -> None:
        """Count a chunk."""
        self.requests += len(replies)
        self.hits += sum(reply.hit for reply in replies)
        self.elapsed_s += elapsed_s
        self.latencies_s += [reply.elapsed_s for reply in replies]


@dataclass
class Outcome:
    """The tallies of both shops, and the requests that they answered differently."""

    bare: Tally = field(default_factory=Tally)
    wrapped: Tally = field(default_factory=Tally)
    identical: int = 0
    different: list[str] = field(default_factory=list)

    def compare(self, asks: Sequence[Ask], bare: Sequence[Reply], wrapped: Sequence[Reply]) -> None:
        """Compare two shops' replies one by one."""
        for ask, one, other in zip(asks, bare, wrapped, strict=True):
            if one.answer == other.answer:
                self.identical += 1
            else:
                self.different.append(f"{ask.method} {ask.target}: {one.status}, {other.status}")


async def race(
    bare: Server, wrapped: Server, chunks: Sequence[Chunk], advance: Callable[[int], object]
) -> Outcome:
    """Play all chunks against both; `advance` is told of each that is done."""
    outcome = Outcome()
    runners = [
        Runner(server, tally, await Client.open(server.port, CONNECTIONS))
        for server, tally in ((bare, outcome.bare), (wrapped, outcome.wrapped))
    ]
    for runner in runners:
        await runner.warm_up()
    for number, chunk in enumerate(chunks):
        order = runners if number % 2 == 0 else runners[::-1]
        replies = {runner: await runner.play(chunk) for runner in order}
        outcome.compare([*chunk.reads, chunk.write], *(replies[runner] for runner in runners))
        advance(len(chunk.reads))
    for runner in runners:
        runner.finish()
    return outcome


class Runner:
    """Plays chunks against one shop and keeps its tally."""

    def __init__(self, server: Server, tally: Tally, client: Client) -> None:
        self._server = server
        self._tally = tally
        self._client = client
        self._before: dict[str, int] = {}

    async def warm_up(self) -> None:
        """Let the shop load what it loads late."""
        await self._client.play(WARM_UP)
        self._before = self._server.counted()

    async def play(self, chunk: Chunk) -> list[Reply]:
        """The replies to the reads and then to the write."""
        reads, elapsed_s = await self._client.play(chunk.reads)
        self._tally.add(reads, elapsed_s)
        write, _ = await self._client.play([chunk.write])
        return reads + write

    def finish(self) -> None:
        """Take the shop's counters and memory."""
        counted = self._server.counted()
        self._tally.app_calls = counted["app_calls"] - self._before["app_calls"]
        self._tally.sql_statements = counted["sql_statements"] - self._before["sql_statements"]
        self._tally.rss_bytes = self._server.rss_bytes
        self._client.close()
