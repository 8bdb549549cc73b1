"""Commands on their way: to the right server, on to another where it says so, faults told."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from apsperf_mw.drivers.redis.commands import Command
from apsperf_mw.drivers.redis.dialing import fault_of
from apsperf_mw.drivers.redis.routes import SHAPES
from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from apsperf_mw.drivers.redis.commands import Reply
    from apsperf_mw.drivers.redis.options import Options
    from apsperf_mw.drivers.redis.server import Server

    Groups = list[tuple[Server, list[int]]]

ASKING = Command((b"ASKING",), None)
# A cluster that keeps sending on is not followed further.
MOST_HOPS = 4


class Calls:
    """What both faces share; every fault comes out as a `DriverError`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.routes = SHAPES[options.shape](options)
        # Only a cluster has the two keys of a `look` on different nodes.
        self.split = options.shape == "cluster"

    @contextmanager
    def amending(self, command: Command) -> Iterator[None]:
        """A call that fails may have been carried out: then do this, as soon as it works."""
        try:
            yield
        except BaseException:
            self.routes.amend(command)
            raise

    def call(self, command: Command) -> Reply:
        """The reply, for threads."""
        server, asking = self.routes.server(command.key), False
        for _ in range(MOST_HOPS):
            try:
                if asking:
                    return _second(server.call_many([ASKING, command.known()]))
                return server.call(command)
            except Exception as fault:
                server, asking = self._next(server, fault)
        raise self._lost()

    async def acall(self, command: Command) -> Reply:
        """The reply, for tasks of asyncio."""
        server, asking = await self._aserver(command.key), False
        for _ in range(MOST_HOPS):
            try:
                if asking:
                    return _second(await server.tasks.call_many([ASKING, command.known()]))
                return await server.tasks.call(command)
            except Exception as fault:
                server, asking = self._next(server, fault)
        raise self._lost()

    def call_many(self, commands: Sequence[Command]) -> list[Reply]:
        """The replies, one round trip to each server; for threads."""
        replies: dict[int, Reply] = {}
        for server, places in self._groups(commands):
            try:
                found = server.call_many([commands[at] for at in places])
            except Exception as fault:
                self._next(server, fault)
                raise
            for at, reply in zip(places, found, strict=True):
                again = isinstance(reply, Exception)
                replies[at] = self.call(commands[at]) if again else reply
        return [replies[at] for at in range(len(commands))]

    async def acall_many(self, commands: Sequence[Command]) -> list[Reply]:
        """The replies, one round trip to each server; for tasks of asyncio."""
        await self._aserver(None)
        replies: dict[int, Reply] = {}
        for server, places in self._groups(commands):
            try:
                found = await server.tasks.call_many([commands[at] for at in places])
            except Exception as fault:
                self._next(server, fault)
                raise
            for at, reply in zip(places, found, strict=True):
                again = isinstance(reply, Exception)
                replies[at] = await self.acall(commands[at]) if again else reply
        return [replies[at] for at in range(len(commands))]

    def call_all(self, command: Command) -> list[Reply]:
        """The replies of every server that keeps values."""
        return [self._one(server, command) for server in self.routes.masters()]

    def pages(self, server: Server, scan: Any) -> Iterable[list[bytes]]:
        """What a scan finds, page by page."""
        cursor = b"0"
        while True:
            cursor, found = self._one(server, scan(cursor))
            yield found
            if cursor == b"0":
                return

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        for server in self.routes.servers.values():
            await server.tasks.close()

    def _one(self, server: Server, command: Command) -> Reply:
        try:
            return server.call(command)
        except Exception as fault:
            self._next(server, fault)
            raise

    async def _aserver(self, key: bytes | None) -> Server:
        if not self.routes.known:
            from apsperf_mw.runtime.loop import hop

            await hop(self.routes.locate)
        return self.routes.server(key)

    def _groups(self, commands: Sequence[Command]) -> Groups:
        groups: dict[int, tuple[Server, list[int]]] = {}
        for at, command in enumerate(commands):
            server = self.routes.server(command.key)
            groups.setdefault(id(server), (server, []))[1].append(at)
        return list(groups.values())

    def _next(self, server: Server, fault: Exception) -> tuple[Server, bool]:
        """Where to turn next; else the fault is raised as the driver says it."""
        if isinstance(fault, DriverError):
            raise fault
        turn = self.routes.follow(server, fault)
        if turn is None:
            raise fault_of(fault, server.address) or fault from fault
        return turn

    def _lost(self) -> DriverError:
        return DriverError(f"the nodes of {self.options.place} keep sending the command on")


def _second(replies: Sequence[Reply]) -> Reply:
    """What came after ASKING; a refusal is raised."""
    reply = replies[1]
    if isinstance(reply, Exception):
        raise reply
    return reply
