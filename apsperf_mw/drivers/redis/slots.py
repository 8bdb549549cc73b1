"""Which node of a cluster keeps which slot. Pure.

Source: the Redis cluster specification.
"""

from __future__ import annotations

from binascii import crc_hqx
from typing import TYPE_CHECKING, Any

from apsperf_mw.drivers.redis.options import Address

if TYPE_CHECKING:
    from collections.abc import Iterable

SLOTS = 16_384


def slot_of(name: bytes) -> int:
    """The slot of a name; only what is in its first braces counts, unless that is nothing."""
    _, opened, rest = name.partition(b"{")
    tag, closed, _ = rest.partition(b"}")
    return crc_hqx(tag if opened and closed and tag else name, 0) % SLOTS


class Slots:
    """The table; a slot that no node is known to keep has none."""

    def __init__(self) -> None:
        self._nodes: list[Address | None] = [None] * SLOTS
        self.masters: tuple[Address, ...] = ()

    def node_of(self, name: bytes) -> Address | None:
        """The node that keeps the name."""
        return self._nodes[slot_of(name)]

    def move(self, slot: int, node: Address) -> None:
        """A node has said that another keeps this slot."""
        self._nodes[slot] = node
        if node not in self.masters:
            self.masters = (*self.masters, node)

    def learn(self, told: Iterable[list[Any]], asked: Address) -> None:
        """Take in a reply of CLUSTER SLOTS; a node that does not know its host is the one asked."""
        nodes: list[Address | None] = [None] * SLOTS
        for first, last, master, *_ in told:
            node = Address(bytes(master[0] or b"").decode() or asked.host, int(master[1]))
            nodes[first : last + 1] = [node] * (last + 1 - first)
        self._nodes = nodes
        self.masters = tuple(dict.fromkeys(node for node in nodes if node is not None))
