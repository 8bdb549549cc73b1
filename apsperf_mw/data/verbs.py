"""What can be done with the user's data, written once: threads step it, tasks await it.

A fault of the store is counted, logged once a minute and taken for a miss, unless `raises`; where
it would leave the caller with what he wanted gone, or with a wrong number, it is raised always.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any, TypeVar

from apsperf_mw.data.frames import Held, Terms, bare, framed, touched, unframed
from apsperf_mw.data.keys import key_bytes
from apsperf_mw.data.stock import tag_names
from apsperf_mw.data.values import BadValue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

    from apsperf_mw.data.reach import Reach
    from apsperf_mw.data.stock import Stock
    from apsperf_mw.data.values import Values
    from apsperf_mw.drivers.versions import Versions

T = TypeVar("T")


class Verbs:
    """The verbs of one cache for one kind of caller."""

    def __init__(self, stock: Stock, reach: Reach, values: Values, *, raises: bool) -> None:
        self.stock = stock
        self.reach = reach
        self.values = values
        self._pack, self._set = values.pack, reach.set
        self._prefix = stock.prefix
        self._raises = raises

    async def get(self, key: Any, default: Any) -> Any:
        """The value, or the default."""
        held = await self.held(key_bytes(self._prefix, key))
        if held is None:
            self.stock.counts["misses"] += 1
            return default
        return self.value(held, default)

    async def held(self, name: bytes) -> Held | None:
        """What is kept under a name and not void, fresh or not; a fault is a miss."""
        try:
            return await self._read(name)
        except Exception as fault:
            self._note(fault)
            return None

    def value(self, held: Held, default: Any) -> Any:
        """A fresh value for one caller; counts."""
        if held.terms is None or held.terms.fresh_until > time():
            try:
                value = self.values.unpack(held.data)
            except BadValue:
                self._bad_frame()
            else:
                self.stock.counts["hits"] += 1
                return value
        self.stock.counts["misses"] += 1
        return default

    async def get_many(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """The values that are there, by key."""
        names = {key: self.stock.name(key) for key in keys}
        return await self._forgiven(self._get_many(names), {})

    async def _get_many(self, names: Mapping[Any, bytes]) -> dict[Any, Any]:
        found = await self.reach.call("get_many", list(names.values()))
        made: dict[Any, Any] = {}
        for key, name in names.items():
            held = await self._judged(found.get(name), None)
            if held is None:
                self.stock.counts["misses"] += 1
            elif (value := self.value(held, NOTHING)) is not NOTHING:
                made[key] = value
        return made

    async def set(self, key: Any, value: Any, ttl: Any, tags: Iterable[str]) -> bool:
        """Keep a value; False where it is too large, or the store fails."""
        stock = self.stock
        name, ttl_s = key_bytes(self._prefix, key), stock.ttl_s(ttl)
        data = self._pack(value)
        names = tag_names(tags) if tags else ()
        if stock.flights:
            self.overtake(name)
        try:
            if len(data) > stock.most_bytes:
                return await self._too_large(name)
            if not names:
                return await self._set(name, bare(data, time() + ttl_s), ttl_s)
            terms = await self.terms(names, ttl_s)
            return await self._set(name, framed(Held(data, time() + ttl_s, terms)), ttl_s)
        except Exception as fault:
            self._note(fault)
            return False

    async def add(self, key: Any, value: Any, ttl: Any, tags: Iterable[str]) -> bool:
        """As `set`, where there is no value that is good."""
        name, ttl_s, data = self.stock.name(key), self.stock.ttl_s(ttl), self.values.pack(value)
        names = tag_names(tags)
        if len(data) > self.stock.most_bytes:
            self.stock.counts["too large"] += 1
            return False
        return await self._forgiven(self._add(name, data, ttl_s, names), False)

    async def _add(self, name: bytes, data: bytes, ttl_s: float, tags: tuple[str, ...]) -> bool:
        terms = await self.terms(tags, ttl_s) if tags else None
        frame = framed(Held(data, time() + ttl_s, terms))
        added: bool = await self.reach.call("add", name, frame, ttl_s)
        if not added and await self._read(name) is None:
            # What is there is void. Of two who find it so, the later one's value stays.
            added = await self.reach.set(name, frame, ttl_s)
        return added

    async def set_many(self, items: Mapping[Any, Any], ttl: Any, tags: Iterable[str]) -> list[Any]:
        """Keep the values; the keys of those that were not kept."""
        ttl_s, names = self.stock.ttl_s(ttl), tag_names(tags)
        keys = {self.stock.name(key): key for key in items}
        packed = {name: self.values.pack(items[key]) for name, key in keys.items()}
        for name in keys:
            self.overtake(name)
        declined = await self._forgiven(self._set_many(packed, ttl_s, names), list(keys))
        return [keys[name] for name in declined]

    async def _set_many(
        self, packed: dict[bytes, bytes], ttl_s: float, tags: tuple[str, ...]
    ) -> list[bytes]:
        large = [name for name, data in packed.items() if len(data) > self.stock.most_bytes]
        for name in large:
            await self._too_large(name)
            del packed[name]
        terms = await self.terms(tags, ttl_s) if tags else None
        until = time() + ttl_s
        frames = {name: framed(Held(data, until, terms)) for name, data in packed.items()}
        return [*large, *(await self.reach.call("set_many", frames, ttl_s) if frames else ())]

    async def delete(self, key: Any) -> bool:
        """Forget a key, and what is being made of it; a fault is raised."""
        name = self.stock.name(key)
        self.overtake(name)
        there: bool = await self.reach.call("delete", name)
        return there

    async def delete_many(self, keys: Iterable[Any]) -> int:
        """Forget the keys; a fault is raised."""
        names = [self.stock.name(key) for key in keys]
        for name in names:
            self.overtake(name)
        count: int = await self.reach.call("delete_many", names)
        return count

    async def touch(self, key: Any, ttl: Any) -> bool:
        """Give a value a new time to live; whether there was one."""
        name, ttl_s = self.stock.name(key), self.stock.ttl_s(ttl)
        return await self._forgiven(self._touch(name, ttl_s), False)

    async def _touch(self, name: bytes, ttl_s: float) -> bool:
        if await self._read(name) is None:
            return False
        return await self.reach.change(name, lambda frame: touched(frame, ttl_s, time()))

    async def incr(self, key: Any, by: int, ttl: Any) -> int:
        """Add to a number, which keeps its time to live; a fault is raised.

        Where there is none it begins at 0, for `ttl`; without one `KeyError`.
        """
        name = self.stock.name(key)
        ttl_s = None if ttl is NOTHING else self.stock.ttl_s(ttl)
        void = await self._read(name) is None
        total = 0

        def added(frame: bytes | None) -> tuple[bytes, float] | None:
            nonlocal total
            held = None if frame is None or (void and self.stock.tagged) else unframed(frame)
            left_s = 0.0 if held is None else held.until - time()
            if held is None or left_s <= 0:
                if ttl_s is None:
                    raise KeyError(key)
                held, left_s = Held(self.values.pack(0), time() + ttl_s), ttl_s
            total = _sum(self.values.unpack(held.data), by, key)
            held.data = self.values.pack(total)
            return framed(held), left_s

        await self.reach.change(name, added)
        return total

    async def clear(self) -> None:
        """Forget everything of this space; a fault is raised."""
        self.stock.flights.void_all()
        await self.reach.call("clear", self._prefix)

    async def invalidate(self, tags: Iterable[str]) -> None:
        """Make void whatever carries one of the tags, and began before now; a fault is raised."""
        names = [name.encode("utf-8", "surrogatepass") for name in tag_names(tags)]
        if names:
            await self.reach.call("bump", self.stock.tags_space, names)

    async def terms(self, tags: tuple[str, ...], fresh_s: float) -> Terms:
        """What a value carries that is made from now on."""
        self.stock.tagged = True
        stand = await self.reach.stand(self.stock.tags_space)
        if not stand.generation:
            # Values of no generation would be good again when the store has lost its versions.
            stand = await self.reach.call("bump", self.stock.tags_space, [b""])
        return Terms(time() + fresh_s, tags, stand.generation, stand.position)

    async def good(self, terms: Terms) -> bool:
        """Whether none of its tags was invalidated since."""
        return not terms.tags or await self._is_good(terms, None)

    def overtake(self, name: bytes) -> None:
        """What is being made under the name in this process is not kept."""
        if self.stock.flights:
            self.stock.flights.void(name)  # type: ignore[arg-type]

    async def _read(self, name: bytes) -> Held | None:
        stock = self.stock
        if stock.tagged and stock.looks_at_once:
            look = await self.reach.call("look", name, stock.tags_space)
            stand = look.generation, look.position
            return await self._judged(look.value, stand)
        frame = await self.reach.get(name)
        return None if frame is None else await self._judged(frame, None)

    async def _judged(self, frame: bytes | None, stand: tuple[bytes, int] | None) -> Held | None:
        """What a frame holds, if it is one and none of its tags was invalidated."""
        if frame is None:
            return None
        held = unframed(frame)
        if held is None:
            self._bad_frame()
            return None
        if held.terms is None or not held.terms.tags or await self._is_good(held.terms, stand):
            return held
        return None

    async def _is_good(self, terms: Terms, stand: tuple[bytes, int] | None) -> bool:
        marks, space = self.stock.marks, self.stock.tags_space
        self.stock.tagged = True
        if stand is None:
            stands = await self.reach.stand(space)
            stand = stands.generation, stands.position
        if not marks.knows(*stand):
            after = marks.after(stand[0])
            told: Versions = await self.reach.call("versions", space, after)
            marks.learn(told, after)
            stand = told.generation, told.position
        return marks.good(terms, stand[0])

    async def _too_large(self, name: bytes) -> bool:
        self.stock.counts["too large"] += 1
        await self.reach.call("delete", name)
        return False

    def _bad_frame(self) -> None:
        self.stock.faults.counts["a stored value"] += 1

    async def _forgiven(self, work: Awaitable[T], otherwise: T) -> T:
        try:
            return await work
        except Exception as fault:
            self._note(fault)
            return otherwise

    def _note(self, fault: Exception) -> None:
        self.stock.faults.note(self.stock.place, fault)
        if self._raises:
            raise fault


NOTHING: Any = object()


def _sum(number: Any, by: int, key: Any) -> int:
    if type(number) is not int:
        kind = type(number).__qualname__
        raise TypeError(f"incr: {key!r} holds {kind}; accepted: whole numbers")
    return number + by
