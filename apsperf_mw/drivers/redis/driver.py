"""The Redis driver: both faces over one set of commands."""

from __future__ import annotations

from os import urandom
from typing import TYPE_CHECKING, Any, ClassVar, Self

from apsperf_mw.drivers.async_base import AsyncDriver
from apsperf_mw.drivers.base import Driver
from apsperf_mw.drivers.redis import commands
from apsperf_mw.drivers.redis.calls import Calls
from apsperf_mw.drivers.redis.dialing import require
from apsperf_mw.drivers.redis.options import Options
from apsperf_mw.drivers.versions import NO_MORE, Look
from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from apsperf_mw.drivers.redis.commands import Command, Held, Reply
    from apsperf_mw.drivers.versions import Versions


class RedisDriver(Driver, AsyncDriver):
    """Keeps values in Redis 6.2 or newer, or Valkey; each verb is atomic there.

    A server that does not answer costs the first few calls their time-out and then nobody: each
    call raises `DriverDown` at once until a probe in the background was answered. A value larger
    than `max_value_bytes` is declined.
    """

    blocks: ClassVar[bool] = True
    suspends: ClassVar[bool] = True
    shared: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        require()
        self.calls = Calls(options)
        self._call = self.calls.call
        self._most = options.limits.max_value_bytes

    @classmethod
    def from_url(cls, url: str) -> Self:
        """`redis://user:password@host:6379/0?timeout_s=0.1`; also `rediss://` (TLS).

        `unix:///path`, `redis+cluster://host:port,host:port` and
        `redis+sentinel://host,host/master/0` too; `Limits` lists the options.
        """
        return cls(Options.read(url))

    def __repr__(self) -> str:
        return f"<RedisDriver {self.calls.options.place}>"

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        found: bytes | None = self._call(commands.get(key))
        return found

    async def aget(self, key: bytes) -> bytes | None:
        """The value, or None."""
        found: bytes | None = await self._acall(commands.get(key))
        return found

    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value."""
        return commands.was_kept(self._call(self._put(key, value, ttl_s)))

    async def aset(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value."""
        return commands.was_kept(await self._acall(self._put(key, value, ttl_s)))

    def add(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none."""
        if len(value) > self._most:
            return False
        return commands.was_kept(self._call(commands.put_new(key, value, ttl_s)))

    async def aadd(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none."""
        if len(value) > self._most:
            return False
        return commands.was_kept(await self._acall(commands.put_new(key, value, ttl_s)))

    def delete(self, key: bytes) -> bool:
        """Forget a key."""
        return bool(self._call(commands.drop(key)))

    async def adelete(self, key: bytes) -> bool:
        """Forget a key."""
        return bool(await self._acall(commands.drop(key)))

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values that are there, in one round trip to each server."""
        found = self.calls.call_many([commands.get(key) for key in keys])
        return _present(keys, found)

    async def aget_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values that are there, in one round trip to each server."""
        return _present(keys, await self._acall_many([commands.get(key) for key in keys]))

    def set_many(self, items: Mapping[bytes, bytes], ttl_s: float) -> list[bytes]:
        """Keep the values, in one round trip to each server."""
        puts = [self._put(key, value, ttl_s) for key, value in items.items()]
        return _declined(items, self.calls.call_many(puts))

    async def aset_many(self, items: Mapping[bytes, bytes], ttl_s: float) -> list[bytes]:
        """Keep the values, in one round trip to each server."""
        puts = [self._put(key, value, ttl_s) for key, value in items.items()]
        return _declined(items, await self._acall_many(puts))

    def delete_many(self, keys: Sequence[bytes]) -> int:
        """Forget the keys, in one round trip to each server."""
        return sum(self.calls.call_many([commands.drop(key) for key in keys]))

    async def adelete_many(self, keys: Sequence[bytes]) -> int:
        """Forget the keys, in one round trip to each server."""
        return sum(await self._acall_many([commands.drop(key) for key in keys]))

    def lease(self, key: bytes, ttl_s: float) -> bytes | None:
        """A token of the sole right to make this key's value."""
        token = urandom(16)
        took = self._call(commands.put_new(key, token, ttl_s, commands.LEASE))
        return token if commands.was_kept(took) else None

    async def alease(self, key: bytes, ttl_s: float) -> bytes | None:
        """A token of the sole right to make this key's value."""
        token = urandom(16)
        took = await self._acall(commands.put_new(key, token, ttl_s, commands.LEASE))
        return token if commands.was_kept(took) else None

    def commit(self, key: bytes, token: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep the value and end the lease, in one step."""
        ttl_s = ttl_s if len(value) <= self._most else 0.0
        done = self._call(commands.commit(key, token, value, ttl_s))
        return bool(done) and commands.px(ttl_s) > 0

    async def acommit(self, key: bytes, token: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep the value and end the lease, in one step."""
        ttl_s = ttl_s if len(value) <= self._most else 0.0
        done = await self._acall(commands.commit(key, token, value, ttl_s))
        return bool(done) and commands.px(ttl_s) > 0

    def release(self, key: bytes, token: bytes) -> bool:
        """End a lease without a value."""
        return bool(self._call(commands.release(key, token)))

    async def arelease(self, key: bytes, token: bytes) -> bool:
        """End a lease without a value."""
        return bool(await self._acall(commands.release(key, token)))

    def bump(self, space: bytes, names: Sequence[bytes]) -> Versions:
        """Give the names a new position, in one step."""
        return commands.bumped(self._call(commands.bump(space, names, urandom(8))))

    async def abump(self, space: bytes, names: Sequence[bytes]) -> Versions:
        """Give the names a new position, in one step."""
        return commands.bumped(await self._acall(commands.bump(space, names, urandom(8))))

    def versions(self, space: bytes, after: int) -> Versions:
        """What was bumped after a position."""
        return commands.told(self._call(commands.versions(space, after)))

    async def aversions(self, space: bytes, after: int) -> Versions:
        """What was bumped after a position."""
        return commands.told(await self._acall(commands.versions(space, after)))

    def look(self, key: bytes, space: bytes) -> Look:
        """One round trip; in a cluster two, since two nodes keep what is asked for."""
        if self.calls.split:
            stands = self.versions(space, NO_MORE)
            return Look(self.get(key), stands.generation, stands.position)
        return commands.looked(self._call(commands.look(key, space)))

    async def alook(self, key: bytes, space: bytes) -> Look:
        """One round trip; in a cluster two, since two nodes keep what is asked for."""
        if self.calls.split:
            stands = await self.aversions(space, NO_MORE)
            return Look(await self.aget(key), stands.generation, stands.position)
        return commands.looked(await self._acall(commands.look(key, space)))

    def hold(self, key: bytes) -> Held | None:
        """The value with the time it has left, for who keeps a copy."""
        return commands.held(self._call(commands.hold(key)))

    async def ahold(self, key: bytes) -> Held | None:
        """The value with the time it has left, for who keeps a copy."""
        return commands.held(await self._acall(commands.hold(key)))

    def clear(self, prefix: bytes = b"") -> None:
        """Forget what begins with the prefix, by scanning: slow, and for no request's path."""
        for server in self.calls.routes.masters():
            for page in self.calls.pages(server, lambda at: commands.scan(at, prefix)):
                self.calls.call_many(commands.unlink(page))

    async def aclear(self, prefix: bytes = b"") -> None:
        """As `clear`, in a worker thread."""
        from apsperf_mw.runtime.loop import hop

        await hop(self.clear, prefix)

    def close(self) -> None:
        """Close the connections that threads have used; may come twice."""
        self.calls.routes.close()

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        from apsperf_mw.runtime.loop import under_trio

        if not under_trio():
            await self.calls.aclose()

    def exclusive(self) -> AbstractContextManager[object]:
        """Nobody can keep others from a server: raises `DriverError`. No verb needs it."""
        raise DriverError("redis: nothing holds the whole store; each verb is atomic by itself")

    def aexclusive(self) -> AbstractAsyncContextManager[object]:
        """As `exclusive`."""
        raise DriverError("redis: nothing holds the whole store; each verb is atomic by itself")

    def stats(self) -> dict[str, int]:
        """`entries` and `size_bytes` of the whole server, which others may use too; `faults`."""
        servers = self.calls.routes.masters()
        return {
            "entries": sum(self.calls.call_all(commands.SIZE)),
            "size_bytes": sum(map(commands.used_memory, self.calls.call_all(commands.MEMORY))),
            "faults": sum(server.faults for server in servers),
        }

    @property
    def down(self) -> bool:
        """Whether something is known to be down, so that calls raise at once."""
        return self.calls.routes.ailing()

    def _put(self, key: bytes, value: bytes, ttl_s: float) -> Command:
        return commands.put(key, value, ttl_s if len(value) <= self._most else 0.0)

    async def _acall(self, command: Command) -> Reply:
        return await self._await(self.calls.acall, self._call, command)

    async def _acall_many(self, asked: list[Command]) -> list[Reply]:
        replies: list[Reply] = await self._await(
            self.calls.acall_many, self.calls.call_many, asked
        )
        return replies

    async def _await(
        self, native: Callable[[Any], Any], blocking: Callable[[Any], Any], what: object
    ) -> Any:
        """By asyncio's own connections; under trio, which redis-py does not know, by a thread."""
        from apsperf_mw.runtime.loop import hop, under_trio

        return await (hop(blocking, what) if under_trio() else native(what))


def _present(keys: Sequence[bytes], found: Sequence[bytes | None]) -> dict[bytes, bytes]:
    pairs = zip(keys, found, strict=True)
    return {key: value for key, value in pairs if value is not None}


def _declined(items: Mapping[bytes, bytes], replies: Sequence[Reply]) -> list[bytes]:
    pairs = zip(items, replies, strict=True)
    return [key for key, reply in pairs if not commands.was_kept(reply)]
