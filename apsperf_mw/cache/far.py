"""How a shell reaches a driver outside the process: frames under names, versions, leases.

Written once: how a call is made is each face's own.
"""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any

import msgspec

from apsperf_mw.cache.codec import FRAME_VERSION, BadFrame, is_packed
from apsperf_mw.cache.keys import frame
from apsperf_mw.cache.ledger import ALL, Known, names_of
from apsperf_mw.drivers.base import LATER
from apsperf_mw.drivers.versions import NO_MORE, Stand, stand_key
from apsperf_mw.errors import DriverError, PurgeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.cache.codec import Codec
    from apsperf_mw.cache.entry import Record
    from apsperf_mw.cache.epoch import Epoch
    from apsperf_mw.cache.faces import Waits
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.cache.ledger import Ledger
    from apsperf_mw.cache.tags import Purge
    from apsperf_mw.drivers.versions import Look
    from apsperf_mw.faults import Faults

# A packed frame of this size may take a millisecond to unpack.
HEAVY_BYTES = 16_384
# Records that were thawed lately are all forgotten past so many.
MOST_RECENT = 512
# So often a quick driver is asked at most where its versions stand.
STANDS_EVERY_S = 0.01
# So many lost purges are made up for one by one.
MOST_LOST = 1000
BAR = b"\0bar"
_encode = msgspec.msgpack.Encoder().encode


class FarFace:
    """A driver that holds bytes: where a suite's records are in it, and in what form.

    `shared` is whether other processes make responses for the same store. Whatever is read, the
    ledger is brought in step first.
    """

    def __init__(
        self,
        driver: Any,
        waits: Waits,
        faults: Faults,
        namespace: str,
        codec: Codec,
        ledger: Ledger,
    ) -> None:
        self.waits = waits
        self.shared: bool = driver.shared
        self._space = prefix_of(namespace)
        self._driver = driver
        self._faults = faults
        self._codec = codec
        self._ledger = ledger
        self._recent: dict[bytes, tuple[bytes, Epoch, Record]] = {}

    @property
    def epoch(self) -> Epoch:
        """By what the positions of frames are understood."""
        return self._ledger.epoch

    async def value(self, key: Key) -> bytes | None:
        """The frame under the key."""
        return await self._value(self._name(key))

    async def keep(self, key: Key, value: bytes, ttl_s: float) -> None:
        """Keep a frame for at most `ttl_s`."""
        await self._call("set", self._name(key), value, ttl_s)

    async def read(self, key: Key) -> Record | None:
        """The record under the key."""
        name = self._name(key)
        return await self._thaw(name, await self._value(name))

    async def write(self, key: Key, record: Record, ttl_s: float) -> None:
        """Keep a record for at most `ttl_s`."""
        await self.keep(key, await self._freeze(record), ttl_s)

    async def erase(self, key: Key) -> None:
        """Forget a key; what is being made for it elsewhere is not kept."""
        await self._call("void" if self.shared else "delete", self._name(key))

    async def purge(self, what: Purge) -> None:
        """Purge for every process that shares the store."""
        await self._bump(what)
        await self._catch_up(self._ledger.known.generation)

    async def catch_up(self) -> None:
        """Have the ledger know of every purge that the store knows of."""
        known = self._ledger.known
        told = await self._call("versions", self._space, NO_MORE)
        await self._agree(known, told.generation, told.position)

    async def lease(self, key: Key, ttl_s: float, token: bytes) -> bytes | None:
        """As `Driver.lease`."""
        given: bytes | None = await self._call("lease", self._name(key), ttl_s, token)
        return given

    async def commit(self, key: Key, token: bytes, record: Record, ttl_s: float) -> bool:
        """As `Driver.commit`."""
        value = await self._freeze(record)
        kept: bool = await self._call("commit", self._name(key), token, value, ttl_s)
        return kept

    async def release(self, key: Key, token: bytes) -> bool:
        """As `Driver.release`."""
        held: bool = await self._call("release", self._name(key), token)
        return held

    async def bar(self, key: Key, ttl_s: float) -> None:
        """Let who waits for the key know that its response is not kept."""
        await self._call("set", self._name(key) + BAR, b"", ttl_s)

    async def barred(self, key: Key) -> bool:
        """Whether it was found lately that the key's response is not kept."""
        return await self._call("get", self._name(key) + BAR) is not None

    def _name(self, key: Key) -> bytes:
        try:
            return self._space + b"m" + _encode(key)
        except UnicodeEncodeError:  # of a path that is no UTF-8
            return self._space + b"f" + frame(key)

    async def _value(self, name: bytes) -> bytes | None:
        known = self._ledger.known
        look: Look = await self._call("look", name, self._space)
        await self._agree(known, look.generation, look.position)
        return look.value

    async def _agree(self, known: Known, generation: bytes, position: int) -> None:
        """Bring the ledger in step; `known` is what it knew when the store was asked."""
        if known.generation == generation != b"":
            if known.position == position:
                return
            if position < known.position:  # the store has lost what came after
                await self._make_up_for(known)
        await self._catch_up(generation)

    async def _catch_up(self, generation: bytes) -> None:
        if not generation:
            await self._call("bump", self._space, ())  # what is kept from now on can be judged
        told = await self._call("versions", self._space, self._ledger.after(generation))
        if told.generation != generation:
            told = await self._call("versions", self._space, 0)
        self._ledger.take(told)

    async def _make_up_for(self, known: Known) -> None:
        """Purge everything, at a position that nobody has seen: nobody knows what was lost."""
        for _ in range(MOST_LOST):
            told = await self._bump(ALL)
            if told.generation != known.generation or told.position > known.position:
                return
        raise DriverError("the store has lost more purges than can be made up for")

    async def _bump(self, what: Purge) -> Any:
        return await self._call("bump", self._space, names_of(what))

    async def _freeze(self, record: Record) -> bytes:
        return self._frozen(record)

    async def _thaw(self, name: bytes, value: bytes | None) -> Record | None:
        if value is None:
            return None
        return self._remembered(name, value) or self._thawed(name, value)

    def _remembered(self, name: bytes, value: bytes) -> Record | None:
        """What the same bytes were lately, with the forms of its head."""
        found = self._recent.get(name)
        if found is None or found[1] is not self._ledger.epoch or found[0] != value:
            return None
        return found[2]

    def _frozen(self, record: Record) -> bytes:
        """The record's frame, its instants on the wall clock."""
        return self._codec.encode(record, time() - monotonic(), self._ledger.epoch)

    def _thawed(self, name: bytes, value: bytes) -> Record | None:
        """The record of a frame, its instants on this process's monotonic clock.

        What is not one is a miss, counted by why.
        """
        now, epoch = monotonic(), self._ledger.epoch
        try:
            record = self._codec.decode(value, time() - now, now, epoch)
        except BadFrame as why:
            self._faults.counts[f"a stored frame: {why}"] += 1
            return None
        if len(value) <= HEAVY_BYTES:
            if len(self._recent) >= MOST_RECENT:
                self._recent = {}
            self._recent[name] = (value, epoch, record)
        return record

    async def _call(self, verb: str, *args: Any) -> Any:
        return await self._call_on(self._driver, verb, *args)

    async def _call_on(self, driver: Any, verb: str, *args: Any) -> Any:
        raise NotImplementedError


class QuickFace(FarFace):
    """Small values of a quick driver are read at once, and its versions looked at now and then."""

    async def _value(self, name: bytes) -> bytes | None:
        if not self._driver.quick:
            return await FarFace._value(self, name)
        now = monotonic()
        if now >= self._ledger.due:
            await self._look_at_stand()
            self._ledger.due = now + STANDS_EVERY_S
        value = self._driver.quick_get(name)
        if value is LATER:
            value = await self._call("get", name)
        return value  # type: ignore[no-any-return]

    async def catch_up(self) -> None:
        """As a far driver's, but for one that is quick without asking it for its table."""
        if self._driver.quick:
            await self._look_at_stand()
        else:
            await FarFace.catch_up(self)

    async def _look_at_stand(self) -> None:
        known = self._ledger.known
        frame = self._driver.quick_get(stand_key(self._space))
        if frame is LATER:
            frame = await self._call("get", stand_key(self._space))
        stand = Stand.read(frame) or Stand(b"", 0)
        await self._agree(known, stand.generation, stand.position)


class BlockingFace(QuickFace):
    """A driver's blocking face, called by the thread that serves the request."""

    async def _call_on(self, driver: Any, verb: str, *args: Any) -> Any:
        return getattr(driver, verb)(*args)


class HoppingFace(QuickFace):
    """A driver's blocking face for a loop: what is not quick is called in worker threads."""

    async def _call_on(self, driver: Any, verb: str, *args: Any) -> Any:
        return await _hop(getattr(driver, verb), *args)

    async def _freeze(self, record: Record) -> bytes:
        if self._codec.is_slow_to_encode(record):
            return await _hop(self._frozen, record)  # type: ignore[no-any-return]
        return self._frozen(record)

    async def _thaw(self, name: bytes, value: bytes | None) -> Record | None:
        if value is not None and len(value) > HEAVY_BYTES and is_packed(value):
            return await _hop(self._thawed, name, value)  # type: ignore[no-any-return]
        return await FarFace._thaw(self, name, value)


class AsyncFace(HoppingFace):
    """A driver's own async face; what takes long to pack or unpack is left to a thread."""

    async def _call_on(self, driver: Any, verb: str, *args: Any) -> Any:
        return await getattr(driver, f"a{verb}")(*args)

    async def _value(self, name: bytes) -> bytes | None:
        return await FarFace._value(self, name)


async def purge_far(face: Any, what: Purge) -> None:
    """Purge through a face; `PurgeError` where the store did not say that it was done."""
    try:
        await face.purge(what)
    except Exception as fault:
        raise PurgeError(f"the store did not take the purge: {fault!r}") from fault


async def _hop(call: Callable[..., Any], *args: Any) -> Any:
    from apsperf_mw.runtime.loop import hop

    return await hop(call, *args)


def prefix_of(namespace: str) -> bytes:
    """What keeps the entries of one app, and of one version of their form, apart in a store."""
    return b"apsperf:%d:" % FRAME_VERSION + frame((namespace,))
