"""What an ORM's own tests said, bare and with the suite, held against each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from tests.transparency.results import Exemption, function

# In the names of their classes stands the database's release.
RELEASE = re.compile(r"_(?:sqlite|postgresql)\+\w+?_\d+(?:_\d+)*(?=::)")
# So much of the time without it the tests may take with the suite.
MOST_TIMES = 1.5


class Tally(Struct, frozen=True):
    """One run: each test's outcome, the time of the tests alone, and what the suite has seen."""

    outcomes: Mapping[str, str]
    cpu_s: float
    wall_s: float
    counts: Mapping[str, int] = {}

    def count(self, outcome: str) -> int:
        """How many tests ended so."""
        return sum(each == outcome for each in self.outcomes.values())


def named(outcomes: Mapping[str, str]) -> dict[str, str]:
    """The outcomes by names that are the same with each release of a database."""
    return {RELEASE.sub("", name): outcome for name, outcome in outcomes.items()}


def differing(bare: Tally, on: Tally) -> list[str]:
    """The tests that did not end as they did bare, or that were run one way only."""
    before, after = named(bare.outcomes), named(on.outcomes)
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )


def times(bare: Tally, on: Tally) -> float:
    """How many times the processor's time it took."""
    return on.cpu_s / bare.cpu_s


def fitting(
    allowed: Iterable[Exemption], bare: Tally, orm: str, database: str
) -> tuple[Exemption, ...]:
    """What may differ, of the tests that a run had; a project is an ORM, or one on a database."""
    ran = {function(name) for name in named(bare.outcomes)}
    return tuple(
        replace(each, project=orm, tests=tuple(name for name in each.tests if name in ran))
        for each in allowed
        if each.project in {orm, f"{orm} on {database}"}
    )
