"""A load client that is light enough not to be the bottleneck: asyncio and httptools."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .workload import Ask

# A chunk that takes longer than this has met a server that hangs.
PATIENCE_S = 60.0


@dataclass(slots=True)
class Reply:
    """One response; `elapsed_s` runs from the request's first byte to the response's last."""

    status: int = 0
    fields: dict[bytes, bytes] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    elapsed_s: float = 0.0

    @property
    def answer(self) -> tuple[int, bytes | None, bytes]:
        """What must be the same whoever answers."""
        return self.status, self.fields.get(b"content-type"), b"".join(self.chunks)

    @property
    def hit(self) -> bool:
        """Whether Cache-Status (RFC 9211) says that it came from the cache."""
        said = self.fields.get(b"cache-status", b"")
        return b"hit" in [part.strip() for part in said.split(b";")]


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, port: int) -> None:
        self._host = f"Host: 127.0.0.1:{port}\r\n"
        self._transport: asyncio.WriteTransport | None = None
        self._done: asyncio.Future[None] | None = None
        self._reply = Reply()

    async def ask(self, ask: Ask) -> Reply:
        """The response; `ConnectionError` if the server closes before its end."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the server has closed the connection")
        self._reply = reply = Reply()
        self._done = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        began = perf_counter()
        self._transport.write(self._wire(ask))
        await self._done
        reply.elapsed_s = perf_counter() - began
        return reply

    def close(self) -> None:
        """Close without waiting."""
        if self._transport is not None:
            self._transport.close()

    def _wire(self, ask: Ask) -> bytes:
        lines = [f"{ask.method} {ask.target} HTTP/1.1\r\n", self._host]
        lines += [f"{name}: {value}\r\n" for name, value in ask.fields]
        if ask.body:
            lines.append(f"Content-Length: {len(ask.body)}\r\n")
        return "".join([*lines, "\r\n"]).encode() + ask.body

    def _fail(self, reason: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionResetError(reason))

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Some bytes have come; what does not parse closes the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the server does not speak HTTP: {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._fail(str(exc or "the server hung up"))

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field line has come."""
        self._reply.fields[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """A part of the body has come."""
        self._reply.chunks.append(body)

    def on_message_complete(self) -> None:
        """The response is whole."""
        self._reply.status = self._parser.get_status_code()
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


class Client:
    """Several connections to one server."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections = connections

    @classmethod
    async def open(cls, port: int, connections: int) -> Client:
        """Connect to a server on the loopback."""
        loop = asyncio.get_running_loop()
        opened = [
            await loop.create_connection(lambda: Connection(port), "127.0.0.1", port)
            for _ in range(connections)
        ]
        return cls([connection for _, connection in opened])

    async def play(self, asks: Sequence[Ask]) -> tuple[list[Reply], float]:
        """The replies in the order of the requests, and the seconds that all took.

        Raises `OSError` if the server hangs up or takes longer than `PATIENCE_S`.
        """
        replies = [Reply()] * len(asks)
        waiting = iter(enumerate(asks))
        began = perf_counter()
        tasks = [
            asyncio.create_task(_work(connection, waiting, replies))
            for connection in self._connections
        ]
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return replies, perf_counter() - began

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()


async def _work(
    connection: Connection, waiting: Iterator[tuple[int, Ask]], replies: list[Reply]
) -> None:
    for index, ask in waiting:
        replies[index] = await connection.ask(ask)
