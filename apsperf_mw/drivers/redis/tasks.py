"""One server as tasks of asyncio reach it: connections of each loop, ended with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.drivers.redis.dialing import async_connection, fault_of, is_fault
from apsperf_mw.runtime.tasks import PerLoop, Places, all_of, time_limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from apsperf_mw.drivers.redis.commands import Command, Reply
    from apsperf_mw.drivers.redis.links import TaskLink
    from apsperf_mw.drivers.redis.server import Server


class Links:
    """The connections of one loop."""

    def __init__(self, most: int) -> None:
        self.idle: list[TaskLink] = []
        self.places = Places(most)

    async def end(self) -> None:
        """Close what nobody uses."""
        idle, self.idle = self.idle, []
        await all_of(link.disconnect(nowait=False) for link in idle)


class TaskServer:
    """As `Server`, which it shares the breaker with."""

    def __init__(self, server: Server) -> None:
        limits = server.options.limits
        self._server = server
        self._links = PerLoop(lambda: Links(limits.max_connections), Links.end)
        self._timeout_s = limits.timeout_s
        self._dial_s = limits.connect_timeout_s + limits.timeout_s

    async def call(self, command: Command) -> Reply:
        """The reply to a command."""
        try:
            return await self._on_link(lambda link: _ask(link, command))
        except Exception as fault:
            if command.script is None or not is_fault(fault, "NoScriptError"):
                raise
        return await self.call(command.known())

    async def call_many(self, commands: Sequence[Command]) -> list[Reply]:
        """The replies, in one round trip; what the server refuses stands among them as raised."""
        replies: list[Reply] = await self._on_link(lambda link: _ask_many(link, commands))
        return replies

    async def close(self) -> None:
        """Close the connections of the running loop."""
        await self._links.end()

    async def _on_link(self, ask: Callable[[TaskLink], Awaitable[Reply]]) -> Reply:
        links = self._links.get()
        link = await self._take(links)
        try:
            with time_limit(self._timeout_s):
                reply = await ask(link)
        except BaseException as fault:
            await self._settle(links, link, fault)
            raise
        self._give(links, link)
        return reply

    async def _take(self, links: Links) -> TaskLink:
        server = self._server
        if server.breaker.open:
            raise server.refuse()
        if not await links.places.take(self._timeout_s):
            raise server.crowded()
        try:
            if server.breaker.open:
                raise server.refuse()
            return await self._idle_link(links) or await self._dial()
        except BaseException:
            links.places.free()
            raise

    async def _idle_link(self, links: Links) -> TaskLink | None:
        """One that is still good; the server may have gone meanwhile, and said so."""
        while links.idle:
            link = links.idle.pop()
            try:
                if link.era == self._server.era and not await link.can_read():
                    return link
            except Exception:  # noqa: S110 - that it cannot be used is all that matters
                pass
            await link.disconnect(nowait=True)
        return None

    async def _dial(self) -> TaskLink:
        server = self._server
        link = async_connection(server.options, server.address)
        link.era = server.era
        try:
            with time_limit(self._dial_s):
                await link.connect()
        except BaseException as fault:
            await link.disconnect(nowait=True)
            self._blame(fault)
            raise
        return link

    def _give(self, links: Links, link: TaskLink) -> None:
        links.idle.append(link)
        self._server.breaker.answered()
        links.places.free()

    async def _settle(self, links: Links, link: TaskLink, fault: BaseException) -> None:
        """Keep the connection if the server answered; else raise what is wrong with the server."""
        if is_fault(fault, "ResponseError"):
            self._give(links, link)
            return
        links.places.free()
        await link.disconnect(nowait=True)
        self._blame(fault)

    def _blame(self, fault: BaseException) -> None:
        told = fault_of(fault, self._server.address)
        if told is not None:
            self._server.failed(told)
            raise told from fault


async def _ask(link: TaskLink, command: Command) -> Reply:
    await link.send_command(*command.args, check_health=False)
    return await link.read_response()


async def _ask_many(link: TaskLink, commands: Sequence[Command]) -> list[Reply]:
    packed = link.pack_commands([command.args for command in commands])
    await link.send_packed_command(packed, check_health=False)
    return [await _reply(link) for _ in commands]


async def _reply(link: TaskLink) -> Reply:
    try:
        return await link.read_response()
    except Exception as fault:
        if is_fault(fault, "ResponseError"):
            return fault
        raise
