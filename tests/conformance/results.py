"""What the tests said, read as the tests' own result page reads it, and held against a list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

Kind = Literal["required", "optimal", "check"]
Outcome = Literal["pass", "fail", "setup", "retry", "dependency", "untested"]

# The kinds that count; a check only asks how a cache behaves.
COUNTED: tuple[Kind, ...] = ("required", "optimal")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


class Case(Struct, frozen=True):
    """One test, and what it said: true, the name and message of an error, or nothing."""

    id: str
    name: str
    kind: Kind = "required"
    depends_on: tuple[str, ...] = ()
    result: bool | tuple[str, str] | None = None


class Exemption(Struct, frozen=True, forbid_unknown_fields=True):
    """A test that may fail on these servers, and why."""

    id: str
    servers: tuple[str, ...]
    reason: str


class Exemptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The file of them."""

    allowed: tuple[Exemption, ...] = ()


class Finding(Struct, frozen=True):
    """A test that did not pass."""

    case: Case
    outcome: Outcome
    message: str
    reason: str = ""  # why it may fail

    def __str__(self) -> str:
        name = LINK.sub(r"\1", self.case.name)
        allowed = f"\n      allowed: {self.reason}" if self.reason else ""
        head = f"{self.case.kind} {self.outcome}: {self.case.id}"
        return f"{head}\n      {name}\n      {self.message}{allowed}"


class Report(Struct, frozen=True):
    """What all tests said of one server."""

    server: str
    cases: Mapping[str, Case]
    outcomes: Mapping[str, Outcome]

    def count(self, kind: Kind) -> tuple[int, int]:
        """How many tests of this kind passed, and how many there are."""
        outcomes = [self.outcomes[case.id] for case in self.cases.values() if case.kind == kind]
        return outcomes.count("pass"), len(outcomes)

    def findings(self, exemptions: Iterable[Exemption]) -> list[Finding]:
        """The counted tests that did not pass, the required ones first."""
        reasons = {e.id: e.reason for e in exemptions if self.server in e.servers}
        return [
            Finding(case, self.outcomes[case.id], self._message(case), reasons.get(case.id, ""))
            for kind in COUNTED
            for case in self.cases.values()
            if case.kind == kind and self.outcomes[case.id] != "pass"
        ]

    def stale(self, exemptions: Iterable[Exemption]) -> list[Exemption]:
        """The exemptions from tests that passed here."""
        return [e for e in exemptions if self.server in e.servers and self._passed(e.id)]

    def _passed(self, name: str) -> bool:
        return self.outcomes.get(name) == "pass"

    def _message(self, case: Case) -> str:
        if self.outcomes[case.id] == "dependency":
            failed = [name for name in case.depends_on if not self._passed(name)]
            return f"needs {', '.join(failed)}, which did not pass; itself: {said(case)}"
        return said(case)


def said(case: Case) -> str:
    """What the test itself said."""
    if isinstance(case.result, tuple):
        kind, message = case.result
        return message if kind in {"Assertion", "Setup"} else f"{kind}: {message}"
    return "passed" if case.result else "was not run"


def report(server: str, cases: Iterable[Case]) -> Report:
    """The outcome of each test, with those that it depends on taken into account."""
    known = {case.id: case for case in cases}
    outcomes: dict[str, Outcome] = {}
    for name in known:
        outcome(name, known, outcomes)
    return Report(server, known, outcomes)


def outcome(name: str, cases: Mapping[str, Case], done: dict[str, Outcome]) -> Outcome:
    """One test's outcome; a test whose dependency did not pass proves nothing either way."""
    if name not in done:
        case = cases.get(name)
        if case is None or case.result is None:
            done[name] = "untested"
        elif any(outcome(other, cases, done) != "pass" for other in case.depends_on):
            done[name] = "dependency"
        else:
            done[name] = own_outcome(case.result)
    return done[name]


def own_outcome(result: bool | tuple[str, str]) -> Outcome:
    """A test's outcome by what it said itself; an error of any kind but Setup is a failure."""
    if isinstance(result, bool):
        return "pass" if result else "fail"
    if result[0] == "Setup":
        return "retry" if result[1] == "retry" else "setup"
    return "fail"


def unknown(exemptions: Iterable[Exemption], servers: Iterable[str], tests: Iterable[str]) -> str:
    """What is wrong with the list of exemptions, or nothing."""
    names, ids, seen = set(servers), set(tests), set[str]()
    for e in exemptions:
        if e.id not in ids:
            return f"there is no test {e.id}"
        if e.id in seen:
            return f"{e.id} is listed twice"
        seen.add(e.id)
        if not e.servers or not names.issuperset(e.servers):
            return f"{e.id} names servers {list(e.servers)}; there are {sorted(names)}"
        if not e.reason.strip():
            return f"{e.id} has no reason"
    return ""
