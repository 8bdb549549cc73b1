"""Strategies by name: how keys are formed, how long things live, what is stored, what is evicted.

An installed package offers one under the entry-point group `apsperf_mw.strategies`, by the name
`kind.name`: `eviction.mine`. `module:object` names one that no package offers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.metadata import EntryPoint

GROUP = "apsperf_mw.strategies"
KINDS = ("eviction", "key", "ttl", "admission", "normal")


def strategy(kind: str, name: str, ours: Mapping[str, object]) -> object:
    """The strategy of this kind and name; ours go before those of other packages.

    Raises `SettingError`, which lists those known, or says why it does not load.
    """
    if name in ours:
        return ours[name]
    found = _point(kind, name)
    if found is None:
        known = ", ".join(offered(kind, ours))
        raise SettingError(f"{kind} strategy {name!r} is not known; known: {known}")
    try:
        return found.load()
    except Exception as fault:
        raise SettingError(f"{kind} strategy {name!r}: {found.value}: {fault}") from fault


def offered(kind: str, ours: Iterable[str] = ()) -> list[str]:
    """The names of all strategies of a kind."""
    begin = f"{kind}."
    found = {each.name.removeprefix(begin) for each in _points() if each.name.startswith(begin)}
    return sorted({*ours, *found})


def _point(kind: str, name: str) -> EntryPoint | None:
    for each in _points():
        if each.name == f"{kind}.{name}":
            return each
    if ":" not in name:
        return None
    from importlib.metadata import EntryPoint

    return EntryPoint(name=name, value=name, group=GROUP)


def _points() -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points

    return tuple(entry_points(group=GROUP))
