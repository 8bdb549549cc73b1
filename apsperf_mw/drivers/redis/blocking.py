"""The verbs of the Redis driver for threads."""

from __future__ import annotations

from os import urandom
from typing import TYPE_CHECKING

from apsperf_mw.drivers.base import Driver
from apsperf_mw.drivers.redis import commands
from apsperf_mw.drivers.redis.replies import declined, present
from apsperf_mw.drivers.versions import NO_MORE, Look

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from apsperf_mw.drivers.near import Name
    from apsperf_mw.drivers.redis.calls import Calls
    from apsperf_mw.drivers.redis.commands import Command, Held, Reply
    from apsperf_mw.drivers.versions import Versions


class Blocking(Driver):
    """What `Driver` promises, each verb in one round trip unless it says otherwise."""

    calls: Calls
    _call: Callable[[Command], Reply]
    _most: int

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        found: bytes | None = self._call(commands.get(key))
        return found

    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value."""
        return commands.was_kept(self._call(self._put(key, value, ttl_s)))

    def add(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none."""
        if len(value) > self._most:
            return False
        return commands.was_kept(self._call(commands.put_new(key, value, ttl_s)))

    def delete(self, key: bytes) -> bool:
        """Forget a key."""
        return bool(self._call(commands.drop(key)))

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values that are there, in one round trip to each server."""
        found = self.calls.call_many([commands.get(key) for key in keys])
        return present(keys, found)

    def set_many(self, items: Mapping[bytes, bytes], ttl_s: float) -> list[bytes]:
        """Keep the values, in one round trip to each server."""
        puts = [self._put(key, value, ttl_s) for key, value in items.items()]
        return declined(items, self.calls.call_many(puts))

    def delete_many(self, keys: Sequence[bytes]) -> int:
        """Forget the keys, in one round trip to each server."""
        return sum(self.calls.call_many([commands.drop(key) for key in keys]))

    def lease(self, key: bytes, ttl_s: float, token: bytes = b"") -> bytes | None:
        """A token of the sole right to make this key's value."""
        token = token or urandom(16)
        with self.calls.amending(commands.release(key, token)):
            took = self._call(commands.put_new(key, token, ttl_s, commands.LEASE))
        return token if commands.was_kept(took) else None

    def commit(self, key: bytes, token: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep the value and end the lease, in one step."""
        ttl_s = ttl_s if len(value) <= self._most else 0.0
        with self.calls.amending(commands.release(key, token)):
            done = self._call(commands.commit(key, token, value, ttl_s))
        return bool(done) and commands.px(ttl_s) > 0

    def release(self, key: bytes, token: bytes) -> bool:
        """End a lease without a value."""
        with self.calls.amending(commands.release(key, token)):
            return bool(self._call(commands.release(key, token)))

    def void(self, key: bytes) -> None:
        """Forget a key and end its lease, in one step."""
        self._call(commands.void(key))

    def bump(self, space: bytes, names: Sequence[bytes]) -> Versions:
        """Give the names a new position, in one step."""
        return commands.bumped(self._call(commands.bump(space, names, urandom(8))))

    def versions(self, space: bytes, after: int) -> Versions:
        """What was bumped after a position."""
        return commands.told(self._call(commands.versions(space, after)))

    def look(self, key: bytes, space: bytes) -> Look:
        """One round trip; in a cluster two, since two nodes keep what is asked for."""
        if self.calls.split:
            stands = self.versions(space, NO_MORE)
            return Look(self.get(key), stands.generation, stands.position)
        return commands.looked(self._call(commands.look(key, space)))

    def hold(self, key: bytes) -> Held | None:
        """The value with the time it has left, for who keeps a copy."""
        return commands.held(self._call(commands.hold(key)))

    def hold_look(self, key: bytes, space: bytes) -> tuple[Held | None, Look]:
        """As `hold` and `look`, in as many round trips as `look`."""
        if self.calls.split:
            stands = self.versions(space, NO_MORE)
            held = self.hold(key)
            return held, Look(held and held.value, stands.generation, stands.position)
        return commands.held_looked(self._call(commands.hold_look(key, space)))

    def announce(self, names: Sequence[Name]) -> None:
        """Tell of changes, where the server does not itself."""
        self.calls.call_many(commands.announce(names))

    def clear(self, prefix: bytes = b"") -> None:
        """Forget what begins with the prefix, by scanning: slow, and for no request's path."""
        for server in self.calls.routes.masters():
            for page in self.calls.pages(server, lambda at: commands.scan(at, prefix)):
                self.calls.call_many(commands.unlink(page))

    def _put(self, key: bytes, value: bytes, ttl_s: float) -> Command:
        return commands.put(key, value, ttl_s if len(value) <= self._most else 0.0)
