"""The databases of a suite: who notes their statements, and the door to each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from apsperf_mw.db.doors import Door
    from apsperf_mw.observe.statements import Recorder, Statements


class Source(NamedTuple):
    """One database, by the name that people know it by."""

    name: str
    recorder: Recorder
    door: Door


def add(statements: Statements, name: str, recorder: Recorder, door: Door) -> Source:
    """Have advice asked for it; a name that is taken gets a number."""
    taken = {each.name for each in statements.sources}
    names = (name, *(f"{name} ({number})" for number in range(2, len(taken) + 3)))
    made = Source(next(each for each in names if each not in taken), recorder, door)
    statements.sources.append(made)
    return made


def remove(statements: Statements, source: Source) -> None:
    """Ask it no more."""
    if source in statements.sources:
        statements.sources.remove(source)


def find(statements: Statements, wanted: object = None) -> Source:
    """The source of this name or engine, or the only one there is. `SettingError` for none."""
    known: list[Source] = [each for each in statements.sources if each.door.lives]
    found = [
        each
        for each in known
        if wanted is None or each.name == wanted or each.door.leads_to(wanted)
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(each.name for each in known) or "none"
    given = "not given" if wanted is None else f"{wanted!r} given"
    raise SettingError(f"engine: {given}; accepted: one that is attached, of {names}")
