"""Standing in the place of an object's own methods, and leaving it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def stand_in(thing: object, places: Mapping[str, Callable[..., Any]]) -> Callable[[], None]:
    """Put these in the places of the object's methods; what it gives puts back what was there.

    Where somebody else has come to stand in between, they stay, and so do these below them.
    """
    kept: dict[str, Any] = vars(thing)
    before = {name: kept[name] for name in places if name in kept}
    kept.update(places)

    def undo() -> None:
        for name, place in places.items():
            if kept.get(name) is place:
                del kept[name]
                if name in before:
                    kept[name] = before[name]

    return undo
