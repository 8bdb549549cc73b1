"""A stored response, and the fork that leads to its variants."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct

if TYPE_CHECKING:
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.exchange import Header

Values = tuple["bytes | None", ...]

# What the objects of one entry take beside its bytes, measured on CPython 3.11.
OVERHEAD_BYTES = 640
FIELD_BYTES = 140


class Entry(Struct, gc=False, eq=False):
    """A stored response; instants are seconds of the process's monotonic clock.

    `born` is when its age was zero. `open_to` are the request flags under which it may be served.
    `began` is the tag clock when its request began. Nothing in it refers to a container that the
    garbage collector must follow. `route` is the template of the route that made it. Stale, it
    may be served until `stale_until` while it is fetched anew, and until `error_until` in place
    of an error; never where it is `strict`. `span` is where in the whole body a part stands: its
    first and last byte and the size of the whole. `made_s` is how long the app took, where known.
    """

    status: int
    headers: tuple[Header, ...]
    body: bytes
    born: float
    fresh_until: float
    etag: bytes | None = None
    last_modified: bytes | None = None
    open_to: int = 0
    tags: tuple[str, ...] = ()
    began: int = 0
    vary: tuple[bytes, ...] = ()
    values: Values = ()
    route: str = ""
    stale_until: float = 0.0
    error_until: float = 0.0
    strict: bool = False
    immutable: bool = False
    span: tuple[int, int, int] | None = None
    made_s: float = 0.0
    # The bytes of the headers' names and values; 0: not counted yet.
    head_bytes: int = 0
    # Both wire forms of the head, with the instant at which the next second of age begins.
    scope_wire: tuple[float, tuple[Header, ...]] = (0.0, ())
    environ_wire: tuple[float, tuple[tuple[str, str], ...]] = (0.0, ())
    # One of these heads, and what a 304 bears of it.
    slim_wire: tuple[object, tuple[object, ...]] = (None, ())

    @property
    def size_bytes(self) -> int:
        """What the entry takes in memory, roughly: body, both forms of the head, objects."""
        headers = self.headers
        head = self.head_bytes or sum(map(len, chain.from_iterable(headers)))
        return len(self.body) + 3 * (head + FIELD_BYTES * len(headers)) + OVERHEAD_BYTES


def date_of(entry: Entry) -> bytes | None:
    """The stored Date."""
    return next((value for name, value in entry.headers if name.lower() == b"date"), None)


# RFC 9111 §5.2.1.7: what was asked for is not stored, and the app must not be asked.
NOT_CACHED = Entry(504, ((b"content-length", b"0"),), b"", 0.0, 0.0)


class Fork(Struct, gc=False, eq=False, frozen=True):
    """Stands under a URL's key where responses vary: the field names, and the variants' values.

    `stamp` is part of each variant's key, so that a fork made anew never finds old variants.
    """

    names: tuple[bytes, ...]
    stamp: int
    variants: tuple[Values, ...] = ()
    fresh_until: ClassVar[float] = 0.0
    # Who loses a fork loses all variants.
    made_s: ClassVar[float] = 1.0

    @property
    def size_bytes(self) -> int:
        """What the fork takes in memory, roughly."""
        values = sum(len(value or b"") + 60 for values in self.variants for value in values)
        return OVERHEAD_BYTES + values

    def key(self, primary: Key, values: Values) -> Key:
        """The key of one variant."""
        return (primary, self.stamp, *values)


Record = Entry | Fork
