"""Versions of tags: what was bumped in a space, and at which position.

Nothing is scanned to make tagged values void: whoever reads one compares the position at which it
was begun with those of its names.
"""

from __future__ import annotations

from os import urandom
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

# Past so many names the older half is forgotten, and `floor` tells.
MOST_NAMES = 100_000
# A position after which nothing comes: asks only where a space stands.
NO_MORE = 2**63 - 1
# Longer than any value is kept (a year), so that no value outlives what made it void.
TABLE_TTL_S = 400 * 86_400.0


class Versions(NamedTuple):
    """What was bumped in a space after some position, each name with its last position.

    `generation` names this life of the space: under another one, what was known before is void.
    Names bumped at or before `floor` may be forgotten: what is older than it cannot be judged.
    """

    generation: bytes
    position: int
    floor: int
    bumps: tuple[tuple[bytes, int], ...] = ()


class Look(NamedTuple):
    """A value, and where the versions of its space stand."""

    value: bytes | None
    generation: bytes
    position: int


class Stand(Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """Where a space stands, apart from its table: what most readers want, and short."""

    generation: bytes
    position: int

    @classmethod
    def read(cls, frame: bytes | None) -> Self | None:
        """What a frame says; None where there is none, or none that parses."""
        if frame is None:
            return None
        try:
            return msgspec.msgpack.decode(frame, type=cls)
        except msgspec.DecodeError:
            return None

    def frame(self) -> bytes:
        """The same as bytes."""
        return msgspec.msgpack.encode(self)

    def versions(self) -> Versions:
        """As versions after which nothing came."""
        return Versions(self.generation, self.position, 0)


class Table(Struct, array_like=True, forbid_unknown_fields=True):
    """A space's versions as one value, for stores that have nothing better."""

    generation: bytes
    position: int
    floor: int
    names: dict[bytes, int]

    @classmethod
    def read(cls, frame: bytes | None, stand: Stand | None) -> Self:
        """The table of a frame; where there is none, or none that parses, a new empty one.

        One that does not go with where its space stands has lost what came before: its floor tells.
        """
        table = cls._parsed(frame)
        if stand is None:
            return table
        if table.generation == stand.generation and table.position >= stand.position:
            return table
        return cls(stand.generation, stand.position, stand.position, {})

    @classmethod
    def _parsed(cls, frame: bytes | None) -> Self:
        if frame is None:
            return cls(b"", 0, 0, {})
        try:
            return msgspec.msgpack.decode(frame, type=cls)
        except msgspec.DecodeError:
            return cls(b"", 0, 0, {})

    def frame(self) -> bytes:
        """The table as bytes."""
        return msgspec.msgpack.encode(self)

    def bump(self, names: Sequence[bytes]) -> None:
        """Give the names a new position; an empty table begins a generation."""
        self.generation = self.generation or urandom(8)
        self.position += 1
        for name in names:
            self.names.pop(name, None)  # the youngest stand last
            self.names[name] = self.position
        if len(self.names) > MOST_NAMES:
            young = list(self.names.items())[-MOST_NAMES // 2 :]
            self.floor = young[0][1]
            self.names = dict(young)

    def versions(self, after: int) -> Versions:
        """Where the space stands, with what was bumped after a position."""
        bumps = tuple(each for each in self.names.items() if each[1] > after)
        return Versions(self.generation, self.position, self.floor, bumps)


def lease_key(key: bytes) -> bytes:
    """Where the lease of a key is kept; begins as the key does."""
    return key + b"\0lease"


def stand_key(space: bytes) -> bytes:
    """Where it is kept at which position a space stands; as long as `versions_key`."""
    return space + b"\0position"


def versions_key(space: bytes) -> bytes:
    """Where the versions of a space are kept; begins as the space does."""
    return space + b"\0versions"
