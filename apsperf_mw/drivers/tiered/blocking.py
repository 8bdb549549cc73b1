"""The verbs of the tiered driver for threads."""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.drivers.base import Driver
from apsperf_mw.drivers.near import stand_name
from apsperf_mw.drivers.tiered.copies import Copies
from apsperf_mw.drivers.versions import Look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from apsperf_mw.drivers.near import Name
    from apsperf_mw.drivers.versions import Versions


class Blocking(Copies, Driver):
    """What `Driver` promises.

    A copy goes before its key is changed, and what was read meanwhile goes after.
    """

    def get(self, key: bytes) -> bytes | None:
        """The copy, or the value there is in Redis."""
        if monotonic() < self.near.live_until:
            value = self._get(key)
            if value is not None:
                return value
        return self._fetch(key)

    def _fetch(self, key: bytes) -> bytes | None:
        self.listen()
        began, mark = monotonic(), self.near.begin(key)
        try:
            return self._kept(mark, began, self.far.hold(key))
        finally:
            self.near.end(mark)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The copies, and from Redis what there are none of."""
        found = {key: self.copy(key) for key in keys}
        missing = [key for key, value in found.items() if value is None]
        if missing:
            found.update(self.far.get_many(missing))
        return {key: value for key, value in found.items() if value is not None}

    def look(self, key: bytes, space: bytes) -> Look:
        """From the copies, or in one round trip."""
        stand = self.copy(stand_name(space))
        if stand is not None:
            return Look(self.get(key), *stand)
        self.listen()
        began = monotonic()
        marks = self.near.begin(key), self.near.begin(stand_name(space))
        try:
            return self._kept_look(marks, began, self.far.hold_look(key, space))
        finally:
            for mark in marks:
                self.near.end(mark)

    def versions(self, space: bytes, after: int) -> Versions:
        """From Redis, always."""
        return self.far.versions(space, after)

    def _change(self, names: Sequence[Name], verb: Callable[..., Any], *args: Any) -> Any:
        self.listen()
        self.near.forget(names)
        try:
            done = verb(*args)
            if self.ears is None or self.ears.need_messages:
                self.far.announce(names)
            return done
        finally:
            self.near.forget(names)

    def set(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value."""
        return bool(self._change((key,), self.far.set, key, value, ttl_s))

    def add(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep a value where there is none."""
        return bool(self._change((key,), self.far.add, key, value, ttl_s))

    def delete(self, key: bytes) -> bool:
        """Forget a key."""
        return bool(self._change((key,), self.far.delete, key))

    def set_many(self, items: Mapping[bytes, bytes], ttl_s: float) -> list[bytes]:
        """Keep the values."""
        declined: list[bytes] = self._change(tuple(items), self.far.set_many, items, ttl_s)
        return declined

    def delete_many(self, keys: Sequence[bytes]) -> int:
        """Forget the keys."""
        return int(self._change(keys, self.far.delete_many, keys))

    def commit(self, key: bytes, token: bytes, value: bytes, ttl_s: float) -> bool:
        """Keep the value and end the lease."""
        return bool(self._change((key,), self.far.commit, key, token, value, ttl_s))

    def void(self, key: bytes) -> None:
        """Forget a key and end its lease."""
        self._change((key,), self.far.void, key)

    def bump(self, space: bytes, names: Sequence[bytes]) -> Versions:
        """Give the names a new position."""
        told: Versions = self._change((stand_name(space),), self.far.bump, space, names)
        return told

    def lease(self, key: bytes, ttl_s: float, token: bytes = b"") -> bytes | None:
        """A token of the sole right to make this key's value."""
        return self.far.lease(key, ttl_s, token)

    def release(self, key: bytes, token: bytes) -> bool:
        """End a lease without a value."""
        return self.far.release(key, token)

    def clear(self, prefix: bytes = b"") -> None:
        """Forget what begins with the prefix, and every copy."""
        self.near.forget_all()
        try:
            self.far.clear(prefix)
        finally:
            self.near.forget_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """As the Redis driver's; what is read inside comes from Redis."""
        with self.far.exclusive():
            self.near.forget_all()
            yield
