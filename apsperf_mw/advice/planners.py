"""What advice asks of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from apsperf_mw.advice.candidates import Candidate, Index, Table
    from apsperf_mw.advice.workload import Query


class Plan(Struct, eq=False):
    """How a statement would be executed: what that costs, which indexes it uses, and the plan.

    `uses` are those that exist, by name; `tries` those that were added.
    """

    cost: float
    uses: frozenset[str]
    tries: frozenset[Candidate]
    text: str


class Unplanned(Exception):
    """The database does not plan the statement; the message says why."""


class Planner(Protocol):
    """One database. Candidates that are added count for the plans until they are dropped.

    `unit` is what costs are counted in, `least_gain` the least of them that is worth a word;
    `wide` is whether indexes may include columns.
    """

    dialect: str
    unit: str
    least_gain: float
    wide: bool

    def tables(self) -> dict[str, Table]:
        """The tables, by name."""
        ...

    def indexes(self) -> list[Index]:
        """Those that exist."""
        ...

    def plan(self, query: Query) -> Plan:
        """The plan of a statement; `Unplanned` where there is none."""
        ...

    def chosen(self, query: Query, candidates: list[Candidate]) -> list[Candidate]:
        """Those that the planner would use, were they all there."""
        ...

    def add(self, candidate: Candidate) -> None:
        """Have plans count with it."""

    def drop(self, candidate: Candidate) -> None:
        """Have them no longer."""

    def size(self, candidate: Candidate) -> int:
        """Its bytes; it was added."""
        ...

    def write_cost(self, candidate: Candidate) -> float:
        """What each row that is written costs more."""
        ...
