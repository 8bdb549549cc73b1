"""What a framework's own tests said, bare and wrapped, held against each other and a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct


class Tally(Struct, frozen=True):
    """One run: each test's outcome, how many requests the suites saw, and round how many apps."""

    outcomes: Mapping[str, str]
    requests: Mapping[str, int] = {}
    apps: int = 0

    def count(self, outcome: str) -> int:
        """How many tests ended so."""
        return sum(each == outcome for each in self.outcomes.values())


class Exemption(Struct, frozen=True, forbid_unknown_fields=True):
    """Tests, named without their parameters, that may fail wrapped, and why."""

    project: str
    tests: tuple[str, ...]
    reason: str


class Exemptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The file of them."""

    allowed: tuple[Exemption, ...] = ()


def broken(bare: Tally, wrapped: Tally) -> list[str]:
    """The tests that pass bare and do not pass wrapped."""
    passed = [name for name, outcome in bare.outcomes.items() if outcome == "passed"]
    return [name for name in passed if wrapped.outcomes.get(name) != "passed"]


def function(test: str) -> str:
    """A test's name without its parameters."""
    return test.partition("[")[0]


def wrongs(project: str, tests: Iterable[str], exemptions: Iterable[Exemption]) -> list[str]:
    """What is wrong: a broken test that no exemption names, an exemption that names none."""
    reasons = {
        name: each.reason.strip()
        for each in exemptions
        for name in each.tests
        if each.project == project
    }
    found = {name: function(name) for name in tests}
    unnamed = [f"{name} fails" for name, short in found.items() if short not in reasons]
    stale = [f"{name} may fail, and passes" for name in reasons if name not in found.values()]
    silent = [f"{name} may fail for no reason" for name, reason in reasons.items() if not reason]
    return unnamed + stale + silent
