"""What leads to what."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Node = TypeVar("Node")


def reached(start: Iterable[Node], links: Mapping[Node, set[Node]]) -> set[Node]:
    """All that can be got to from there, and where it starts."""
    found = set(start)
    fresh = found
    while fresh:
        fresh = {each for node in fresh for each in links.get(node, ())} - found
        found = found | fresh
    return found
