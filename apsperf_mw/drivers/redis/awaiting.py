"""The verbs of the Redis driver for tasks."""

from __future__ import annotations

from os import urandom
from typing import TYPE_CHECKING, Any

from apsperf_mw.drivers.async_base import AsyncDriver
from apsperf_mw.drivers.redis import commands
from apsperf_mw.drivers.redis.replies import declined, present
from apsperf_mw.drivers.versions import NO_MORE, Look

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from apsperf_mw.drivers.near import Name
    from apsperf_mw.drivers.redis.calls import Calls
    from apsperf_mw.drivers.redis.commands import Command, Held, Reply
    from apsperf_mw.drivers.versions import Versions


class Awaiting(AsyncDriver):
    """What `AsyncDriver` promises, each verb in one round trip unless it says otherwise."""

    calls: Calls
    _call: Callable[[Command], Reply]
    _most: int

    async def aget(self, key: bytes) -> bytes | None:
        """The value, or None."""
        found: bytes | None = await self._acall(commands.get(key))
        return found

    async def aset(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value."""
        return commands.was_kept(await self._acall(self._put(key, value, ttl_s)))

    async def aadd(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none."""
        if len(value) > self._most:
            return False
        return commands.was_kept(await self._acall(commands.put_new(key, value, ttl_s)))

    async def adelete(self, key: bytes) -> bool:
        """Forget a key."""
        return bool(await self._acall(commands.drop(key)))

    async def aget_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values that are there, in one round trip to each server."""
        return present(keys, await self._acall_many([commands.get(key) for key in keys]))

    async def aset_many(self, items: Mapping[bytes, bytes], ttl_s: float) -> list[bytes]:
        """Keep the values, in one round trip to each server."""
        puts = [self._put(key, value, ttl_s) for key, value in items.items()]
        return declined(items, await self._acall_many(puts))

    async def adelete_many(self, keys: Sequence[bytes]) -> int:
        """Forget the keys, in one round trip to each server."""
        return sum(await self._acall_many([commands.drop(key) for key in keys]))

    async def alease(self, key: bytes, ttl_s: float, token: bytes = b"") -> bytes | None:
        """A token of the sole right to make this key's value."""
        token = token or urandom(16)
        with self.calls.amending(commands.release(key, token)):
            took = await self._acall(commands.put_new(key, token, ttl_s, commands.LEASE))
        return token if commands.was_kept(took) else None

    async def acommit(self, key: bytes, token: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep the value and end the lease, in one step."""
        ttl_s = ttl_s if len(value) <= self._most else 0.0
        with self.calls.amending(commands.release(key, token)):
            done = await self._acall(commands.commit(key, token, value, ttl_s))
        return bool(done) and commands.px(ttl_s) > 0

    async def arelease(self, key: bytes, token: bytes) -> bool:
        """End a lease without a value."""
        with self.calls.amending(commands.release(key, token)):
            return bool(await self._acall(commands.release(key, token)))

    async def avoid(self, key: bytes) -> None:
        """Forget a key and end its lease, in one step."""
        await self._acall(commands.void(key))

    async def abump(self, space: bytes, names: Sequence[bytes]) -> Versions:
        """Give the names a new position, in one step."""
        return commands.bumped(await self._acall(commands.bump(space, names, urandom(8))))

    async def aversions(self, space: bytes, after: int) -> Versions:
        """What was bumped after a position."""
        return commands.told(await self._acall(commands.versions(space, after)))

    async def alook(self, key: bytes, space: bytes) -> Look:
        """One round trip; in a cluster two, since two nodes keep what is asked for."""
        if self.calls.split:
            stands = await self.aversions(space, NO_MORE)
            return Look(await self.aget(key), stands.generation, stands.position)
        return commands.looked(await self._acall(commands.look(key, space)))

    async def ahold(self, key: bytes) -> Held | None:
        """The value with the time it has left, for who keeps a copy."""
        return commands.held(await self._acall(commands.hold(key)))

    async def ahold_look(self, key: bytes, space: bytes) -> tuple[Held | None, Look]:
        """As `ahold` and `alook`, in as many round trips as `alook`."""
        if self.calls.split:
            stands = await self.aversions(space, NO_MORE)
            held = await self.ahold(key)
            return held, Look(held and held.value, stands.generation, stands.position)
        return commands.held_looked(await self._acall(commands.hold_look(key, space)))

    async def aannounce(self, names: Sequence[Name]) -> None:
        """Tell of changes, where the server does not itself."""
        await self._acall_many(commands.announce(names))

    def _put(self, key: bytes, value: bytes, ttl_s: float) -> Command:
        return commands.put(key, value, ttl_s if len(value) <= self._most else 0.0)

    async def _acall(self, command: Command) -> Reply:
        return await self._await(self.calls.acall, self._call, command)

    async def _acall_many(self, asked: list[Command]) -> list[Reply]:
        replies: list[Reply] = await self._await(self.calls.acall_many, self.calls.call_many, asked)
        return replies

    async def _await(
        self, native: Callable[[Any], Any], blocking: Callable[[Any], Any], what: object
    ) -> Any:
        """By asyncio's own connections; under trio, which redis-py does not know, by a thread."""
        from apsperf_mw.runtime.loop import hop, under_trio

        return await (hop(blocking, what) if under_trio() else native(what))
